"""Entries: what was seen or asked of each channel of each series, as sequences of their own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tsssm.data.batch import Batch, lay_out


class Entries(NamedTuple):
    """Channels of series as sequences of their own, end to end in rows (b, l) without what was neither seen nor asked.

    `channel`, `gap`, `y`, `seen` and `begins` are (b, l); `row` (e,) is the flat place in the batch of each entry, and
    `place` (e,) its flat place in b * l.
    """

    channel: Tensor
    gap: Tensor
    y: Tensor
    seen: Tensor
    begins: Tensor
    row: Tensor
    place: Tensor


def entries_of(batch: Batch) -> Entries:
    """The entries of a batch that are seen or asked, each channel of each series a sequence."""
    shown, grid = batch.observed if batch.wanted is None else batch.observed | batch.wanted, batch.grid
    time, series = grid.dt.double().cumsum(1), grid.segment()
    channel, row, place = shown.permute(2, 0, 1).nonzero().unbind(-1)
    time, series = time[row, place], series[row, place]
    begins = torch.ones_like(series, dtype=torch.bool)
    begins[1:] = (series[1:] != series[:-1]) | (channel[1:] != channel[:-1])
    gap = torch.where(begins, 0, torch.diff(time, prepend=time[:1]))
    counts = np.diff(np.append(begins.nonzero().flatten().cpu().numpy(), len(series)))
    where, shape, _ = lay_out(counts)
    there = torch.from_numpy(where).to(series.device)
    y, seen = batch.values[row, place, channel].double(), batch.observed[row, place, channel]
    parts = []
    for part in (channel, gap, y, seen, begins):
        spread = part.new_zeros(shape[0] * shape[1])
        spread[there] = part
        parts.append(spread.view(shape))
    flat = (channel * grid.dt.shape[0] + row) * grid.dt.shape[1] + place
    return Entries(*parts, row=flat, place=there)


def since_begin(part: Tensor, begins: Tensor) -> Tensor:
    """Sums of part (b, l) along each sequence, up to and including each entry."""
    total = part.cumsum(1)
    rows = torch.arange(part.shape[1], device=part.device)
    start = torch.where(begins, rows, 0).cummax(1).values
    return total - (total - part).gather(1, start)


def at_end(part: Tensor, begins: Tensor) -> Tensor:
    """Value of part (b, l) at the last entry of each sequence, at all its entries."""
    last = part.shape[1] - 1
    rows = torch.arange(part.shape[1], device=part.device).expand(part.shape)
    ends = torch.where(torch.cat([begins[:, 1:], torch.ones_like(begins[:, :1])], 1), rows, last)
    return part.gather(1, ends.flip(1).cummin(1).values.flip(1))
