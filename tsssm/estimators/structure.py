"""Structure: where a structural model begins, and what it says, in numbers and in the user's units."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.special import ndtr, ndtri, stdtrit
from torch import Tensor

from tsssm.data import Batch, Scaling, Source
from tsssm.estimators.queries import Query
from tsssm.models.structural import Start, Structural

# rows of a stretch in which periods are looked for, most stretches, and frequencies tried
STRETCH, STRETCHES, FREQUENCIES = 256, 40, 200
# waves of a season
HARMONICS = 2
SMALL = 1e-3


def start_of(source: Source, cycles: int, seasons: list[float]) -> Start:
    """Parameters to begin with, for each channel; `seasons` are periods in time scales."""
    known = np.array([2 * np.pi * (1 + wave) / period for period in seasons for wave in range(HARMONICS)])
    columns = [_channel(source, j, cycles, known) for j in range(source.seen.shape[1])]
    return Start(*(np.array(column, dtype=np.float64) for column in zip(*columns, strict=True)))


def _channel(source: Source, j: int, cycles: int, known: np.ndarray) -> tuple:
    kept = np.flatnonzero(source.seen[:-1, j])
    x, t = source.values[kept, j].numpy().astype(np.float64), source.times[kept]
    owner = np.repeat(np.arange(len(source)), source.lengths)[kept]
    fresh = np.r_[True, np.diff(owner) > 0] if len(x) else np.zeros(0, bool)
    first, last = (
        np.flatnonzero(fresh),
        np.append(np.flatnonzero(fresh)[1:], len(x)) - 1 if len(x) else np.zeros(0, int),
    )
    jumps = np.diff(x)[~fresh[1:]]
    span = max(float(np.median(t[last] - t[first])), 2.0) if len(x) else 2.0
    rough = max(float(np.sqrt(np.mean(jumps**2))) if len(jumps) else 1.0, SMALL)
    mean = np.bincount(owner, x, len(source)) / np.maximum(np.bincount(owner, minlength=len(source)), 1)
    within = max(float(np.sqrt(np.mean((x - mean[owner]) ** 2))) if len(x) else 1.0, SMALL)
    begins = x[first] if len(x) else np.zeros(1)
    apart = float(np.hypot(begins.std(), within))
    found = periods_in(x, t, owner, cycles, known)
    angle = np.concatenate([[0.0], found, known])
    rate = np.concatenate([[span**-0.5], found / 20, np.full(len(known), 0.3 / span)])
    # how far a peak can be off: about the width that the length of the series gives it
    reach = np.concatenate([[0.0], np.clip(4 * np.pi / (found * span), 0.02, 0.1), 0 * known])
    size = np.full(len(angle), 0.5 * within)
    return 0.5 * rough, 0.3 * rough, 0.05 * rough, 10 / span, apart, begins.mean(), size, rate, angle, reach


def periods_in(x: np.ndarray, t: np.ndarray, owner: np.ndarray, count: int, known: np.ndarray) -> np.ndarray:
    """Angular frequencies of the `count` highest peaks over the general slope of the spectrum, apart from the known ones.

    The spectrum is the mean of least-squares periodograms of stretches without their trends (Lomb, 1976).
    """
    stretches = _stretches(t, owner)
    spans = [t[rows][-1] - t[rows][0] for rows in stretches]
    longest = max(np.median(spans) / 1.5 if spans else 0.0, 4.0)
    angle = 2 * np.pi / np.geomspace(2.5, max(longest, 5.0), FREQUENCIES)
    power = np.full(FREQUENCIES, 1e-12)
    for rows in stretches:
        u, z = t[rows] - t[rows].mean(), x[rows] - x[rows].mean()
        z = z - u * (u @ z) / max(float(u @ u), 1e-12)
        wave = np.exp(1j * angle[:, None] * u)
        power += np.abs(wave @ z) ** 2 / len(z) / max(float(z @ z), 1e-12)
    line = np.polyfit(np.log(angle), np.log(power), 1)
    height = np.log(power) - np.polyval(line, np.log(angle))
    free = np.ones(FREQUENCIES, bool)
    for near in known:
        free &= np.abs(np.log(angle / near)) > 0.2
    found = []
    for _ in range(count):
        place = int(np.argmax(np.where(free, height, -np.inf))) if free.any() else FREQUENCIES // 2
        found.append(angle[place])
        free &= np.abs(np.log(angle / angle[place])) > 0.3
    return np.array(found)


def _stretches(t: np.ndarray, owner: np.ndarray) -> list[np.ndarray]:
    """Rows of some stretches of at least 8 observations of one series, evenly picked."""
    cuts = np.flatnonzero(np.diff(owner)) + 1
    parts = []
    for rows in np.split(np.arange(len(t)), cuts):
        parts += [part for part in np.array_split(rows, max(1, len(rows) // STRETCH)) if len(part) >= 8]
    return [parts[i] for i in np.unique(np.linspace(0, len(parts) - 1, STRETCHES).astype(int))] if parts else []


class Told(NamedTuple):
    """Answers (r, c) in scaled units: means, spreads without and with the noise of observations, and freedom."""

    mean: np.ndarray
    inner: np.ndarray
    outer: np.ndarray
    freedom: np.ndarray

    def quantiles(self, levels: np.ndarray) -> np.ndarray:
        """Quantiles (r, c, levels) of what would be observed."""
        nu = self.freedom[..., None]
        score = np.where(np.isinf(nu), ndtri(levels), stdtrit(np.where(np.isinf(nu), 1.0, nu), levels))
        return self.mean[..., None] + self.outer[..., None] * score

    def std(self) -> np.ndarray:
        """Half the width of what holds the signal with the probability of a standard deviation, 68.3 %: (r, c)."""
        return self.inner * np.where(np.isinf(self.freedom), 1.0, stdtrit(np.minimum(self.freedom, 1e9), ndtr(1.0)))


def told(batches: Iterable[Batch], query: Query, predict: Callable[[Batch], dict[str, Tensor]]) -> Told:
    """Answers of all batches at the rows asked."""
    # one row more for the blank row that stands for series without any
    out = np.full((4, query.panel.n_rows + 1, query.panel.shape[1]), np.nan)
    for batch in batches:
        with torch.no_grad():
            found = predict(batch)
        rows, place = batch.rows.numpy(), batch.place
        for part, name in zip(out, Told._fields, strict=True):
            part[rows] = found[name].flatten(0, 1)[place].numpy()
    return Told(*(part[:-1][query.asked] for part in out))


@torch.no_grad()
def components_of(model: Structural, channels: tuple[str, ...], scaling: Scaling, time_scale: float) -> pd.DataFrame:
    """The parts of a model in the units of the channels and of the clock."""
    unit = scaling.scale[:, None]
    rate, turn = (part.numpy() / time_scale for part in (model.log("rate").exp(), model.frequency()))
    size, brake = model.oscillators()[..., 0].sqrt().numpy() * unit, model.log("brake").exp().numpy() / time_scale
    rows = []
    for j, channel in enumerate(channels):
        spread = {name: model.log(name)[j].exp().item() * scaling.scale[j] for name in ("noise", "level", "slope")}
        rows.append((channel, "noise", spread["noise"], np.nan, np.nan))
        rows.append((channel, "level", spread["level"] / np.sqrt(time_scale), np.inf, np.nan))
        rows.append((channel, "slope", spread["slope"] / time_scale, 1 / brake[j], np.nan))
        for k in range(size.shape[1]):
            period = 2 * np.pi / turn[j, k] if turn[j, k] else np.inf
            rows.append((channel, "cycle" if turn[j, k] else "drift", size[j, k], 1 / rate[j, k], period))
    return pd.DataFrame(rows, columns=["channel", "part", "spread", "decay", "period"])
