"""The clock of a batch: which rows are real, where a series starts, and how much time passes before each row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Grid:
    """Gaps, padding and series starts of a packed batch.

    Series are laid end to end in the rows of a batch; `reset` marks where a new one starts. Time is measured in time
    scales (the median gap of the training data), so that multiplying all times by a constant changes nothing.

    Parameters
    ----------
    dt : Tensor, (b, l), in time scales, >= 0
        Gap before each row. The first row of a series has gap 1; padding has gap 0, which leaves a state as it is.
    valid : Tensor of bool, (b, l)
        False for padding.
    reset : Tensor of bool, (b, l)
        True at the first row of a series: whatever came before is forgotten.
    active : Tensor of bool, (b, l)
        Rows that bring input. A row that is valid but not active is silent: it asks for the state at its time and
        leaves no trace in it, so an answer does not depend on what else was asked.

    Examples
    --------
    >>> import torch
    >>> from tsssm.grid import Grid
    >>> Grid.regular(1, 3).dt
    tensor([[1., 1., 1.]])
    """

    dt: Tensor
    valid: Tensor
    reset: Tensor
    active: Tensor

    @classmethod
    def regular(cls, b: int, l: int, dt: float = 1.0, dtype: torch.dtype | None = None) -> Grid:
        """One series a row, all rows observed, equal gaps: the textbook case."""
        every = torch.ones(b, l, dtype=torch.bool)
        reset = torch.zeros(b, l, dtype=torch.bool)
        reset[:, :1] = True
        return cls(torch.full((b, l), dt, dtype=dtype), every, reset, every)

    @classmethod
    def from_gaps(cls, dt: Tensor) -> Grid:
        """One series a row, all rows observed, with the given gaps (b, l)."""
        regular = cls.regular(*dt.shape)
        return cls(dt, *(mask.to(dt.device) for mask in (regular.valid, regular.reset, regular.active)))

    @cached_property
    def silent(self) -> bool:
        """Whether any row is valid and not active."""
        return bool((self.valid & ~self.active).any())

    @cached_property
    def padded(self) -> bool:
        """Whether any row is padding."""
        return not bool(self.valid.all())

    @cached_property
    def single(self) -> bool:
        """Whether every row of the batch is one series from end to end, without padding."""
        return not self.padded and bool(self.reset[:, 0].all()) and not bool(self.reset[:, 1:].any())

    def quiet(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (b, l, d) as input of a run, and the mask `active` that the run needs, None if it needs none.

        Padding alone needs no mask: its gap is 0, and with zero input a state passes through it unchanged.
        """
        if self.silent:
            return x, self.active
        return (x * self.valid.unsqueeze(-1) if self.padded else x), None

    def segment(self) -> Tensor:
        """Number of the series of each row, counted along the batch, -1 for padding: (b, l) of int64; not to be changed."""
        return self._segment

    # models ask for it many times in a step
    @cached_property
    def _segment(self) -> Tensor:
        number = self.reset.flatten().cumsum(0).view(self.reset.shape) - 1
        return number.masked_fill(~self.valid, -1)

    def reversed(self) -> Grid:
        """The same rows read backwards.

        Gaps are shifted, not only flipped: the gap before a row of the reversed series is the one after it in the
        original (specification of S5 with variable steps; flipping alone is wrong by one place).
        """
        return self._reversed

    @cached_property
    def _reversed(self) -> Grid:
        ends = self.ends().flip(1)
        after = torch.cat([self.dt[:, 1:], torch.ones_like(self.dt[:, :1])], 1).flip(1)
        valid = self.valid.flip(1)
        return Grid(torch.where(ends, 1.0, after) * valid, valid, ends, self.active.flip(1))

    def ends(self) -> Tensor:
        """True at the last row of each series: (b, l) of bool."""
        outside = torch.ones_like(self.reset[:, :1])
        return self.valid & torch.cat([self.reset[:, 1:] | ~self.valid[:, 1:], outside], 1)

    @cached_property
    def begins(self) -> Tensor:
        """True at the first active row of each series: (b, l) of bool."""
        return self.active & self.valid & (previous_active(self.reset, self.active) < 0)

    def piece(self, start: int, stop: int) -> Grid:
        """Rows start to stop, for running a layer in pieces with its state passed on."""
        return Grid(*(part[:, start:stop] for part in (self.dt, self.valid, self.reset, self.active)))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Grid:
        """The grid on another device, its gaps in another precision."""
        masks = (mask.to(device) for mask in (self.valid, self.reset, self.active))
        return Grid(self.dt.to(device=device, dtype=dtype), *masks)


def previous_active(reset: Tensor, active: Tensor) -> Tensor:
    """Index of the nearest active row strictly before each row in the same series, -1 where there is none: (b, l)."""
    rows = torch.arange(active.shape[1], device=active.device).expand(active.shape)
    seen = torch.where(active, rows, -1).cummax(1).values
    before = torch.cat([torch.full_like(seen[:, :1], -1), seen[:, :-1]], 1)
    start = torch.where(reset, rows, 0).cummax(1).values
    return torch.where(before >= start, before, -1)


def last_active(reset: Tensor, active: Tensor) -> Tensor:
    """Index of the last active row of the series that a piece ends in, -1 where there is none: (b,)."""
    rows = torch.arange(active.shape[1], device=active.device)
    last = torch.where(active, rows, -1).amax(1)
    return torch.where(last >= torch.where(reset, rows, 0).amax(1), last, -1)


def held_gap(dt: Tensor, reset: Tensor, active: Tensor, since: Tensor | None = None) -> Tensor:
    """Time since the previous active row (b, l): how long the input of a row acts when silent rows lie between.

    `since` (b,) is what `time_since` gave for the piece before. The first active row of a series has the gap of the
    series' first row, which is 1 by convention. Sums run in float64, since float32 differences of long sums lose the
    gaps.
    """
    time = dt.double().cumsum(1)
    before = previous_active(reset, active)
    gap = time - time.gather(1, before.clamp_min(0))
    running = time
    if since is not None:
        since = since.double().unsqueeze(1)
        running = torch.where(since.signbit(), -since, time + since)
    rows = torch.arange(dt.shape[1], device=dt.device)
    start = torch.where(reset, rows, 0).cummax(1).values
    fresh = torch.where(reset.cumsum(1) > 0, dt.double().gather(1, start), running)
    return torch.where(before >= 0, gap, fresh).to(dt.dtype)


def time_since(dt: Tensor, reset: Tensor, active: Tensor, since: Tensor | None = None) -> Tensor:
    """Time since the last active row at the end of a piece (b,), which `held_gap` of the next piece needs.

    While no row of a series has been active it is minus the gap that the first one will have, which is known by now:
    the sign, kept by -0.0 as well, tells the two apart.
    """
    time, rows = dt.double().cumsum(1), torch.arange(dt.shape[1], device=dt.device)
    start, last, begun = torch.where(reset, rows, 0).amax(1), last_active(reset, active), reset.any(1)
    gap = time[:, -1] - time.gather(1, last.clamp_min(0).unsqueeze(1)).squeeze(1)
    running = time[:, -1]
    if since is not None:
        since = since.double()
        running = torch.where(since.signbit(), -since, running + since)
        bare = begun | since.signbit()
    else:
        bare = begun
    fresh = torch.where(begun, dt.double().gather(1, start.unsqueeze(1)).squeeze(1), running)
    gap = torch.where(last >= 0, gap, fresh).to(dt.dtype)
    # gaps that go back after silent rows may leave a rounding error below 0
    return torch.where(bare & (last < 0), -gap, gap.abs())
