"""Relative: answers row by row, in units of what the series itself shows."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tsssm.data.batch import Batch
from tsssm.errors import explain
from tsssm.grid import Grid, held_gap
from tsssm.heads.base import Head
from tsssm.layers.base import Layer
from tsssm.models.base import Model
from tsssm.models.local import age, at, latest, limit, moments, previous, running, spread, starts, totals, whole_moments
from tsssm.models.seasons import KNOWN_AS, Shown, seasons

# errors beyond this many spreads count as this many
FAR = 1e4


class Reference(NamedTuple):
    """What the answers at each row are relative to, how far off it lies in time, (b, l, c), and inputs (b, l, i).

    `others` (b, l, c, k) are values that an answer may be drawn to.
    """

    start: Tensor
    others: Tensor
    spread: Tensor
    lead: Tensor
    inputs: Tensor


class Frame(NamedTuple):
    """Sizes that a relative model is built for: channels and their roles, and the other inputs."""

    channels: int
    targets: tuple[int, ...]
    known: tuple[int, ...] = ()
    n_static: int = 0
    n_calendar: int = 0
    periods: tuple[float, ...] = ()


class Relative(Model):
    """y = x0 + sum_k g_k (m_k - x0) + s h: a start x0, drawn to other values m_k, plus an answer h in spreads s.

    The first of the others is the mean of the series; a period P in `frame` adds what it showed whole P before.

    Before it has learned anything the model answers x0.

    Parameters
    ----------
    frame : Frame
        Channels and their roles.
    floor : Tensor, (c,)
        Small spreads that series have of their own, in scaled units.
    d_model : int
        Width of the features.
    layer : Layer
        The backbone.
    head : Head
        Distribution of the answer, read off by a linear map `read`, with "quantiles" among its answers.
    """

    per_channel: int
    """Inputs for each channel, a number of the kind of model."""
    per_period: int = 0
    """Inputs for each channel and period of the frame."""

    def __init__(self, frame: Frame, floor: Tensor, d_model: int, layer: Layer, head: Head):
        super().__init__()
        self.targets = list(frame.targets)
        self.register_buffer("floor", floor)
        local = torch.ones(frame.channels, dtype=torch.bool)
        local[list(frame.known)] = False
        self.register_buffer("local", local)
        self.periods = frame.periods
        own = self.per_channel + self.per_period * len(frame.periods)
        width = own * frame.channels + 1 + frame.n_calendar + frame.n_static
        self.embed = nn.Linear(width, d_model)
        self.hidden = nn.Sequential(nn.GELU(), nn.Linear(d_model, d_model))
        self.layer, self.head = layer, head
        # answers hardly differ at the start, whatever the features are
        with torch.no_grad():
            head.read.weight.mul_(0.1)
        drawn = 1 + (KNOWN_AS * len(frame.periods) if self.per_period else 0)
        self.pull = nn.Linear(d_model, len(frame.targets) * drawn)
        nn.init.zeros_(self.pull.weight)
        nn.init.zeros_(self.pull.bias)

    @abstractmethod
    def reference(self, batch: Batch) -> Reference:
        """What the answers are relative to, from what the batch shows."""

    def _run(self, batch: Batch, reference: Reference) -> tuple[Tensor, Tensor, Tensor]:
        """Features, location and spread of each row."""
        grid, dtype = batch.grid, batch.values.dtype
        gap = held_gap(grid.dt, grid.reset, grid.active).log1p().unsqueeze(-1)
        series = batch.static[grid.segment().clamp_min(0)]
        parts = [reference.inputs.to(dtype), gap, series]
        x = self.embed(torch.cat(parts if batch.calendar is None else [*parts, batch.calendar], -1))
        features = self.layer(x + self.hidden(x), grid)[0]
        start, size = (part[..., self.targets].to(dtype) for part in (reference.start, reference.spread))
        others = reference.others[..., self.targets, :].to(dtype)
        gates = self.pull(features).unflatten(-1, others.shape[-2:])
        return features, start + (gates * (others - start.unsqueeze(-1))).sum(-1), size

    def loss(self, batch: Batch) -> Tensor:
        features, location, size = self._run(batch, self.reference(batch))
        target = ((batch.target[..., self.targets] - location) / size).clamp(-FAR, FAR)
        return self.head.loss(features, replace(batch, target=target, wanted=batch.wanted[..., self.targets]))

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        reference = self.reference(batch)
        features, location, size = self._run(batch, reference)
        quantiles = self.head.predict(features, batch)["quantiles"]
        quantiles = location.unsqueeze(-1) + size.unsqueeze(-1) * quantiles
        return {"quantiles": quantiles, "lead": reference.lead[..., self.targets]}


class Ahead(Relative):
    """Forecasts relative to the last value seen, in units of the spread seen so far.

    Level, spread and everything else run along the series and look back only, so that one pass answers at many cuts,
    and a series can be streamed. A layer that looks ahead would see the answers: it is refused with a ValueError.

    Examples
    --------
    >>> Ahead.per_channel
    8
    """

    per_channel = 8
    per_period = KNOWN_AS + 2

    def __init__(self, frame: Frame, floor: Tensor, d_model: int, layer: Layer, head: Head):
        if not layer.causal:
            must, came = (
                "a forecaster needs a layer that looks back only",
                "the layer that came looks at later rows too",
            )
            raise ValueError(explain(must, came, "Take a causal layer, and for NeuralCDE a path such as Rectilinear()"))
        super().__init__(frame, floor, d_model, layer, head)

    def reference(self, batch: Batch) -> Reference:
        values, observed, grid = batch.values, batch.observed, batch.grid
        start = starts(grid)
        mean, size = moments(values, observed, grid, self.floor)
        mean, size = torch.where(self.local, mean, 0.0), torch.where(self.local, size, 1.0)
        now = latest(observed, start)
        before = previous(now, start)
        last, earlier = at(values.double(), now), at(values.double(), before)
        step = torch.where(before >= 0, (last - earlier) / size, 0.0)
        fresh = observed & (before >= 0)
        count, steps = running(fresh, start), torch.where(fresh, step, 0.0).clamp(-FAR, FAR)
        rough = spread(count, running(steps * steps, start) / count.clamp_min(1), self.floor)
        since = age(now, grid)
        known = (now >= 0).double()
        inputs = [
            limit((values - mean) / size) * observed,
            observed.double(),
            limit((last - mean) / size) * known,
            limit(step),
            known * torch.exp(-since / 10.0) + since.log1p(),
            limit(mean),
            size.log(),
            rough.log(),
        ]
        start, others = torch.where(now >= 0, last, mean), [mean.unsqueeze(-1)]
        shown = Shown(values, observed, grid) if self.periods else None
        for period in self.periods:
            found = seasons(shown, period)
            off = torch.where(found.known, (found.values - start.unsqueeze(-1)) / size.unsqueeze(-1), 0.0)
            inputs += [limit(part) for part in off.unbind(-1)]
            inputs += [found.known[..., k].double() for k in (0, 1)]
            # what is not known draws nowhere
            others.append(torch.where(found.known, found.values, start.unsqueeze(-1)))
        return Reference(start, torch.cat(others, -1), size, since, torch.cat(inputs, -1))


class Between(Relative):
    """Answers relative to the straight line between the values seen last and next, in units of the series' spread.

    Examples
    --------
    >>> Between.per_channel
    11
    """

    per_channel = 11

    def reference(self, batch: Batch) -> Reference:
        values, observed, grid = batch.values, batch.observed, batch.grid
        mean, size = whole_moments(values, observed, grid, self.floor)
        flipped = (values.flip(1), observed.flip(1), grid.reversed())
        x, past, since = nearest(values, observed, grid)
        z, future, until = (part.flip(1) for part in nearest(*flipped))
        line = between((x, past, since), (z, future, until), mean)
        # how far observed entries are off the line between their own neighbours
        ahead = nearest(values, observed, grid, strictly=True)
        behind = tuple(part.flip(1) for part in nearest(*flipped, strictly=True))
        judged = observed & ahead[1] & behind[1]
        off = torch.where(judged, (values - between(ahead, behind, mean)) / size, 0.0).clamp(-FAR, FAR)
        number = grid.segment().clamp_min(0)
        count = totals(judged.double(), number)
        rough = spread(count, totals(off * off, number) / count.clamp_min(1), self.floor)
        # with a neighbour on one side alone, that one counts
        near = torch.where(past & future, torch.minimum(since, until), torch.maximum(since, until))
        inputs = [
            limit((values - mean) / size) * observed,
            observed.double(),
            limit((line - mean) / size),
            limit((x - mean) / size) * past,
            limit((z - mean) / size) * future,
            past * torch.exp(-since / 10.0) + since.log1p(),
            future * torch.exp(-until / 10.0) + until.log1p(),
            torch.where(past & future, near, 0.0).log1p(),
            limit(mean),
            size.log(),
            rough.log(),
        ]
        # smooth series are answered in smaller units, and only long gaps need many of them
        return Reference(line, mean.unsqueeze(-1), size * rough.sqrt(), near, torch.cat(inputs, -1))


Side = tuple[Tensor, Tensor, Tensor]
"""The value seen nearest on one side, whether there is one, and the time to it, (b, l, c)."""


def nearest(values: Tensor, observed: Tensor, grid: Grid, strictly: bool = False) -> Side:
    """The last value seen, up to and including each row, or at observed entries `strictly` before it."""
    start = starts(grid)
    index = latest(observed, start)
    if strictly:
        index = torch.where(observed, previous(index, start), index)
    return at(values.double(), index), index >= 0, age(index, grid)


def between(past: Side, future: Side, otherwise: Tensor) -> Tensor:
    """The straight line between two sides, one of them where there is only that, else `otherwise`."""
    (x, before, since), (z, after, until) = past, future
    share = torch.where(before & after, since / (since + until).clamp_min(1e-300), after.double())
    return torch.where(before | after, x + (z - x) * share, otherwise)
