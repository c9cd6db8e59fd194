"""Structural: level, trend and oscillators under noise in each channel, and their exact likelihood by one filter."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tsssm.data.batch import Batch
from tsssm.dynamics.functions import phi1, phi3
from tsssm.dynamics.kalman import Belief
from tsssm.dynamics.kernels.pairs import Filtering, Pairs, filter_pairs, smooth_pairs
from tsssm.models.base import Model
from tsssm.models.entries import Entries, at_end, entries_of, since_begin

# bounds of logarithms: a part with a spread of e^-12 is as good as gone
LEAST, MOST = -12.0, 12.0


class Start(NamedTuple):
    """Where the parameters of c channels with k oscillators begin, in scaled units and time scales.

    `noise`, `level`, `slope` and `first` (c,) are spreads of the observation noise, of the level's steps over a time scale,
    of the slope and of the first level, `center` (c,) its mean, `brake` (c,) the rate at which slopes are forgotten;
    `size`, `rate` and `angle` (c, k) are spread, decay and angular frequency of the oscillators, and `reach` (c, k) by
    how much of itself an angular frequency may change in a unit of its parameter: 0 holds it.
    """

    noise: np.ndarray
    level: np.ndarray
    slope: np.ndarray
    brake: np.ndarray
    first: np.ndarray
    center: np.ndarray
    size: np.ndarray
    rate: np.ndarray
    angle: np.ndarray
    reach: np.ndarray


class Scale(NamedTuple):
    """What is known of the common variance of a series at each entry, (b, l): factor of all variances, and freedom."""

    factor: Tensor
    freedom: Tensor


class Structural(Model):
    """A linear stochastic differential equation for each channel, fitted by its exact likelihood.

    With independent white noises w, level b, slope v and oscillators x_k of channel and series,

        b' = v + q w,  v' = -a v + w s sqrt(2 a),  x_k' = [[-d_k, -f_k], [f_k, -d_k]] x_k + L_k w

    observed as ``y = b + sum of x_k1 + N(0, r)``. Slopes and oscillators begin settled, the level anywhere in N(c, p).
    Any L_k is fitted, so that an oscillator is any ARMA(2, 1) of complex roots, an AR(2) among them.

    Parameters
    ----------
    start : Start
    shared : bool
        Whether all series have the same variances. Otherwise all those of a series are multiplied by a number of its own,
        nu / chi^2 with nu degrees of freedom, which integrates out: answers are Student's t distributions.

    Notes
    -----
    O(entries k^2) in C on the CPU. Channels are independent of each other. Source: Harvey, 1989, Forecasting, structural
    time series models and the Kalman filter, chapter 9 for continuous time and section 3.2 for the common variance.

    Examples
    --------
    >>> import numpy as np
    >>> one, none = np.ones(1), np.ones((1, 1))
    >>> Structural(Start(one, one, one, one, one, 0 * one, none, none, 0 * none, 0 * none), shared=True).pairs
    2
    """

    def __init__(self, start: Start, shared: bool):
        super().__init__()
        self.channels, self.pairs = len(start.noise), 1 + start.size.shape[1]
        # in one dimension, for matrices would be drawn to zero in training
        for name in ("noise", "level", "slope", "brake", "first", "size", "rate"):
            self.register_parameter(f"log_{name}", nn.Parameter(torch.from_numpy(np.log(getattr(start, name)).ravel())))
        self.center = nn.Parameter(torch.from_numpy(start.center.copy()))
        self.register_buffer("angle", torch.from_numpy(start.angle.copy()))
        self.register_buffer("reach", torch.from_numpy(start.reach.copy()))
        self.turn = nn.Parameter(torch.zeros(start.angle.size, dtype=torch.float64))
        self.lean = nn.Parameter(torch.zeros(2 * start.angle.size, dtype=torch.float64))
        self.log_freedom = nn.Parameter(torch.full((self.channels,), math.log(10.0), dtype=torch.float64))
        self.shared = shared

    def log(self, name: str) -> Tensor:
        """Bounded logarithm of a parameter, (c,) or (c, k)."""
        part = getattr(self, f"log_{name}").clamp(LEAST, MOST)
        return part.view(self.channels, -1) if name in ("size", "rate") else part

    def frequency(self) -> Tensor:
        """Angular frequencies of the oscillators, (c, k)."""
        return self.angle * torch.exp(self.reach * self.turn.view(self.angle.shape))

    def oscillators(self) -> Tensor:
        """Settled covariances of the oscillators, (c, k, 3).

        Noise of intensity ``2 d p (I + D(u))``, with D(u) = [[Re u, Im u], [Im u, -Re u]] and a u in the unit disc, settles
        at ``p (I + D(z)), z = u d / (d - i f)``: turning by an angle a turns z by 2 a.
        """
        size, rate, angle = (2 * self.log("size")).exp(), self.log("rate").exp(), self.frequency()
        lean = self.lean.view(2, *size.shape) * (angle > 0)
        u, v = lean / (1 + lean.square().sum(0)).sqrt()
        share = size * rate / (rate * rate + angle * angle)
        along, across = share * (u * rate - v * angle), share * (u * angle + v * rate)
        return torch.stack([size + along, across, size - along], -1)

    def settled(self) -> Tensor:
        """Covariances of the pairs where a series begins, (c, k + 1, 3)."""
        first, slope = (2 * self.log("first")).exp(), (2 * self.log("slope")).exp()
        trend = torch.stack([first, torch.zeros_like(first), slope], -1)
        return torch.cat([trend.unsqueeze(1), self.oscillators()], 1)

    def steps(self, gap: Tensor, channel: Tensor) -> tuple[Tensor, Tensor]:
        """Transitions (*, k + 1, 2, 2) and noises (*, k + 1, 3) over gaps (*) of channels (*), exact."""
        rate, gaps = self.log("rate").exp()[channel], gap.unsqueeze(-1)
        damp, angle = torch.exp(-rate * gaps), self.frequency()[channel] * gaps
        re, im = damp * angle.cos(), damp * angle.sin()
        gone, turned, bent = -torch.expm1(-2 * rate * gaps), 2 * im * im, 2 * re * im
        first, across, second = self.oscillators()[channel].unbind(-1)
        size, along = gone * (first + second) / 2, (first - second) / 2
        along, across = along * (gone + turned) + across * bent, across * (gone + turned) - along * bent
        brake, slope = self.log("brake").exp()[channel], (2 * self.log("slope")).exp()[channel]
        z = brake * gap
        keep, reach, one, none = torch.exp(-z), gap * phi1(-z), torch.ones_like(z), torch.zeros_like(z)
        # slope^2 (2 z - 4 (1 - e^-z) + 1 - e^-2z) / brake^2, without the cancellation
        drift = 4 * slope * gap * gap * z * (2 * phi3(-2 * z) - phi3(-z))
        level = (2 * self.log("level")).exp()[channel] * gap + drift
        F = torch.cat([_four(one, reach, none, keep).unsqueeze(-3), _four(re, -im, im, re)], -3)
        trend = torch.stack([level, slope * brake * reach * reach, -slope * torch.expm1(-2 * z)], -1)
        return F, torch.cat([trend.unsqueeze(-2), torch.stack([size + along, across, size - along], -1)], -2)

    def filter(self, entries: Entries, start: Belief | None = None) -> tuple[Pairs, Filtering]:
        """Filter sequences; `start` (b, n) is where they go on from, none of which then begins within its row."""
        F, N = self.steps(entries.gap, entries.channel)
        # until something is seen a sequence is where it begins, however long that takes
        count = since_begin(entries.seen.long(), entries.begins) - entries.seen.long()
        fresh = ((count == 0) & (entries.begins.cumsum(1) > 0))[..., None, None]
        F, N = torch.where(fresh.unsqueeze(-1), 0, F), torch.where(fresh, self.settled()[entries.channel], N)
        y = torch.where(entries.seen, entries.y - self.center[entries.channel], 0)
        b, l, n = *y.shape, 2 * self.pairs
        if start is None:
            start = Belief(y.new_zeros(b, n), y.new_zeros(b, n, n))
        before = torch.arange(-1, l - 1, device=y.device).expand(b, l)
        r = (2 * self.log("noise")).exp()[entries.channel]
        pairs = Pairs(F, N, y, r, entries.seen, before, *start)
        return pairs, filter_pairs(pairs)

    def loss(self, batch: Batch) -> Tensor:
        """Minus the log-likelihood for each number seen."""
        entries = entries_of(batch)
        _, found = self.filter(entries)
        number = entries.begins.flatten().cumsum(0).sub(1).clamp_min(0)
        seen = entries.seen.flatten()
        parts = torch.stack([found.spread.log(), found.error**2 / found.spread, torch.ones_like(found.error)], -1)
        parts = torch.where(seen.unsqueeze(-1), parts.flatten(0, 1), 0)
        volume, misfit, count = parts.new_zeros(int(entries.begins.sum()), 3).index_add(0, number, parts).unbind(-1)
        if self.shared:
            value = -0.5 * (volume + misfit + count * math.log(2 * math.pi))
        else:
            of = entries.channel.flatten()[entries.begins.flatten()]
            nu = self.log_freedom.clamp(-2, MOST).exp()[of]
            value = torch.lgamma((nu + count) / 2) - torch.lgamma(nu / 2) - 0.5 * count * (math.pi * nu).log()
            value = value - 0.5 * volume - 0.5 * (nu + count) * torch.log1p(misfit / nu)
        return -value.sum() / count.sum().clamp_min(1)

    def scale(self, entries: Entries, found: Filtering, before: tuple[Tensor, Tensor] | None = None) -> Scale:
        """What the rows up to each entry tell of its series' variance; `before` (b,) are misfit and count so far."""
        if self.shared:
            return Scale(torch.ones_like(found.error), torch.full_like(found.error, math.inf))
        misfit = torch.where(entries.seen, found.error**2 / found.spread, 0)
        misfit, count = since_begin(misfit, entries.begins), since_begin(entries.seen.double(), entries.begins)
        if before is not None:
            misfit, count = misfit + before[0].unsqueeze(1), count + before[1].unsqueeze(1)
        nu = self.log_freedom.clamp(-2, MOST).exp()[entries.channel]
        return Scale((nu + misfit) / (nu + count), nu + count)

    def predict(self, batch: Batch, whole: bool = False) -> dict[str, Tensor]:
        """Mean, spread without noise, spread with it, and freedom of each channel at each row, (b, l, c).

        From the rows up to each, or where `whole` from all rows of the series.
        """
        entries = entries_of(batch)
        pairs, found = self.filter(entries)
        scale = self.scale(entries, found)
        mean, cov = smooth_pairs(pairs, found) if whole else (found.mean, found.cov)
        if whole:
            scale = Scale(*(at_end(part, entries.begins) for part in scale))
        mean, inner, outer = self.observed(entries, pairs, mean, cov, scale)
        out = batch.values.new_full((batch.values.shape[2] * batch.values[..., 0].numel(), 4), math.nan)
        parts = torch.stack([mean, inner, outer, scale.freedom], -1).flatten(0, 1)
        out[entries.row] = parts[entries.place].to(out.dtype)
        out = out.view(batch.values.shape[2], *batch.values.shape[:2], 4).permute(1, 2, 0, 3)
        return dict(zip(("mean", "inner", "outer", "freedom"), out.unbind(-1), strict=True))

    def observed(self, entries: Entries, pairs: Pairs, mean: Tensor, cov: Tensor, scale: Scale) -> tuple[Tensor, ...]:
        """Mean of what is observed, and its spread without and with the noise, (b, l)."""
        variance = cov[..., ::2, ::2].sum((-2, -1)).clamp_min(0)
        center = mean[..., ::2].sum(-1) + self.center[entries.channel]
        return center, (scale.factor * variance).sqrt(), (scale.factor * (variance + pairs.r)).sqrt()


def _four(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return torch.stack([a, b, c, d], -1).unflatten(-1, (2, 2))
