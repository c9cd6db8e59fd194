"""Stack: layers in residual blocks, the backbone of the estimators."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tsssm.grid import Grid
from tsssm.layers.base import Layer, Recipe


class Stack(Layer):
    """`depth` residual blocks of one recipe: x + dropout(GLU(GELU(layer(norm(x))))).

    Parameters
    ----------
    d_model : int
        Width of features.
    layer : Recipe
        The layer of each block.
    depth : int, default 2
        Number of blocks.
    dropout : float, default 0.1
        Share of features dropped in training, the same ones along a whole series.
    norm : callable, default LayerNorm
        Makes what stands before each layer and at the end from d_model. `nn.Identity` for none: a norm bounds the output,
        which then forgets how large the input was.

    References
    ----------
    The block of S5 (Smith et al. 2023, appendix G.1), with the norm in front; layer norm, because batch norm over
    packed series would mix them.

    Examples
    --------
    >>> import torch
    >>> from tsssm.layers import S5, Recipe, Stack
    >>> y, state = Stack(8, Recipe(S5), depth=2)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        layer: Recipe,
        depth: int = 2,
        dropout: float = 0.1,
        norm: Callable[[int], nn.Module] = nn.LayerNorm,
    ):
        super().__init__()
        self.blocks = nn.ModuleList(_Block(d_model, layer, dropout, norm) for _ in range(depth))
        self.norm = norm(d_model)
        self.causal = all(block.layer.causal for block in self.blocks)

    def forward(self, x: Tensor, grid: Grid, state: tuple | None = None) -> tuple[Tensor, tuple]:
        states = []
        for block, before in zip(self.blocks, state or [None] * len(self.blocks), strict=True):
            x, after = block(x, grid, before)
            states.append(after)
        return self.norm(x), tuple(states)


class _Block(nn.Module):
    def __init__(self, d_model: int, layer: Recipe, dropout: float, norm: Callable[[int], nn.Module]):
        super().__init__()
        self.norm = norm(d_model)
        self.layer = layer.build(d_model)
        self.mix = nn.Linear(d_model, 2 * d_model)
        self.dropout = dropout

    def forward(self, x: Tensor, grid: Grid, state: object) -> tuple[Tensor, object]:
        y, state = self.layer(self.norm(x), grid, state)
        y = nn.functional.glu(self.mix(nn.functional.gelu(y)))
        return x + (self._drop(y) if self.training and self.dropout else y), state

    def _drop(self, y: Tensor) -> Tensor:
        """Drop features, the same ones along a row of the batch, so that dropout does not break time dependence.

        `nn.Dropout1d` wants channels first: turning them there and back costs more than the layer in the backward pass.
        """
        keep = torch.empty(len(y), 1, y.shape[-1], dtype=y.dtype, device=y.device).bernoulli_(1 - self.dropout)
        return y * (keep / (1 - self.dropout))
