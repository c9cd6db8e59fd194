"""Token dynamics: whether selective layers shrink or stretch the features of rows over depth."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tsssm.grid import Grid
from tsssm.layers import Selective, Stack


class TokenDynamics(NamedTuple):
    """What `token_dynamics` finds.

    Attributes
    ----------
    eigenvalues : list of Tensor (d_model,)
        Of the symmetric part of S_C^T S_B, increasing, for each selective layer in order of depth.
    norms : Tensor (depth + 1,)
        Mean length of the features of a row: what comes in, then after each block.
    """

    eigenvalues: list[Tensor]
    norms: Tensor


@torch.no_grad()
def token_dynamics(stack: Stack, x: Tensor, grid: Grid) -> TokenDynamics:
    """Eigenvalues of the input-output matrices of a stack's selective layers, and how rows grow over its depth.

    With depth as time, ``u^T S_C^T S_B u`` is how much a row answers to another one like it. If all eigenvalues of its
    symmetric part are negative, features of all rows go to zero, which hurts; if one is positive they grow, at unequal
    rates. `Selective(positive=True)` forces the second.

    Parameters
    ----------
    stack : Stack
        Of any layers; those that are not selective have no eigenvalues.
    x : Tensor, (b, l, d_model)
        Features that enter the stack.
    grid : Grid

    Notes
    -----
    One run of the stack, and O(d_model^3) for each layer. The theory is of selective layers alone, without the residual
    and gated parts of a block. Source: arXiv 2410.03292, sections 3 and 4.

    Examples
    --------
    >>> import torch
    >>> from tsssm.layers import Recipe
    >>> stack = Stack(8, Recipe(Selective, d_state=4, positive=True), depth=2).eval()
    >>> found = token_dynamics(stack, torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> [bool(values.min() > -1e-6) for values in found.eigenvalues], found.norms.shape
    ([True, True], torch.Size([3]))
    """
    norms, eigenvalues = [_mean_norm(x, grid)], []
    for block in stack.blocks:
        x, _ = block(x, grid, None)
        norms.append(_mean_norm(x, grid))
    for layer in stack.modules():
        if isinstance(layer, Selective):
            S_B, S_C = (part.double() for part in layer.maps())
            product = S_C.mT @ S_B
            eigenvalues.append(torch.linalg.eigvalsh((product + product.mT) / 2))
    return TokenDynamics(eigenvalues, torch.stack(norms))


def _mean_norm(x: Tensor, grid: Grid) -> Tensor:
    return x[grid.valid].norm(dim=-1).mean()
