"""What a series itself tells at each row: sums, levels and spreads of what was seen, last values and their age."""

from __future__ import annotations

import torch
from torch import Tensor

from tsssm.grid import Grid

# scaled values beyond are taken for this much, so that a wild one cannot swamp the sums of its neighbours
WILD = 1e5


def starts(grid: Grid) -> Tensor:
    """Row where the series of each row starts, (b, l, 1) of int64."""
    rows = torch.arange(grid.dt.shape[1], device=grid.dt.device)
    return torch.where(grid.reset, rows, 0).cummax(1).values.unsqueeze(-1)


def latest(marked: Tensor, start: Tensor) -> Tensor:
    """Nearest marked row up to and including each row in its series, -1 where there is none: (b, l, c) of int64."""
    rows = torch.arange(marked.shape[1], device=marked.device).view(1, -1, 1)
    index = torch.where(marked, rows, -1).cummax(1).values
    return torch.where(index >= start, index, -1)


def at(values: Tensor, index: Tensor) -> Tensor:
    """values (b, l, c) at the rows of an index (b, l, c), 0 where it is -1."""
    return torch.where(index >= 0, values.gather(1, index.clamp_min(0)), 0)


def running(x: Tensor, start: Tensor) -> Tensor:
    """Sums of x (b, l, c) along each series, up to and including each row, in float64."""
    x = x.double()
    total = x.cumsum(1)
    before = (total - x).gather(1, start.expand_as(x))
    return total - before


def previous(index: Tensor, start: Tensor) -> Tensor:
    """From the rows that `latest` gives, the marked row before each, -1 where there is none."""
    return torch.where(index > start, index.gather(1, (index - 1).clamp_min(0)), -1)


def age(index: Tensor, grid: Grid) -> Tensor:
    """Time since the rows of an index (b, l, c), 0 where it is -1."""
    time = grid.dt.double().cumsum(1).unsqueeze(-1).expand_as(index)
    return torch.where(index >= 0, time - time.gather(1, index.clamp_min(0)), 0)


def moments(values: Tensor, observed: Tensor, grid: Grid, floor: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of each channel of a series up to each row, (b, l, c) in float64.

    The spread is s^2 = (n var + p^2) / (n + 1) with the prior p falling from 1, the spread of all data, at n = 0 to the
    `floor` (c,) of small spreads that series have of their own.
    """
    start = starts(grid)
    count = running(observed, start)
    # sums run over differences from the first value, where large levels cannot cancel
    first = at(values.double(), latest(observed & (count == 1), start))
    x = ((values - first) * observed).clamp(-WILD, WILD)
    some = count.clamp_min(1)
    mean = running(x, start) / some
    variance = (running(x * x, start) / some - mean * mean).clamp_min(0)
    return first + mean, spread(count, variance, floor)


def totals(part: Tensor, number: Tensor) -> Tensor:
    """Sums of part (b, l, c) over each whole series, at each of its rows, from the series' numbers (b, l)."""
    flat = number.flatten()
    out = part.new_zeros(int(flat.max()) + 1, part.shape[-1]).index_add(0, flat, part.flatten(0, 1))
    return out[number]


def whole_moments(values: Tensor, observed: Tensor, grid: Grid, floor: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of each channel of a whole series, at each of its rows: (b, l, c) in float64."""
    number, x = grid.segment().clamp_min(0), (values * observed).double()
    count = totals(observed.double(), number)
    mean = totals(x, number) / count.clamp_min(1)
    apart = ((x - mean) * observed).clamp(-WILD, WILD)
    return mean, spread(count, totals(apart * apart, number) / count.clamp_min(1), floor)


def spread(count: Tensor, variance: Tensor, floor: Tensor) -> Tensor:
    """Spread of some values, drawn towards what is usual where they are few."""
    floor = floor.double() ** 2
    prior = floor + (1 - floor) * torch.exp(-count)
    return ((count * variance + prior) / (count + 1)).sqrt()


def limit(x: Tensor, most: float = 4.0) -> Tensor:
    """x up to `most`, and growing like a logarithm beyond."""
    size = x.abs()
    return torch.copysign(size.clamp_max(most) + (size - most).clamp_min(0).log1p(), x)
