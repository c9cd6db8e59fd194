"""Channels with one input and one output each, x' = A x + B u, y = C x, for matrices that are not diagonal."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tsssm.dynamics.convolution import uniform_gap
from tsssm.dynamics.krylov import convolve_matrix
from tsssm.dynamics.paired import Paired
from tsssm.dynamics.rows import Rows, State, rows_of, state_after
from tsssm.dynamics.rules import LinearDiscretization
from tsssm.dynamics.state_matrix import StateMatrix
from tsssm.dynamics.walk import cross, gaps_of, walk

# numbers at work at once before a run is cut into pieces that are computed again backwards: 32 MB in float32
NUMBERS_AT_ONCE = 1 << 23


def evolve_channels(
    A: StateMatrix,
    B: Tensor,
    C: Tensor,
    rule: LinearDiscretization,
    dt: Tensor,
    u: Tensor,
    state: State | None = None,
    reset: Tensor | None = None,
    active: Tensor | None = None,
) -> tuple[Tensor, State]:
    """Run x' = A x + B u, y = C x along a grid, each channel on its own.

    Parameters
    ----------
    A : StateMatrix (h, n, n)
        Real, a matrix for each channel; in 1/time.
    B : Tensor (h, n)
        Input weights.
    C : Tensor (h, n)
        Output weights.
    rule : LinearDiscretization
        How a gap is crossed.
    dt : Tensor (b, l), in time, >= 0
        Gap before each row.
    u : Tensor (b, l, h)
        Input of each channel.
    state, reset, active
        As in `evolve`.

    Returns
    -------
    y : Tensor (b, l, h)
    state : State
        To pass on to the next piece.

    Notes
    -----
    An even grid from its start is an FFT convolution (`convolve_matrix`), where no gap wants a gradient. All else runs
    row after row, with matrices made once for each distinct gap: O(n) a gap and a row for `Paired` under a rational rule,
    O(n^3) a gap and O(n^2) a row for `Dense` and under the exponential rules. `evolve_loop` is the specification.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics import Dense, ZeroOrderHold
    >>> one = torch.ones(1, 1)
    >>> y, state = evolve_channels(Dense(-one[None]), one, one, ZeroOrderHold(), torch.ones(1, 2), torch.ones(1, 2, 1))
    >>> y.flatten()
    tensor([0.6321, 0.8647])
    """
    u = u.unsqueeze(-1)
    # powers of a transition would not survive half precision
    with torch.autocast(u.device.type, enabled=False):
        gap = uniform_gap(dt, reset, active) if state is None else None
        if gap is not None:
            y, x = convolve_matrix(A, B, C, rule, gap, u.squeeze(-1))
            return y, state_after(x, dt, u, None, reset, None)
        rows = rows_of(dt, u, state, reset, active, _reads_start(rule))
        x = u.new_zeros(u.shape[0], *A.shape[:-1]) if state is None else state.x
        y, x = walk_channels(A, B, C, rule, rows, x)
        return y, state_after(x, dt, u, state, reset, active)


def walk_channels(
    A: StateMatrix, B: Tensor, C: Tensor, rule: LinearDiscretization, rows: Rows, x: Tensor
) -> tuple[Tensor, Tensor]:
    """Outputs and last state row after row, in pieces where the matrices of all rows would not fit at once."""
    n = A.shape[-1]
    numbers = C.numel() * (6 if isinstance(A, Paired) and stays_paired(rule) else n)
    shared = None
    if not (rows.gap.requires_grad and torch.is_grad_enabled()):
        distinct = gaps_of(rows).unique()
        if distinct.numel() * numbers <= NUMBERS_AT_ONCE:
            shared = cross(A, B, rule, distinct, shared=True)

    def advance(rows: Rows, x: Tensor) -> tuple[Tensor, Tensor]:
        here = shared or cross(A, B, rule, gaps_of(rows).flatten(), shared=False)
        states, x = walk(here, rows, x)
        return (states * C).sum(-1), x

    length, at_once = rows.gap.shape[1], max(1, NUMBERS_AT_ONCE // (rows.gap.shape[0] * numbers))
    if at_once >= length:
        return advance(rows, x)
    pieces = []
    for start in range(0, length, at_once):
        y, x = checkpoint(advance, rows.piece(start, start + at_once), x, use_reentrant=False)
        pieces.append(y)
    return torch.cat(pieces, 1), x


@lru_cache
def stays_paired(rule: LinearDiscretization) -> bool:
    """Whether the rule keeps the structure of a diagonal plus low rank matrix: asked of the rule itself."""
    return isinstance(rule.matrices(_one_mode(), 1.0).transition, Paired)


@lru_cache
def _reads_start(rule: LinearDiscretization) -> bool:
    return rule.matrices(_one_mode(), 1.0).before is not None


def _one_mode() -> Paired:
    return Paired(torch.zeros(1, dtype=torch.complex64), *torch.zeros(2, 1, 1, dtype=torch.complex64))
