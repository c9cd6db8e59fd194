"""The observations of a batch as knots for control paths: times, values filled channel by channel, and what came before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from tsssm.errors import explain
from tsssm.grid import Grid, previous_active


class PathState(NamedTuple):
    """The last two knots of each row of a batch: what a control path needs to go on in the next piece.

    `values` (b, 2, c) are filled, `times` (b, 2) count from the series' first active row, `known` (b, 2) says which of
    the two exist, and `since` (b,) is the time from the last of them to the end of the piece.
    """

    values: Tensor
    times: Tensor
    known: Tensor
    since: Tensor


@dataclass(frozen=True, eq=False)
class Knots:
    """Rows of a batch, behind two columns for the knots of the piece before.

    Parameters
    ----------
    values : Tensor, (b, l, c)
        0 where not `observed`.
    observed : Tensor of bool, (b, l, c)
    times : Tensor of float64, (b, l), in time scales
        Since the first active row of the series, 0 before it.
    gap : Tensor of float64, (b, l)
        Time since the previous active row; 0 where there is none.
    before : Tensor of int, (b, l)
        Index of that row, -1 where there is none.
    active, reset, valid : Tensor of bool, (b, l)

    Examples
    --------
    >>> import torch
    >>> from tsssm.grid import Grid
    >>> shown = torch.tensor([[[True], [False], [True]]])
    >>> knots = knots_of(torch.tensor([[[1.0], [0.0], [3.0]]]), shown, Grid.regular(1, 3))
    >>> knots.interpolated[0].flatten()[2:]
    tensor([1., 2., 3.])
    """

    values: Tensor
    observed: Tensor
    times: Tensor
    gap: Tensor
    before: Tensor
    active: Tensor
    reset: Tensor
    valid: Tensor

    @cached_property
    def fresh(self) -> Tensor:
        """Rows before which nothing of their series came."""
        return self.before < 0

    @cached_property
    def moves(self) -> Tensor:
        """Rows that end a piece of path between two knots, (b, l, 1)."""
        return (self.active & ~self.fresh).unsqueeze(-1)

    @cached_property
    def series(self) -> Tensor:
        """Number of the series of each row within its row of the batch."""
        return self.reset.cumsum(1)

    def at(self, rows: Tensor, values: Tensor) -> Tensor:
        """Values (b, l, c) at an index (b, l) or (b, l, c); row 0 where the index is -1."""
        index = rows if rows.dim() == 3 else rows.unsqueeze(-1)
        return values.gather(1, index.clamp_min(0).expand(*index.shape[:2], values.shape[-1]))

    def neighbours(self, known: Tensor) -> tuple[Tensor, Tensor]:
        """Index of the nearest `known` (b, l, c) row of the series at or before each row, and at or after it; -1 for none."""
        l = known.shape[1]
        rows = torch.arange(l, device=known.device).reshape(1, l, 1)
        last = torch.where(known, rows, -1).cummax(1).values
        next_ = torch.where(known, rows, l).flip(1).cummin(1).values.flip(1)
        series = self.series.unsqueeze(-1).expand(known.shape)
        same_last = series.gather(1, last.clamp_min(0)) == series
        same_next = series.gather(1, next_.clamp_max(l - 1)) == series
        return torch.where(same_last, last, -1), torch.where(same_next & (next_ < l), next_, -1)

    @cached_property
    def held(self) -> Tensor:
        """Last value of each channel, 0 (the training mean) before its first: what is known at each row."""
        last, _ = self.neighbours(self.observed)
        return torch.where(last >= 0, self.at(last, self.values), 0)

    @cached_property
    def interpolated(self) -> tuple[Tensor, bool]:
        """Values filled linearly in time between neighbours, held at the ends; and whether any looks ahead."""
        last, next_ = self.neighbours(self.observed)
        between = (last >= 0) & (next_ >= 0) & ~self.observed & self.active.unsqueeze(-1)
        if not bool(between.any()):
            return self.held, False
        times = self.times.unsqueeze(-1).expand(self.values.shape)
        start, end = self.at(last, times), self.at(next_, times)
        share = torch.where(between, (times - start) / torch.where(end > start, end - start, 1), 0).to(
            self.values.dtype
        )
        return torch.where(between, torch.lerp(self.held, self.at(next_, self.values), share), self.held), True

    def check_distinct(self, scheme: str) -> None:
        """Raise if two active rows of a series come at the same time, where a path would have an infinite slope."""
        same = self.moves.squeeze(-1) & ~(self.gap > 0)
        if bool(same.any()):
            row, place = (int(i) for i in same.nonzero()[0])
            raise ValueError(
                explain(
                    must=f"observations of one series must come at different times for a {scheme} path",
                    came=f"row {place - 2} of batch row {row} is {float(self.gap[row, place]):g} after the one before",
                    do="Merge rows of equal time, or use Linear, Hold or Rectilinear",
                )
            )

    def last(self, filled: Tensor) -> PathState:
        """The last two knots of the last series, as `filled` (b, l, c) has them."""
        more = torch.zeros_like(self.reset[:, :1])
        reset, active = torch.cat([self.reset, more], 1), torch.cat([self.active, more], 1)
        end = previous_active(reset, active)[:, -1:]
        start = torch.where(end >= 0, self.before.gather(1, end.clamp_min(0)), -1)
        index = torch.cat([start, end], 1)
        times = self.times.gather(1, index.clamp_min(0))
        since = torch.where(end[:, 0] >= 0, self.times[:, -1] - times[:, 1], 0)
        return PathState(self.at(index, filled), times, index >= 0, since)


def knots_of(values: Tensor, observed: Tensor, grid: Grid, state: PathState | None = None) -> Knots:
    """Knots of channels on a grid; `state` is what the piece before left."""
    _check(values, observed, grid, state)
    b, l, c = values.shape
    none = torch.zeros(b, 2, dtype=torch.bool, device=values.device)
    if state is None:
        state = PathState(values.new_zeros(b, 2, c), grid.dt.new_zeros(b, 2).double(), none, grid.dt.new_zeros(b))
    reset = torch.cat([none, grid.reset], 1)
    reset[:, 0] = True
    active = torch.cat([state.known, grid.active & grid.valid], 1)
    dt = grid.dt.double()
    dt = torch.cat([none, dt[:, :1] + state.since.double().unsqueeze(1), dt[:, 1:]], 1)
    dt = torch.cat([none[:, :1], (state.times[:, 1:] - state.times[:, :1]) * state.known[:, :1], dt[:, 2:]], 1)
    before = previous_active(reset, active)
    rows = torch.arange(l + 2, device=values.device).expand(b, l + 2)
    origin = torch.where(active & (before < 0), rows, 0).cummax(1).values
    # of each series: an origin of an earlier one does not count
    started = (before >= 0) | active
    clock = dt.cumsum(1)
    base = torch.where(origin < 2, state.times.gather(1, origin.clamp_max(1)), 0)
    times = torch.where(started, clock - clock.gather(1, origin) + base, 0)
    valid = torch.cat([state.known, grid.valid], 1)
    gap = torch.where((before >= 0) & valid, times - times.gather(1, before.clamp_min(0)), 0)
    # sums round, so that a gap close to 0 may come out below it
    _check_gaps(gap, slack=torch.finfo(grid.dt.dtype).eps * clock.detach().abs().max().item() if clock.numel() else 0.0)
    gap = gap.clamp_min(0)
    observed = torch.cat([state.known.unsqueeze(-1).expand(b, 2, c), observed & active[:, 2:].unsqueeze(-1)], 1)
    values = torch.where(observed, torch.cat([state.values.to(values.dtype), values], 1), 0)
    return Knots(values, observed, times, gap, before, active, reset, valid)


def _check_gaps(gap: Tensor, slack: float) -> None:
    # to the active row before: time may go back after silent rows, where several futures are asked of one past
    if not bool((gap >= -slack).all() & gap.isfinite().all()):
        raise ValueError(
            explain(
                must="gaps must be finite and at least 0",
                came=f"gaps from {float(gap.min()):g} to {float(gap.max()):g} came",
                do="Sort each series by time",
            )
        )


def _check(values: Tensor, observed: Tensor, grid: Grid, state: PathState | None) -> None:
    if values.dim() != 3 or observed.shape != values.shape or grid.dt.shape != values.shape[:2]:
        raise ValueError(
            explain(
                must="`values` and `observed` must be (b, l, c) on a grid of (b, l)",
                came=f"values {tuple(values.shape)}, observed {tuple(observed.shape)}, dt {tuple(grid.dt.shape)} came",
                do="Pass the parts of one Batch",
            )
        )
    if not bool(torch.where(observed, values, 0).isfinite().all()):
        raise ValueError(
            explain(
                must="`values` must be finite where `observed`",
                came="NaN or infinity came",
                do="Mark missing entries as not observed",
            )
        )
    if state is not None and state.values.shape != (len(values), 2, values.shape[2]):
        raise ValueError(
            explain(
                must=f"`state` must hold knots of shape ({len(values)}, 2, {values.shape[2]})",
                came=f"{tuple(state.values.shape)} came",
                do="Pass on what the piece before returned",
            )
        )
