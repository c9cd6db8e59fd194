"""integrate: a field along control paths, each series from its own start, over its own gaps, within a memory limit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from tsssm.dynamics.fields import Field, StochasticField
from tsssm.dynamics.fixed_steps import FixedStepSolver
from tsssm.dynamics.mlp_fields import MLPField, NoisyMLP
from tsssm.dynamics.paths import ControlPath
from tsssm.dynamics.rules import Discretization
from tsssm.dynamics.solvers import EulerMaruyama
from tsssm.dynamics.trajectories import CHAINS, trajectory
from tsssm.errors import explain

MEBIBYTE = 1 << 20


def integrate(
    field: Field,
    rule: Discretization,
    path: ControlPath,
    start: Tensor,
    by: Literal["time", "path"] = "time",
    state: Tensor | None = None,
    max_step: float | None = None,
    memory: float | None = None,
) -> tuple[Tensor, Tensor]:
    """States of ``dx = f(t, x, X(t)) dt + g(t, x, X(t)) dW``, or of ``dx = F(t, x, dX)``, at every row of a batch.

    Each series starts at its first active row, and every step ends exactly at a row: nothing is interpolated between
    steps, so variances are right at irregular times.

    Parameters
    ----------
    field : Field
        What moves the state. By time its input u is the value of the path. By path it is dX/ds, and the field must be linear
        in it: ``F(x) u``, a controlled differential equation.
    rule : Discretization
        A solver; the input is a signal inside each gap, which rules given by matrices do not take.
    path : ControlPath
    start : Tensor, (b, l, n)
        State of a series whose first active row is this one; silent rows before it answer with their own.
    by : "time" or "path", default "time"
        What drives the state.
    state : Tensor, (b, n), optional
        Where the piece before ended, for series that go on.
    max_step : float, optional, in time scales
        No step is longer: gaps are cut into as many equal parts as the longest of each row of the grid needs. Gaps
        shorter than it are one step. The `substeps` of the rule, if not given.
    memory : float, optional, in MiB
        What the graph for the backward pass may hold: beyond it, states are kept at a few rows only and the rest is
        computed again backwards, with the same noise. No limit, if not given.

    Returns
    -------
    states : Tensor, (b, l, n)
        After each row, of silent rows as well, which leave no trace.
    state : Tensor, (b, n)
        At the last active row, to pass on to the next piece.

    Raises
    ------
    ValueError
        If shapes do not fit, `max_step` or `memory` is not positive, a start is not finite, or a state stops being
        finite: then with the row and the gap where that began.
    TypeError
        If noise is to be driven by a path, or the rule has no steps to choose.

    Notes
    -----
    Cost: one step of the rule for each row of the grid, whatever the number of series. An `MLPField` or `NoisyMLP` along a
    hold or linear path, one series a row, runs in compiled code with the solvers of `trajectory`. `integrate_loop` is the specification.

    Examples
    --------
    >>> from tsssm.dynamics import Diagonal
    >>> from tsssm.dynamics.paths import Hold
    >>> from tsssm.dynamics.solvers import RK4
    >>> from tsssm.grid import Grid
    >>> path, _ = Hold().path(torch.zeros(1, 3, 0), torch.zeros(1, 3, 0).bool(), Grid.regular(1, 3))
    >>> decay = MLPField(1, depth=0)
    >>> states, last = integrate(decay, RK4(), path, torch.zeros(1, 3, 1))
    >>> states.shape
    torch.Size([1, 3, 1])
    """
    _check(field, path, start, by, state, memory)
    if by == "time" and max_step is None and memory is None and _in_one_piece(field, rule, path):
        states, last = _compiled(field, rule, path, start, state)
    else:
        states, last = integrate_loop(field, rule, path, start, by, state, max_step, memory)
    check_finite(states, path.gap.unflatten(1, (-1, path.legs)).sum(2))
    return states, last


def integrate_loop(
    field: Field,
    rule: Discretization,
    path: ControlPath,
    start: Tensor,
    by: Literal["time", "path"] = "time",
    state: Tensor | None = None,
    max_step: float | None = None,
    memory: float | None = None,
) -> tuple[Tensor, Tensor]:
    """`integrate` one step after another, for every field and rule: the specification. Arguments as there."""
    rules = _rules(rule, path, max_step, by)
    times = path.times.to(start.dtype.to_real())
    drive = (path if by == "time" else path.rates()).pieces()
    # of the few flags one look is enough: each would wait for the device
    fresh, silent = path.fresh.any(0).tolist(), (~path.active).any(0).tolist()

    def run(x: Tensor, first: int, last: int) -> tuple[Tensor, Tensor]:
        states = []
        for k in range(first, last):
            u = drive[k]
            if fresh[k]:
                x = torch.where(u.fresh.unsqueeze(-1), start[:, k // path.legs], x)
            dt = u.gap if by == "time" else torch.ones_like(u.gap)
            moved = rules[k].step(field, times[:, k], dt, x, u)
            x = torch.where(u.active.unsqueeze(-1), moved, x) if silent[k] else moved
            if (k + 1) % path.legs == 0:
                states.append(moved)
        return x, torch.stack(states, 1)

    x, legs, rows = start[:, 0] if state is None else state, path.legs, start.shape[1]
    pieces, row, at_once = [], 0, rows
    if memory is not None and torch.is_grad_enabled():
        (x, y), held = _measured(lambda: run(x, 0, legs))
        pieces, row, at_once = [y], 1, max(1, int(memory * MEBIBYTE / max(held, 1)))
    whole = row + at_once >= rows
    while row < rows:
        end = min(rows, row + at_once)
        step = run if whole else _again(run, getattr(rule, "generator", None))
        x, y = step(x, row * legs, end * legs)
        pieces.append(y)
        row = end
    return torch.cat(pieces, 1), x


def _compiled(
    field: MLPField | NoisyMLP, rule: FixedStepSolver, path: ControlPath, start: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """All gaps at once, where no series starts inside a row and no row is silent."""
    drift = field.drift if isinstance(field, NoisyMLP) else field
    x = start[:, 0] if state is None else torch.where(path.fresh[:, :1], start[:, 0], state)
    ends = (path.value(1.0), path.value(0.0)) if drift.d_input else (None, None)
    states = trajectory(field, rule, path.gap, x, *ends, path.times[:, 0].to(x.dtype))
    return states[:, path.legs - 1 :: path.legs], states[:, -1]


def _in_one_piece(field: Field, rule: Discretization, path: ControlPath) -> bool:
    fits = isinstance(field, NoisyMLP) if isinstance(rule, EulerMaruyama) else isinstance(field, (MLPField, NoisyMLP))
    if not fits or type(rule) not in CHAINS or len(path.coefficients) > 2 or not path.gap.numel():
        return False
    moves_silently = ~path.active & (path.gap > 0)
    return not bool(moves_silently.any() | path.fresh[:, path.legs :].any())


def _rules(
    rule: Discretization, path: ControlPath, max_step: float | None, by: Literal["time", "path"]
) -> list[Discretization]:
    """The rule of each piece, cut finely enough."""
    if max_step is None:
        return [rule] * path.gap.shape[1]
    if not (max_step > 0 and math.isfinite(max_step)):
        raise ValueError(
            explain("`max_step` must be positive", f"max_step={max_step} came", "Leave it out for one step a gap")
        )
    if by == "path" or not hasattr(rule, "substeps"):
        raise TypeError(
            explain(
                must="`max_step` needs a rule with `substeps`, driven by time",
                came=f"{type(rule).__name__} driven by {by} came",
                do="Set `substeps` or the tolerances of the rule",
            )
        )
    # a gap that is a multiple of the step but for rounding needs no step more
    parts = (path.gap.detach().double().amax(0) / max_step * (1 - 1e-6)).ceil().clamp_min(1).long().tolist()
    made = {n: replace(rule, substeps=n) for n in set(parts)}
    return [made[n] for n in parts]


def _measured(run: Callable[[], Any]) -> tuple[Any, int]:
    """What `run` returns, and the bytes that its graph holds beside the parameters."""
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if not (tensor.is_leaf and tensor.requires_grad):
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor.detach()

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    return result, sum(seen.values())


def _again(run: Callable, generator: torch.Generator | None) -> Callable:
    """`run`, computed again in the backward pass with the noise of the first time."""
    before: list[Tensor] = []

    def repeatable(*arguments: Any) -> Any:
        if generator is None:
            return run(*arguments)
        now = generator.get_state()
        if not before:
            before.append(now)
            return run(*arguments)
        generator.set_state(before[0])
        try:
            return run(*arguments)
        finally:
            generator.set_state(now)

    return lambda *arguments: checkpoint(repeatable, *arguments, use_reentrant=False)


def _check(field: Field, path: ControlPath, start: Tensor, by: str, state: Tensor | None, memory: float | None) -> None:
    b, l = path.gap.shape[0], path.gap.shape[1] // path.legs
    if start.dim() != 3 or start.shape[:2] != (b, l) or (state is not None and state.shape != (b, start.shape[2])):
        raise ValueError(
            explain(
                must=f"`start` must be ({b}, {l}, n) and `state` ({b}, n), as the path says",
                came=f"start {tuple(start.shape)} and state {None if state is None else tuple(state.shape)} came",
                do="Give a start for every row; only those of first active rows are read",
            )
        )
    if by not in ("time", "path"):
        raise ValueError(explain("`by` must be time or path", f"by={by!r} came", "Choose one of the two"))
    if by == "path" and isinstance(field, StochasticField):
        raise TypeError(
            explain(
                must="noise is driven by time",
                came=f"a {type(field).__name__} was to be driven by the path",
                do="Use by='time', where the field sees the value of the path",
            )
        )
    if memory is not None and not memory > 0:
        raise ValueError(explain("`memory` must be positive", f"memory={memory} came", "Leave it out for no limit"))
    if not bool(torch.where(path.fresh[:, :: path.legs].unsqueeze(-1), start, 0).isfinite().all()):
        raise ValueError(
            explain("`start` must be finite", "NaN or infinity came", "Look at what the start is computed from")
        )


def check_finite(states: Tensor, gap: Tensor) -> None:
    """Raise unless states (b, l, ..., n) are finite, with the first row and gap (b, l) where they are not."""
    broken = ~states.detach().flatten(2).isfinite().all(-1)
    if bool(broken.any()):
        k = int(broken.any(0).nonzero()[0])
        row = int(broken[:, k].nonzero()[0])
        raise ValueError(
            explain(
                must="states must stay finite",
                came=f"batch row {row} overflows or turns NaN in row {k}, after a gap of {float(gap[row, k].detach()):.3g}",
                do="The field is too stiff for these steps, or grows: set max_step, or use ExponentialEulerMaruyama or Torchdiffeq",
            )
        )
