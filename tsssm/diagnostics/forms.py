"""The common form of recurrences, state spaces and attention: matrices at every row, frozen along one batch."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tsssm.diagnostics.systems import linear_system
from tsssm.dynamics import Diagonal
from tsssm.dynamics.rules import LinearDiscretization, Step
from tsssm.errors import explain
from tsssm.grid import Grid
from tsssm.layers import GRU, LSSL, S4, S4D, S5, Layer, Selective


@dataclass(frozen=True, eq=False)
class DynamicalForm:
    """``h_k = A_k h_(k-1) + B_k u_k, y_k = Re(C_k h_k) + D_k u_k``, with h = 0 before the first row.

    Parameters
    ----------
    A : Tensor (b, l, n) or (b, l, n, n)
        Diagonal, or whole matrices; 0 where a series starts.
    B : Tensor (b, l, n, m)
    C : Tensor (b, l, d, n)
    D : Tensor (b, l, d, m)
    u : Tensor (b, l, m)
        Inputs.
    """

    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    u: Tensor

    def run(self) -> Tensor:
        """The outputs, (b, l, d)."""
        drive = (self.B @ self.u.to(self.B.dtype).unsqueeze(-1)).squeeze(-1)
        h, states = torch.zeros_like(drive[:, 0]), []
        for k in range(drive.shape[1]):
            h = self._move(k, h.unsqueeze(-1)).squeeze(-1) + drive[:, k]
            states.append(h)
        y = (self.C @ torch.stack(states, 1).unsqueeze(-1)).squeeze(-1).real
        return y + (self.D @ self.u.unsqueeze(-1)).squeeze(-1)

    def influence(self) -> Tensor:
        """``Re(C_i A_i ... A_(j+1) B_j)``, plus D_i where i = j: what input j gives output i, (b, l, l, d, m).

        Attention's table of weights for every layer; ``y_i`` is the sum over j of its matrices times ``u_j``. O(l^2 n m).
        """
        b, l, n, m = self.B.shape
        reach, rows = self.B.new_zeros(b, l, n, m), []
        for k in range(l):
            reach = torch.cat([self._move(k, reach[:, :k]), self.B[:, k : k + 1], reach[:, k + 1 :]], 1)
            row = (self.C[:, k].unsqueeze(1) @ reach).real
            rows.append(torch.cat([row[:, :k], row[:, k : k + 1] + self.D[:, k : k + 1], row[:, k + 1 :]], 1))
        return torch.stack(rows, 1)

    def _move(self, k: int, h: Tensor) -> Tensor:
        """A_k h of columns (b, *, n, m)."""
        A = self.A[:, k].reshape(len(h), *[1] * (h.dim() - 3), *self.A.shape[2:])
        return A.unsqueeze(-1) * h if self.A.dim() == 3 else A @ h


@torch.no_grad()
def dynamical_form(layer: Layer, x: Tensor, grid: Grid) -> DynamicalForm:
    """The matrices by which a layer turns the rows of a batch into its outputs, in float64.

    Fixed state spaces change with the gaps alone. `Selective` writes A, B and C anew at each row. A gated unit is no
    linear recurrence: its gates are frozen, and its tanh is the slope from 0 to where it stands, so that the form gives its
    run exactly, and its inputs are the features, log(1 + gap) and 1.

    Parameters
    ----------
    layer : S5, S4D, S4, LSSL, Selective or GRU
        With a rule that takes the input at the end of a gap.
    x : Tensor (b, l, d_model)
        Features.
    grid : Grid
        Without silent rows: they leave no trace, and are no part of a recurrence.

    Returns
    -------
    DynamicalForm
        States of all features together, so small layers and short series only: B holds b l n d numbers.

    Raises
    ------
    TypeError
        For other layers.
    ValueError
        For silent rows, for a `Selective` over sets, and for rules that look at both ends of a gap.

    Notes
    -----
    Source: the table of arXiv 2405.15731, Understanding the differences in foundation models, section 3.

    Examples
    --------
    >>> import torch
    >>> from tsssm.diagnostics import dynamical_form
    >>> from tsssm.layers import S5
    >>> layer, x, grid = S5(3, d_state=8, blocks=1).double(), torch.randn(1, 6, 3).double(), Grid.regular(1, 6)
    >>> bool(torch.allclose(dynamical_form(layer, x, grid).run(), layer(x, grid)[0]))
    True
    """
    if grid.silent:
        raise ValueError(explain("every row must be active", "silent rows came", "Leave out the rows that only ask"))
    layer, grid = copy.deepcopy(layer).double(), grid.to(x.device, torch.float64)
    u, _ = grid.quiet(x.double())
    if isinstance(layer, GRU):
        return _of_gru(layer, u, grid)
    if isinstance(layer, Selective):
        return _of_selective(layer, u, grid)
    if isinstance(layer, (S5, S4D, S4, LSSL)):
        return _of_system(layer, u, grid)
    raise TypeError(
        explain(
            "the layer must be S5, S4D, S4, LSSL, Selective or GRU",
            f"a {type(layer).__name__} came",
            "Pass one layer of a stack",
        )
    )


def _of_system(layer: S5 | S4D | S4 | LSSL, u: Tensor, grid: Grid) -> DynamicalForm:
    system = linear_system(layer)
    step = _step(layer.rule, system.A, grid.dt.unsqueeze(-1))
    if isinstance(step.after, Diagonal):
        B = step.after.eigenvalues.unsqueeze(-1) * system.B
    else:
        B = step.after.dense() @ system.B.to(step.after.dtype)
    C, D = _whole(system.C.mT).mT, torch.diag(system.D)
    if isinstance(step.transition, Diagonal):
        A = step.transition.eigenvalues.flatten(2)
    else:
        A = step.transition.dense()
        k, n = A.shape[2:4]
        eye = torch.eye(k, dtype=A.dtype, device=A.device)
        A = torch.einsum("blkij,kq->blkiqj", A, eye).reshape(*A.shape[:2], k * n, k * n)
    shape = u.shape[:2]
    return DynamicalForm(_fresh(A, grid), _whole(B), C.expand(*shape, *C.shape), D.expand(*shape, *D.shape), u)


def _of_selective(layer: Selective, u: Tensor, grid: Grid) -> DynamicalForm:
    if not layer.causal:
        raise ValueError(
            explain("the layer must run along time", "it has `by_importance`", "Use a Selective without it")
        )
    S_B, S_C = layer.maps()
    moves = layer._step(u @ layer.step_in.T, grid.dt)
    step = _step(layer.rule, Diagonal(-layer.log_decay.clamp(-14, 14).exp()), moves)
    B = step.after.eigenvalues * (u @ S_B.T).unsqueeze(2)
    C = (u @ S_C.T).unsqueeze(2).expand_as(B)
    D = torch.diag(layer.D).expand(*u.shape, -1)
    A = _fresh(step.transition.eigenvalues.flatten(2), grid)
    return DynamicalForm(A, _whole(B.unsqueeze(-1)), _whole(C.unsqueeze(-1)).mT, D, u)


def _of_gru(layer: GRU, x: Tensor, grid: Grid) -> DynamicalForm:
    d, cell = x.shape[-1], layer.cell
    u = torch.cat([x, grid.dt.log1p().unsqueeze(-1), torch.ones_like(x[..., :1])], -1)
    W = torch.cat([cell.weight_ih_l0, cell.bias_ih_l0.unsqueeze(-1)], 1)
    inputs = (u @ W.T).split(d, -1)
    R = cell.weight_hh_l0.split(d)
    bias = cell.bias_hh_l0.split(d)
    h, As, Bs = torch.zeros_like(x[:, 0]), [], []
    for k in range(x.shape[1]):
        h = h.masked_fill(grid.reset[:, k, None], 0)
        r, z = (torch.sigmoid(inputs[i][:, k] + h @ R[i].T + bias[i]) for i in (0, 1))
        inside = inputs[2][:, k] + r * (h @ R[2].T + bias[2])
        slope = torch.where(inside == 0, 1.0, inside.tanh() / torch.where(inside == 0, 1.0, inside))
        slope = (1 - z) * slope
        A = torch.diag_embed(z) + (slope * r).unsqueeze(-1) * R[2]
        B = slope.unsqueeze(-1) * W[2 * d :]
        B[..., -1] += slope * r * bias[2]
        h = (A @ h.unsqueeze(-1) + B @ u[:, k].unsqueeze(-1)).squeeze(-1)
        As.append(A)
        Bs.append(B)
    # an active row reads its own state, at no time since
    C, D = layer.read.weight[:, :d], torch.zeros(d, d + 2, dtype=x.dtype, device=x.device)
    D[:, -1] = layer.read.bias
    shape = x.shape[:2]
    A = _fresh(torch.stack(As, 1), grid)
    return DynamicalForm(A, torch.stack(Bs, 1), C.expand(*shape, d, d), D.expand(*shape, d, d + 2), u)


def attention_form(
    queries: Tensor, keys: Tensor, values: Tensor, kernel: Literal["softmax", "linear"] = "softmax"
) -> DynamicalForm:
    """Causal attention as a recurrence on its values.

    With features of keys phi and of queries psi, ``A = I, B_k = I (x) phi(k_k), C_k = I (x) psi(q_k)^T / eta_k`` and eta_k
    the sum of the weights so far. "linear" has phi = psi = elu + 1 and d times d_key states. The features of "softmax"
    have no end, so its state is what a cache keeps: every row so far.

    Parameters
    ----------
    queries, keys : Tensor (b, l, d_key)
    values : Tensor (b, l, d)
    kernel : "softmax" or "linear", default "softmax"

    Notes
    -----
    Neither forgets: A = I, and time enters only by what queries and keys say of it. Source: arXiv 2405.15731, section 3.

    Examples
    --------
    >>> import torch
    >>> from tsssm.diagnostics import attention_form
    >>> attention_form(*torch.randn(3, 1, 5, 4)).influence()[0, 3, :, 0, 0].sum().round(decimals=4)
    tensor(1.)
    """
    l, d = values.shape[-2:]
    if kernel == "softmax":
        scores = queries @ keys.mT / math.sqrt(keys.shape[-1])
        later = torch.ones(l, l, dtype=torch.bool, device=scores.device).triu(1)
        read = scores.masked_fill(later, -math.inf).softmax(-1)
        write = torch.eye(l, dtype=values.dtype, device=values.device).expand(len(values), l, l)
    elif kernel == "linear":
        write, psi = (torch.nn.functional.elu(part) + 1 for part in (keys, queries))
        read = psi / (psi * write.cumsum(1)).sum(-1, keepdim=True)
    else:
        raise ValueError(explain("`kernel` must be 'softmax' or 'linear'", f"{kernel!r} came", "Check the spelling"))
    B, C = (_whole(part.unsqueeze(2).expand(-1, -1, d, -1).unsqueeze(-1)) for part in (write, read))
    return DynamicalForm(torch.ones_like(B[..., 0]), B, C.mT, values.new_zeros(*values.shape, d), values)


def _step(rule: LinearDiscretization, A: Diagonal, gap: Tensor) -> Step:
    step = rule.matrices(A, gap)
    if step.before is not None or step.after is None:
        raise ValueError(
            explain("the rule must take the input at the end of a gap", f"{rule} came", "Use ZeroOrderHold(), say")
        )
    return step


def _whole(parts: Tensor) -> Tensor:
    """Columns (*, k, n, m) of channels as those of one system: (*, n, m) where k is 1, (*, k n, k) where m is 1."""
    k = parts.shape[-3]
    if k == 1:
        return parts.squeeze(-3)
    eye = torch.eye(k, dtype=parts.dtype, device=parts.device)
    return (parts * eye.unsqueeze(1)).flatten(-3, -2)


def _fresh(A: Tensor, grid: Grid) -> Tensor:
    """A with nothing carried into the first row of a series."""
    return A.masked_fill(grid.reset.reshape(*grid.reset.shape, *[1] * (A.dim() - 2)), 0)
