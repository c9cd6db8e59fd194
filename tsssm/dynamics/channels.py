"""Channels with one input and one output each, x' = A x + B u, y = C x, for matrices that are not diagonal."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tsssm.dynamics.convolution import uniform_gap
from tsssm.dynamics.kernels import lowrank
from tsssm.dynamics.krylov import convolve_matrix
from tsssm.dynamics.paired import Paired, as_complex
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
    An even grid from its start is an FFT convolution (`convolve_matrix`), where it pays and no gap wants a gradient. All
    else runs row after row: O(n) a row for `Paired` under a rational rule, in C where it is built (4 series of 256 rows on
    gaps of their own, 64 channels, n = 64, float32, forward and backward on one core: 24 ms, 648 in torch); with matrices
    made once for each distinct gap otherwise, O(n^3) a gap and O(n^2) a row for `Dense` and under the exponential rules.
    `evolve_loop` is the specification.

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
        gap = uniform_gap(dt, reset, active) if state is None and convolution_pays(A, rule, u) else None
        if gap is not None:
            y, x = convolve_matrix(A, B, C, rule, gap, u.squeeze(-1))
            return y, state_after(x, dt, u, None, reset, None)
        rows = rows_of(dt, u, state, reset, active, _reads_start(rule))
        x = u.new_zeros(u.shape[0], *A.shape[:-1]) if state is None else state.x
        run = _compiled if _has_kernel(A, rule, u) else walk_channels
        y, x = run(A, B, C, rule, rows, x)
        return y, state_after(x, dt, u, state, reset, active)


def convolution_pays(A: StateMatrix, rule: LinearDiscretization, u: Tensor) -> bool:
    """Whether an FFT is worth a look on an even grid: in short runs the powers of a matrix cost more than all rows in C.

    Forward and backward in float32 on one core, 64 channels, ms by FFT | in C:

    ============= ======== =========
    rows of batch n = 16   n = 64
    ============= ======== =========
    4 x 128       5.7|6.0  27|6.1
    4 x 1024      21|36    64|43
    16 x 1024     59|161   159|186
    16 x 4096     392|708  452|747
    ============= ======== =========
    """
    return u.shape[0] * u.shape[1] > A.shape[-1] ** 2 or not _has_kernel(A, rule, u)


def _has_kernel(A: StateMatrix, rule: LinearDiscretization, u: Tensor) -> bool:
    """Whether C runs the rows: of half pairs with one column of low rank, under a rule that is a ratio of polynomials."""
    return isinstance(A, Paired) and A.P.shape[-1] == 1 and lowrank.takes(u) and _is_rational(rule)


@lru_cache
def _is_rational(rule: LinearDiscretization) -> bool:
    nothing = torch.zeros(1, 1, 1)
    inputs = rule.modal(nothing, nothing, nothing)
    return inputs is not None and inputs.held and inputs.alpha is not None


def _compiled(
    A: Paired, B: Tensor, C: Tensor, rule: LinearDiscretization, rows: Rows, x: Tensor
) -> tuple[Tensor, Tensor]:
    """`walk_channels` in C, where there is a kernel for the matrix and the rule."""
    inputs = rule.modal(rows.gap.unsqueeze(-1), rows.u if rows.before is None else rows.before, rows.u)
    eigenvalues, P, Q = A.entries()
    # C x of a real state is Re(C' x) of a complex one with the conjugate
    parts = lowrank.planes(eigenvalues, P.squeeze(-1), Q.squeeze(-1), as_complex(B), as_complex(C).conj())
    gap, u = rows.gap.squeeze(-1).to(B.dtype), inputs.inputs.squeeze(-1).to(B.dtype)
    masks = (None if mask is None else mask.flatten(1) for mask in (rows.reset, rows.active))
    y, end = lowrank.lowrank_scan(parts, gap, u, lowrank.planes(as_complex(x)), *masks, inputs.alpha)
    return y, end[..., : A.shape[-1] // 2].mT.flatten(-2)


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
