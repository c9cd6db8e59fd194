"""The network of a fitted estimator as one graph of plain operators, from the user's units to the user's units."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tsssm.heads import Gaussian, Label, Value
from tsssm.heads.label import SeriesReadout
from tsssm.io.along import Constants, Linear, Norm, Tensors
from tsssm.io.inputs import Rows, Sizes, Totals
from tsssm.io.modes import Clock
from tsssm.io.stacks import StackCell

# below all scores and features, and far from where float32 ends
NOTHING = -1e30


class SeriesRead(Constants):
    """One answer for the series so far: pools, statics and summary statistics, by `Pooling` and `SeriesReadout`."""

    def __init__(self, heads: Sequence[Label] | Sequence[Value], totals: Totals, width: int):
        super().__init__()
        self.score, self.totals = Linear([head.pooling.score for head in heads]), totals
        reads: list[SeriesReadout] = [head.read for head in heads]
        self.norm, self.pooled = Norm([read.norm for read in reads]), Linear([read.pooled for read in reads])
        self.static = None if reads[0].static is None else Linear([read.static for read in reads])
        # last, total, count, top, score, weight, focus
        self.sizes: Sizes = ((width,), (width,), (1,), (width,), (1,), (1,), (width,))

    def forward(
        self, x: Tensor, clock: Clock, values: Tensor, static: Tensor | None, state: Tensors, sums: Tensors
    ) -> tuple[Tensor, Tensors, Tensors]:
        """Numbers (members, b, out), and what is kept of pools and sums."""
        count = state[2]
        on = clock.active
        # a series without any row is answered from one that shows nothing, and keeps nothing of it
        bare = (count[0, :, 0] == 0) & ~on.any(0)
        first = torch.zeros_like(on)
        first[0] = True
        pools = _grown(x, self.score(x), on | (first & bare), state)
        vector = torch.cat([pools[0], pools[1] / pools[2], pools[3], pools[6] / pools[5]], -1)
        kept = tuple(torch.where(bare.unsqueeze(-1), 0.0, pool) for pool in pools)
        numbers, sums = self.totals(values, static, sums)
        out = self.pooled(self.norm(vector))
        return out if self.static is None else out + self.static(numbers), kept, sums


def _grown(x: Tensor, scores: Tensor, rows: Tensor, before: Tensors) -> Tensors:
    """Pools of a series (members, b, d) after the features (l, members, b, d) of these of its rows: `Pooling.grow`."""
    last, total, count, top, score, weight, focus = before
    on, some = rows.unsqueeze(1).unsqueeze(-1), count > 0
    place = torch.cumsum(rows.to(torch.int64), 0)
    final = (rows & (place == place[-1:])).unsqueeze(1).unsqueeze(-1)
    new = on.float().sum(0)
    last = torch.where(new > 0, torch.where(final, x, 0.0).sum(0), last)
    highest = torch.where(on, scores, NOTHING).amax(0)
    known = torch.where(some, score, NOTHING)
    score = torch.maximum(known, highest)
    weights = torch.where(on, torch.exp(torch.where(on, scores - score, 0.0)), 0.0)
    faded = torch.exp(known - score)
    return (
        last,
        total + torch.where(on, x, 0.0).sum(0),
        count + new,
        torch.maximum(torch.where(some, top, NOTHING), torch.where(on, x, NOTHING).amax(0)),
        score,
        faded * weight + weights.sum(0),
        faded * focus + (weights * x).sum(0),
    )


class Network(Constants):
    """All members of an estimator: (rows first) times, values, static, state to the answer and the state after."""

    def __init__(self, estimator: Any):
        super().__init__()
        models = [copy.deepcopy(model).cpu().double().eval() for model in estimator.models_]
        heads = [model.head for model in models]
        self.members, self.kind = len(models), type(heads[0])
        both_ways = not models[0].layer.causal
        embeds = [model.embed for model in models]
        self.rows = Rows(estimator.scaling_, estimator.time_scale_, embeds, both_ways)
        self.stack = StackCell([model.layer for model in models])
        self.read: nn.Module
        own: Sizes = ()
        if self.kind is Gaussian:
            self.read = Linear([head.read for head in heads])
        else:
            totals = Totals(estimator.covariates_)
            self.read = SeriesRead(heads, totals, estimator.d_model)
            own = self.read.sizes + totals.sizes
        if self.kind is not Label:
            self.keep("center", torch.from_numpy(estimator.target_center_), torch.float64)
            self.keep("scale", torch.from_numpy(estimator.target_scale_), torch.float64)
        self.shared: Sizes = self.rows.sizes + (own[7:] if own else ())
        self.each: Sizes = self.stack.sizes + own[:7]
        # clocks and sums need the precision of the user's units
        self.exact = [i in self.rows.exact or i >= len(self.rows.sizes) for i in range(len(self.shared))]

    @property
    def state_size(self) -> int:
        """Numbers in a state."""
        return sum(map(math.prod, self.shared)) + self.members * sum(map(math.prod, self.each))

    def start(self, b: int) -> Tensors:
        """The state where series start."""
        kinds = (torch.float64 if exact else torch.float32 for exact in self.exact)
        shared = (torch.zeros(b, *size, dtype=kind) for size, kind in zip(self.shared, kinds, strict=True))
        return (*shared, *(torch.zeros(self.members, b, *size) for size in self.each))

    def unpacked(self, state: Tensor) -> Tensors:
        """A state (b, n) in float64 as the tensors of the parts, those of all members last."""
        b, lengths = state.shape[0], [math.prod(size) for size in self.shared]
        *shared, own = state.split([*lengths, self.state_size - sum(lengths)], 1)
        each = (
            own.float().reshape(b, self.members, -1).transpose(0, 1).split([math.prod(size) for size in self.each], 2)
        )
        shared = [
            part.reshape(b, *size) if exact else part.reshape(b, *size).float()
            for part, size, exact in zip(shared, self.shared, self.exact, strict=True)
        ]
        return (*shared, *(part.unflatten(2, size) for part, size in zip(each, self.each, strict=True)))

    def packed(self, parts: Tensors) -> Tensor:
        """The tensors of the parts as one state (b, n)."""
        count = len(self.shared)
        shared = [part.reshape(part.shape[0], -1).double() for part in parts[:count]]
        own = torch.cat([part.flatten(2) for part in parts[count:]], 2).transpose(0, 1).flatten(1)
        return torch.cat([*shared, own.double()], 1)

    def forward(
        self, times: Tensor, values: Tensor, static: Tensor | None, state: Tensors, single: bool
    ) -> tuple[Tensor, Tensors]:
        """From times (l, b), values (l, b, c) and static (b, s), all float64."""
        count, sums, layers = len(self.rows.sizes), len(self.shared), len(self.shared) + len(self.stack.sizes)
        x, clock, rows = self.rows(times, values, state[:count], single)
        x, after = self.stack(x, clock, state[sums:layers])
        if self.kind is Gaussian:
            mean = self.read(x)[..., : len(self.center)]
            return mean.double().mean(1) * self.scale + self.center, (*rows, *after)
        numbers, pools, totals = self.read(x, clock, values, static, state[layers:], state[count:sums])
        state = (*rows, *totals, *after, *pools)
        if self.kind is Label:
            probability = torch.softmax(numbers, -1).double().mean(0)
            return probability / probability.sum(-1, keepdim=True), state
        return numbers.double().mean(0) * self.scale + self.center, state


class Whole(nn.Module):
    """Whole series: times (b, l), values (b, l, c) and static (b, s) to the answer."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, times: Tensor, values: Tensor, static: Tensor | None = None) -> Tensor:
        state = self.network.start(times.shape[0])
        out, _ = self.network(times.transpose(0, 1), values.transpose(0, 1), static, state, False)
        return out.transpose(0, 1) if self.network.kind is Gaussian else out


class Step(nn.Module):
    """One row of each series: time (b,), values (b, c), state (b, n) and static (b, s) to answer and next state."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(
        self, time: Tensor, values: Tensor, state: Tensor, static: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        parts = self.network.unpacked(state)
        out, parts = self.network(time.unsqueeze(0), values.unsqueeze(0), static, parts, True)
        return out[0] if self.network.kind is Gaussian else out, self.network.packed(parts)
