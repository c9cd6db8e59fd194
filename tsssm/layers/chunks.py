"""Chunks: rows of each series cut by count or by time, and where each chunk begins, ends and is known to be complete."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tsssm.grid import Grid, previous_active
from tsssm.layers.driven import Steps

# share of a window by which a row may lie beyond its end and still belong to it: rounding of the gaps
ROUNDING = 1e-3


class Carried(NamedTuple):
    """What the next piece has to know of the chunks so far.

    `open` (b,) says whether the last chunk is not complete yet and `first` whether it is the first of its series; `window`
    is its number and `reach` its end as far as known, `end` that of the last complete chunk; `since`, `time` and `count`
    are those of the last active row, as in `Steps`.
    """

    open: Tensor
    first: Tensor
    window: Tensor
    reach: Tensor
    end: Tensor
    since: Tensor
    time: Tensor
    count: Tensor

    @classmethod
    def none(cls, like: Tensor) -> Carried:
        """What there is before the first piece, for gaps (b, l) like these."""
        zero = torch.zeros(len(like), dtype=torch.float64, device=like.device)
        whole = zero.long()
        return cls(zero.bool(), zero.bool(), whole - 1, zero, zero, -zero, zero, whole)


class Chunks(NamedTuple):
    """The chunks of a piece; number 0 is the one that the piece before left open.

    Attributes
    ----------
    number : Tensor, (b, l)
        Chunk of each active row, and of the last active one before it of each silent row.
    begins : Tensor of bool, (b, l)
        Rows that are the first of their chunk.
    window : Tensor, (b, l)
        Number of the row's chunk in its series.
    gap : Tensor, (b, l)
        Time from the start of the chunk's window to a row that begins it.
    end : Tensor, (b, l)
        When the row's chunk ends, as far as known by then, in chunks.
    closes : Tensor of bool, (b, l)
        Active rows that complete their chunk.
    """

    number: Tensor
    begins: Tensor
    window: Tensor
    gap: Tensor
    end: Tensor
    closes: Tensor


def cut(size: float, steps: Steps, grid: Grid, carried: Carried | None) -> Chunks:
    """Chunks of `size` rows (int), or of the windows (k size, (k + 1) size] of time since one gap before the series (float)."""
    time = torch.where(steps.moves, steps.time + steps.gap.double(), 0.0) + 1.0
    if isinstance(size, int):
        window = steps.count // size
        closes, gap, end = steps.count % size == size - 1, steps.gap.double(), time / size
    else:
        window = (time / size - ROUNDING).ceil().long() - 1
        closes = time / size >= window.double() + (1 - ROUNDING)
        gap, end = (time - window.double() * size).clamp_min(0), (window + 1).double()
    before = previous_active(grid.reset, grid.active)
    last = torch.full_like(window[:, :1], -1) if carried is None else carried.window.unsqueeze(1)
    previous = torch.where(before >= 0, window.gather(1, before.clamp_min(0)), last)
    shows = grid.active & grid.valid
    begins = shows & (steps.starts | (window != previous))
    return Chunks(begins.cumsum(1), begins, window, gap.to(grid.dt.dtype), end, closes & shows)


class Coarse(NamedTuple):
    """The chunks of a piece as rows of a grid (b, m), those that are not complete yet as padding.

    `last` (b, m) is the last active row of each chunk, -1 for none in this piece; `first` whether it begins its series;
    `end` when it ends, in chunks.
    """

    grid: Grid
    last: Tensor
    first: Tensor
    end: Tensor


def coarse(chunks: Chunks, grid: Grid, starts: Tensor, carried: Carried | None) -> Coarse:
    """One row for each chunk, and the gaps between their ends."""
    (b, l), m = grid.dt.shape, int(chunks.number.max()) + 1
    rows = torch.arange(l, device=grid.dt.device).expand(b, l)
    shown = torch.where(grid.active & grid.valid, rows, -1)
    last = torch.full((b, m), -1, device=rows.device).scatter_reduce(1, chunks.number, shown, "amax")
    found, at = last >= 0, last.clamp_min(0)
    begun = chunks.number[:, -1:]
    complete = (torch.arange(m, device=rows.device) < begun) | (found & chunks.closes.gather(1, at))
    first = torch.zeros(b, m, dtype=torch.long, device=rows.device)
    first = first.scatter_reduce(1, chunks.number, starts.long(), "amax").bool()
    end = torch.where(found, chunks.end.gather(1, at), 0.0)
    if carried is None:
        complete[:, 0] = False
        earlier = torch.zeros_like(end[:, :1])
    else:
        complete[:, 0] &= carried.open
        first[:, 0] |= carried.open & carried.first
        kept = torch.where(carried.open, carried.reach, carried.end)
        end[:, 0] = torch.where(carried.open & found[:, 0], end[:, 0], kept)
        earlier = carried.end.unsqueeze(1)
    gap = torch.where(first, 1.0, end - torch.cat([earlier, end[:, :-1]], 1)) * complete
    return Coarse(Grid(gap.to(grid.dt.dtype), complete, first & complete, complete), last, first, end)
