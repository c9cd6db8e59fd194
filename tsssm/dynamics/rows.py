"""What a run along a grid needs to know of each row, and what it leaves for the next piece of the same series."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tsssm.grid import held_gap, last_active, previous_active, time_since


class State(NamedTuple):
    """Where a run stands: everything the next piece of the same series has to know.

    `x` (b, *s, n) is the state at the last active row, `before` the input there (for rules that look at both ends of
    a gap) and `since` (b,) the time that has passed since that row, as `grid.time_since` writes it. `time` (b, *1) is
    the series' clock at that row, where the field may look at it.
    """

    x: Tensor
    before: Tensor
    since: Tensor
    time: Tensor | None = None


class Rows(NamedTuple):
    """Rows of a run, shaped to broadcast: gaps (b, l, *1) against batch shapes, masks (b, l, *1, 1) against states."""

    gap: Tensor
    u: Tensor
    before: Tensor | None
    reset: Tensor | None
    active: Tensor | None

    def piece(self, start: int, stop: int) -> Rows:
        """Rows start to stop."""
        return Rows(*(part if part is None else part[:, start:stop] for part in self))

    def feeding(self, n: int) -> Rows:
        """The rows with an input for each of n states, where one fed all alike."""
        u, before = (part if part is None else part.expand(*part.shape[:-1], n) for part in (self.u, self.before))
        return self._replace(u=u, before=before)


def rows_of(
    dt: Tensor, u: Tensor, state: State | None, reset: Tensor | None, active: Tensor | None, reads_start: bool
) -> Rows:
    """Gaps between active rows, the inputs at their starts and the masks of a run (arguments of `evolve`)."""
    batch = (1,) * (u.dim() - 3)
    gap = gaps_between(dt, state, reset, active)
    return Rows(
        gap.reshape(gap.shape + batch),
        u,
        _inputs_before(u, state, reset, active) if reads_start else None,
        None if reset is None else reset.reshape(reset.shape + batch + (1,)),
        None if active is None else active.reshape(active.shape + batch + (1,)),
    )


def gaps_between(dt: Tensor, state: State | None, reset: Tensor | None, active: Tensor | None) -> Tensor:
    """Time from the active row before to each row, across pieces: (b, l)."""
    since = None if state is None else state.since
    if active is not None:
        return held_gap(dt, _mask(reset, dt), active, since)
    if since is None:
        return dt
    first = torch.where(since.signbit(), -since, dt[:, 0] + since)
    if reset is not None:
        first = torch.where(reset[:, 0], dt[:, 0], first)
    return torch.cat([first.unsqueeze(1), dt[:, 1:]], 1)


def state_after(
    x: Tensor, dt: Tensor, u: Tensor, state: State | None, reset: Tensor | None, active: Tensor | None
) -> State:
    """The state that a run over these rows leaves when `x` is the state at the last active one."""
    if active is None:
        return State(x, u[:, -1], torch.zeros_like(dt[:, 0]))
    b = len(dt)
    reset = _mask(reset, dt)
    last = last_active(reset, active)
    wide = (b,) + (1,) * (u.dim() - 2)
    here = u[torch.arange(b, device=dt.device), last.clamp_min(0)]
    earlier = 0 if state is None else torch.where(reset.any(1).reshape(wide), 0, state.before)
    since = time_since(dt, reset, active, None if state is None else state.since)
    return State(x, torch.where((last >= 0).reshape(wide), here, earlier), since)


def _inputs_before(u: Tensor, state: State | None, reset: Tensor | None, active: Tensor | None) -> Tensor:
    """Input at the previous active row of the same series, zero where there is none."""
    b, l = u.shape[:2]
    wide = (b, l) + (1,) * (u.dim() - 2)
    rows = torch.ones(b, l, dtype=torch.bool, device=u.device)
    reset = _mask(reset, rows)
    index = previous_active(reset, rows if active is None else active)
    before = u[torch.arange(b, device=u.device).unsqueeze(1), index.clamp_min(0)]
    first = torch.zeros_like(before) if state is None else state.before.unsqueeze(1)
    running = (reset.cumsum(1) == 0).reshape(wide)
    return torch.where(index.reshape(wide) >= 0, before, torch.where(running, first, 0))


def _mask(reset: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like, dtype=torch.bool) if reset is None else reset
