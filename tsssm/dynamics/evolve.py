"""evolve: run any field along a grid by any rule, in the form that is fastest for it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tsssm.dynamics.convolution import convolve, uniform_gap
from tsssm.dynamics.discretization import Discretization, LinearDiscretization
from tsssm.dynamics.fields import Field
from tsssm.dynamics.kernels import library
from tsssm.dynamics.matrices import Diagonal, StateMatrix
from tsssm.dynamics.modal import has_modal_form, keeps_no_states, modal_run, read, reads_start
from tsssm.dynamics.rows import Rows, State, rows_of, state_after
from tsssm.dynamics.scan import scan

Recurrence = Callable[[Tensor, Tensor, Tensor], Tensor]

# numbers of state held at once before a run is cut into pieces that are computed again backwards: 64 MB a copy
STATES_AT_ONCE = 1 << 23

# inputs (b l channels) up to which an FFT beats products of matrices in torch on a CPU
SHORT_RUN = 1 << 16


def evolve(
    field: Field,
    rule: Discretization,
    dt: Tensor,
    u: Tensor,
    state: State | None = None,
    reset: Tensor | None = None,
    readout: Tensor | None = None,
    active: Tensor | None = None,
) -> tuple[Tensor, State]:
    """Advance x' = field(t, x, u) along a grid: x_k = rule.step(field, t_k, dt_k, x_{k-1}, u_k).

    Parameters
    ----------
    field : Field
        A `StateMatrix` of batch shape (*s) and size n, or any other field of states (b, *s, n).
    rule : Discretization
        How a gap is crossed.
    dt : Tensor, (b, l), in time scales, >= 0
        Gap before each row.
    u : Tensor, (b, l, *s, n)
        Input, v = B u in the notation of the rules. For a matrix, a last axis of size 1 feeds all n states alike.
    state : State, optional
        What an earlier piece returned. Zero state if not given.
    reset : Tensor of bool, (b, l), optional
        Rows where a new series starts: the state before is forgotten.
    readout : Tensor, optional
        C of y = Re(C x), so that all states never exist at once: (*s, n) where each channel reads its own states, y
        (b, l, *s); (d, n) where there is one state for all, y (b, l, d). The states themselves, if not given.
    active : Tensor of bool, (b, l), optional
        Rows that bring input; the others only read the state at their time and leave no trace. All, if not given.

    Returns
    -------
    y : Tensor, (b, l, ...)
        The readout of the states.
    state : State
        To pass on to the next piece.

    Notes
    -----
    Diagonal matrices with linear rules run as a scan, O(b l n) work: fused in compiled kernels for every rule but the
    first-order hold. Where each channel has states of its own and no gap wants a gradient, equal gaps become an FFT
    convolution if that is faster: with many modes on CUDA devices, in short runs without the compiled kernels.
    Everything else runs step by step. `evolve_loop` is the specification.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics import Diagonal, ZeroOrderHold, evolve
    >>> y, state = evolve(Diagonal(torch.tensor([-1.0])), ZeroOrderHold(), torch.ones(1, 2), torch.ones(1, 2, 1))
    >>> y.flatten()
    tensor([0.6321, 0.8647])
    """
    if not (isinstance(field, Diagonal) and isinstance(rule, LinearDiscretization)):
        return evolve_loop(field, rule, dt, u, state, reset, readout, active)
    if state is None and _convolution_pays(field, rule, u, readout):
        gap = uniform_gap(dt, reset, active)
        if gap is not None:
            y, x = convolve(field, rule, gap, u.squeeze(-1), readout)
            return y, state_after(x, dt, u, None, reset, None)
    return evolve_scan(field, rule, dt, u, state, reset, readout, active)


def _convolution_pays(A: Diagonal, rule: LinearDiscretization, u: Tensor, readout: Tensor | None) -> bool:
    """Whether an FFT is worth a look on an even grid.

    On a CPU the compiled scan beats it at every length and at up to 64 modes; without that, products of matrices in torch
    beat it on long runs. Forward and backward in float32 on one core, 64 channels, complex modes, ms in products | by FFT,
    which repeat to a third:

    ======= ============= ============= =============== ===============
    rows    b = 4, n = 4  b = 4, n = 32 b = 16, n = 4   b = 16, n = 32
    ======= ============= ============= =============== ===============
    128     4.5 | 2.5     8.0 | 4.8     7.9 | 7.2       17 | 11
    512     8.9 | 6.3     16 | 9.7      19 | 26         40 | 32
    1024    11 | 10       21 | 20       41 | 74         79 | 91
    4096    36 | 54       60 | 64       145 | 352       320 | 407
    16384   165 | 363     265 | 334     1119 | 1508     2219 | 1738
    ======= ============= ============= =============== ===============

    With 16 to 256 channels an FFT takes 0.4 to 1 times as long up to 2^16 inputs, 0.6 to 1.4 times at 2^17. A rule that
    is no modal scan keeps all states otherwise: n = 4, b = 4, 128 rows 31 | 4.3 ms, 2048 rows 344 | 18 ms.
    """
    if not keeps_no_states(A, u, readout):
        return False
    if u.device.type == "cuda":
        return A.eigenvalues.shape[-1] >= 64
    return not has_modal_form(rule) or (library() is None and u.numel() <= SHORT_RUN)


def evolve_scan(
    field: Diagonal,
    rule: LinearDiscretization,
    dt: Tensor,
    u: Tensor,
    state: State | None = None,
    reset: Tensor | None = None,
    readout: Tensor | None = None,
    active: Tensor | None = None,
    recurrence: Recurrence | None = None,
) -> tuple[Tensor, State]:
    """`evolve` for diagonal matrices by a scan over the rows, in pieces when the states would not fit at once.

    A modal scan where the rule has that form; the given or the general recurrence else.
    """
    rows = rows_of(dt, u, state, reset, active, reads_start(rule))
    # the zero state is not even made where nobody reads it
    x = None if state is None else state.x

    def advance(rows: Rows, x: Tensor | None) -> tuple[Tensor, Tensor]:
        run = modal_run(field, rule, rows, x, readout) if recurrence is None else None
        if run is None:
            x = _start(field, u) if x is None else x
            states, x = _scan_piece(field, rule, rows, x, recurrence or scan)
            return read(states, readout), x
        return run

    length, at_once = dt.shape[1], max(1, STATES_AT_ONCE // max(1, _start_shape(field, u).numel()))
    if at_once >= length or (recurrence is None and has_modal_form(rule) and keeps_no_states(field, u, readout)):
        y, x = advance(rows, x)
    else:
        pieces = []
        for start in range(0, length, at_once):
            y, x = checkpoint(advance, rows.piece(start, start + at_once), x, use_reentrant=False)
            pieces.append(y)
        y = torch.cat(pieces, 1)
    return y, state_after(x, dt, u, state, reset, active)


def _scan_piece(
    field: Diagonal, rule: LinearDiscretization, rows: Rows, x: Tensor, recurrence: Recurrence
) -> tuple[Tensor, Tensor]:
    """States at the rows of a piece, and the state at its last active row."""
    step = rule.matrices(field, rows.gap)
    transition = step.transition.eigenvalues
    drive = 0 if step.after is None else step.after.eigenvalues * rows.u
    if step.before is not None:
        drive = drive + step.before.eigenvalues * rows.before
    carry = transition
    if rows.active is not None:
        # a silent row passes the state on untouched, and reads it moved on by its own gap
        carry, drive = torch.where(rows.active, transition, 1), torch.where(rows.active, drive, 0)
    if rows.reset is not None:
        carry = carry.masked_fill(rows.reset, 0)
    shape = torch.broadcast_shapes(carry.shape, drive.shape)
    states = recurrence(carry.expand(shape), drive.expand(shape), x)
    # a copy, for a view would keep the states of the whole piece in memory
    last = states[:, -1].clone()
    if rows.active is not None:
        states = torch.where(rows.active, states, transition * states)
    return states, last


def evolve_loop(
    field: Field,
    rule: Discretization,
    dt: Tensor,
    u: Tensor,
    state: State | None = None,
    reset: Tensor | None = None,
    readout: Tensor | None = None,
    active: Tensor | None = None,
) -> tuple[Tensor, State]:
    """`evolve` one step after another, for every field and rule: the specification of all other forms."""
    rows = rows_of(dt, u, state, reset, active, reads_start=True)
    x = _start(field, u) if state is None else state.x
    if isinstance(field, StateMatrix):
        rows = rows.feeding(field.shape[-1])
    time = torch.zeros_like(rows.gap[:, 0]) if state is None or state.time is None else state.time
    states = []
    for k in range(dt.shape[1]):
        gap, u_k, before = rows.gap[:, k], rows.u[:, k], rows.before[:, k]
        if rows.reset is not None:
            x = torch.where(rows.reset[:, k], 0, x)
            time = torch.where(rows.reset[:, k].squeeze(-1), 0, time)
        if rows.active is None:
            x = moved = rule.step(field, time, gap, x, u_k, before)
            time = time + gap
        else:
            here = rows.active[:, k]
            moved = rule.step(field, time, gap, x, torch.where(here, u_k, 0), torch.where(here, before, 0))
            x = torch.where(here, moved, x)
            time = torch.where(here.squeeze(-1), time + gap, time)
        states.append(moved)
    y = torch.stack(states, 1)
    return read(y, readout), state_after(x, dt, u, state, reset, active)._replace(time=time)


def _start(field: Field, u: Tensor) -> Tensor:
    """Zero state: of the matrix's shape and number type where there is one, else of the input's."""
    if not isinstance(field, StateMatrix):
        return torch.zeros_like(u[:, 0])
    return torch.zeros(_start_shape(field, u), dtype=torch.promote_types(field.dtype, u.dtype), device=u.device)


def _start_shape(field: StateMatrix, u: Tensor) -> torch.Size:
    return torch.broadcast_shapes(u.shape[:1] + u.shape[2:], field.shape[:-1])
