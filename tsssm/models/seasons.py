"""Seasons: what a series showed whole periods before each row, and its level over the last periods."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tsssm.grid import Grid
from tsssm.models.local import WILD, at, latest, running, starts

# a row further than this from the time looked up, in gaps or in shares of the period, tells nothing of it
NEAR_GAPS, NEAR_SHARE = 1.5, 0.05
KNOWN_AS = 4
"""Values that `Seasons` holds for each period."""


class Seasons(NamedTuple):
    """Values (b, l, c, `KNOWN_AS`) for one period P, and which are known.

    In this order: at t - k P and at t - (k + 1) P, with the smallest k that reaches what was seen; the means over the
    last period seen and over the one before.
    """

    values: Tensor
    known: Tensor


class Shown:
    """Rows that were shown of each channel, to be looked up by time.

    Parameters
    ----------
    values : Tensor, (b, l, c)
    observed : Tensor of bool, (b, l, c)
        Shown times increase along each series; rows between may lie at other times.
    grid : Grid
    """

    def __init__(self, values: Tensor, observed: Tensor, grid: Grid):
        self.start, self.values = starts(grid), values.double()
        self.time = grid.dt.double().cumsum(1).unsqueeze(-1).expand(values.shape)
        self.now = latest(observed, self.start)
        rows = torch.arange(values.shape[1], device=values.device).view(1, -1, 1)
        self._row = torch.where(observed, rows, -1).cummax(1).values
        # times of the rows shown last, which never fall along a row of the batch
        shown = torch.where(self._row >= 0, self.time.gather(1, self._row.clamp_min(0)), -torch.inf)
        self._clock = shown.transpose(1, 2).contiguous()
        # sums run over differences from the first value, where large levels cannot cancel
        some = running(observed, self.start)
        self.first = at(self.values, latest(observed & (some == 1), self.start))
        self.total = ((self.values - self.first) * observed).clamp(-WILD, WILD).cumsum(1)
        self.count = observed.double().cumsum(1)

    def row(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Row shown last up to a time of the same series, -1 for none, and the next one shown after it.

        Times are (b, m, c), a block of as many as there are rows after the other: one call for several of each row. The
        next one may lie after what a row may see: the caller asks for times up to that only.
        """
        place = torch.searchsorted(self._clock, time.transpose(1, 2).contiguous(), right=True).transpose(1, 2)
        floor = torch.where(place > 0, self._row.gather(1, (place - 1).clamp_min(0)), -1)
        after = place.clamp_max(self.time.shape[1] - 1)
        return torch.where(floor >= self._blocks(self.start, time), floor, -1), after

    def value(self, time: Tensor, now: Tensor, near: float) -> tuple[Tensor, Tensor]:
        """Values at times (b, m, c) on the straight line between the rows around, and whether one of them is near.

        `now` (b, l, c) is the time of the last row shown, beyond which nothing is looked up.
        """
        floor, after = self.row(time)
        low = self.time.gather(1, floor.clamp_min(0))
        high = self.time.gather(1, after)
        inside = (time < self._blocks(now, time)) & (high > time)
        share = torch.where(inside, (time - low) / (high - low).clamp_min(1e-12), 0.0)
        next_value = torch.where(inside, self.values.gather(1, after), 0.0)
        value = at(self.values, floor) * (1 - share) + next_value * share
        distance = torch.where(inside, torch.minimum(time - low, high - time), time - low)
        return value, (floor >= 0) & (distance <= near)

    def mean(self, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Means over the rows shown after `first` up to `last` (b, m, c), and whether there are both."""
        known = (first >= 0) & (last > first)
        first, last = first.clamp_min(0), last.clamp_min(0)
        total = self.total.gather(1, last) - self.total.gather(1, first)
        count = self.count.gather(1, last) - self.count.gather(1, first)
        return torch.where(known, self._blocks(self.first, first) + total / count.clamp_min(1), 0.0), known

    def _blocks(self, part: Tensor, like: Tensor) -> Tensor:
        """A part of each row, for each block of rows."""
        return part.repeat(1, like.shape[1] // part.shape[1], 1)


def seasons(shown: Shown, period: float) -> Seasons:
    """What was seen whole periods before each row; `period` in time scales."""
    some = shown.now >= 0
    last = torch.where(some, shown.time.gather(1, shown.now.clamp_min(0)), shown.time)
    # half a gap of room: a year has 365 or 366 days, and its month a year ago is the same one
    back = torch.ceil((shown.time - last - 0.5) / period).clamp_min(1) * period
    near = max(NEAR_GAPS, NEAR_SHARE * period)
    past = shown.value(torch.cat([shown.time - back - k * period for k in (0, 1)], 1), last, near)
    # the room keeps a mean from holding thirteen months
    begin = shown.row(torch.cat([last - (k + 1) * period + 0.5 for k in (0, 1)], 1))[0]
    means = shown.mean(begin, torch.cat([shown.now, begin.chunk(2, 1)[0]], 1))
    values, known = (
        torch.stack([*one.chunk(2, 1), *other.chunk(2, 1)], -1) for one, other in zip(past, means, strict=True)
    )
    known = known & some.unsqueeze(-1)
    return Seasons(torch.where(known, values, 0.0), known)
