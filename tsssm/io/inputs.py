"""Rows as they come, in the user's units: scaled, carried on and summed up as the estimators do it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from tsssm.data import Scaling
from tsssm.data.scaling import LARGEST, StaticEncoder
from tsssm.estimators.covariates import Covariates
from tsssm.io.along import Constants, Linear, Tensors, along
from tsssm.io.modes import Clock
from tsssm.models import Embed, PartialRows

Sizes = tuple[tuple[int, ...], ...]


def limited(z: Tensor, most: float) -> Tensor:
    """z up to `most`, and growing like a logarithm beyond."""
    size = z.abs()
    if most == float("inf"):
        return z
    return torch.where(size <= most, z, torch.sign(z) * (most + torch.log1p((size - most).clamp_min(0))))


class Rows(Constants):
    """Features of each row of all members, and the clock: from times (l, b) and values (l, b, c), NaN for missing."""

    def __init__(self, scaling: Scaling, time_scale: float, embeds: Sequence[Embed], both_ways: bool):
        super().__init__()
        self.time_scale, self.limit, self.both_ways = time_scale, scaling.soft_limit, both_ways
        for name in ("center", "scale"):
            self.keep(name, torch.from_numpy(getattr(scaling, name)), torch.float64)
        self.keep("known", torch.from_numpy(scaling.seen), torch.bool)
        self.partial = isinstance(embeds[0], PartialRows)
        self.linear = Linear([embed.mix.linear for embed in embeds])
        self.hidden = Linear([embed.mix.hidden[1] for embed in embeds])
        channels = (len(scaling.center),)
        # whether a row was active, when, and the last value of each channel; then when, and whether there was one: those
        # that tell of times are exact
        self.sizes: Sizes = ((), (), channels) + ((channels, channels) if self.partial else ())
        self.exact = (0, 1, 3)

    def forward(self, times: Tensor, values: Tensor, state: Tensors, single: bool) -> tuple[Tensor, Clock, Tensors]:
        time = times / self.time_scale
        seen = ~torch.isnan(values) & self.known
        z = ((torch.where(seen, values, self.center) - self.center) / self.scale).clamp(-LARGEST, LARGEST)
        z = limited(z, self.limit).float()
        active = seen.any(-1)
        state, (gap, last, *rest) = along(self._row, state, (time, active, z, seen), single)
        back = None
        if self.both_ways:
            nothing = (torch.zeros_like(state[0]), torch.zeros_like(state[0]))
            _, (back,) = along(_gap, nothing, (-time.flip(0), active.flip(0)), single)
        parts = [last]
        if self.partial:
            age, met = rest
            fresh = torch.where(met > 0, torch.exp(age.float() / -10.0), 0.0)
            parts = [z, seen.float(), last, fresh]
        x = self.linear(torch.cat(parts, -1).unsqueeze(1))
        return x + self.hidden(nn.functional.gelu(x)), Clock(gap, active, back, single), state

    def _row(self, carry: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
        (begun, before, last, *rest), (time, active, z, seen) = carry, row
        stood, (gap,) = _gap((begun, before), (time, active))
        last = torch.where(seen, z, last)
        if not self.partial:
            return (*stood, last), (gap, last.clone())
        stamp, met = rest
        stamp, met = torch.where(seen, time.unsqueeze(-1), stamp), torch.where(seen, 1.0, met)
        return (*stood, last, stamp, met), (gap, last.clone(), (time.unsqueeze(-1) - stamp).clamp_min(0), met.clone())


def _gap(carry: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
    """Time since the active row before, and 1 where there is none: the convention of `Grid`."""
    (begun, before), (time, active) = carry, row
    # the time of a row that only fills up may lie anywhere
    gap = torch.where(begun > 0, (time - before).clamp_min(0), 1.0)
    return (torch.where(active, 1.0, begun), torch.where(active, time, before)), (gap,)


class Totals(Constants):
    """Covariates of series: static features and running summary statistics, standardised as `Covariates` does it."""

    def __init__(self, covariates: Covariates):
        super().__init__()
        self.encoder: StaticEncoder = covariates.encoder
        self.keep("center", torch.from_numpy(covariates.center), torch.float64)
        # what hardly varied in training was divided by infinity
        self.keep("inverse", torch.from_numpy(1 / covariates.scale), torch.float64)
        self.sizes: Sizes = ((len(covariates.center) // 7,),) * 7

    def forward(self, values: Tensor, static: Tensor | None, state: Tensors) -> tuple[Tensor, Tensors]:
        """Numbers (b, s), and the sums of each channel (b, c) after these rows, all in float64."""
        low, high, mean, squares, first, last, count = state
        seen = ~torch.isnan(values)
        x, weight = torch.where(seen, values, 0.0), seen.double()
        new, some = weight.sum(0), count > 0
        met = weight.cumsum(0)
        total = count + new
        # Chan, Golub, LeVeque, 1983, equation 2.1, as in data.summary
        own = x.sum(0) / new.clamp_min(1)
        apart, share = own - mean, new / total.clamp_min(1)
        squares = squares + (((x - own) * weight) ** 2).sum(0) + apart**2 * count * share
        mean = mean + apart * share
        least = torch.where(seen, values, torch.inf).amin(0)
        most = torch.where(seen, values, -torch.inf).amax(0)
        low = torch.where(some, torch.minimum(low, least), torch.where(new > 0, least, 0.0))
        high = torch.where(some, torch.maximum(high, most), torch.where(new > 0, most, 0.0))
        first = torch.where(some, first, torch.where(met == 1, x * weight, 0.0).sum(0))
        last = torch.where(new > 0, torch.where(met == new, x * weight, 0.0).sum(0), last)
        state = (low, high, mean, squares, first, last, total)
        spread = torch.sqrt(squares / total.clamp_min(1))
        table = torch.stack([low, high, mean, spread, first, last, torch.log1p(total)], -1)
        known = (total > 0).unsqueeze(-1) | (torch.arange(7) == 6)
        z = (table.flatten(1) - self.center) * self.inverse
        z = torch.where(known.flatten(1), limited(z, 3.0), 0.0)
        return (z if static is None else torch.cat([*self._encoded(static), z], -1)).float(), state

    def _encoded(self, static: Tensor) -> list[Tensor]:
        """Columns of static features: numbers, or numbers of categories; NaN for missing ones."""
        parts = []
        for j, column in enumerate(self.encoder.columns):
            x = static[:, j : j + 1]
            missing = torch.isnan(x)
            if column.categories is None:
                z = ((x - column.center) / column.scale).clamp(-LARGEST, LARGEST)
                parts.append(torch.where(missing, 0.0, z))
            elif column.categories:
                parts.append((x == torch.arange(len(column.categories), dtype=x.dtype)).double())
            if column.missing:
                parts.append(missing.double())
        return parts


def plain(value: object) -> object:
    """A label or category as JSON has it."""
    return value.item() if isinstance(value, np.generic) else value
