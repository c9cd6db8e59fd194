"""Plain forecasts, and intervals for them from their own errors in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tsssm.data import Panel
from tsssm.data.summary import STATISTICS, summarise

Guess = Callable[[Panel, Panel], np.ndarray]
"""From the past (n series) and the rows asked (n series, values unread) to values (rows asked, c)."""


def last_value(past: Panel, asked: Panel) -> np.ndarray:
    """Carry forward the last value observed of each channel."""
    last = summarise(past)[:, :, STATISTICS.index("last")]
    return np.repeat(last, asked.lengths, axis=0)


@dataclass(frozen=True, eq=False)
class Mean:
    """The training mean of each channel, (c,)."""

    mean: np.ndarray

    def __call__(self, past: Panel, asked: Panel) -> np.ndarray:
        return np.repeat(self.mean[None], asked.n_rows, axis=0)


@dataclass(frozen=True)
class Seasonal:
    """The value observed nearest to one period before, and the last value where none lies within the tolerance.

    Parameters
    ----------
    period, tolerance : float
        In encoded time (seconds for datetimes).
    """

    period: float
    tolerance: float

    def __call__(self, past: Panel, asked: Panel) -> np.ndarray:
        out = last_value(past, asked)
        for i, ((times, values), (when, _)) in enumerate(zip(past, asked, strict=True)):
            before = when - self.period * np.maximum(1, np.ceil((when - times[-1]) / self.period))
            rows = slice(asked.offsets[i], asked.offsets[i + 1])
            for channel in range(values.shape[1]):
                seen = np.isfinite(values[:, channel])
                if seen.any():
                    near = nearest(times[seen], before)
                    close = np.abs(times[seen][near] - before) <= self.tolerance
                    out[rows, channel] = np.where(close, values[seen, channel][near], out[rows, channel])
        return out


@dataclass(frozen=True, eq=False)
class LastRidge:
    """Ridge regression of a channel on the last observations of all channels, their ages and the lead time.

    Parameters
    ----------
    models : list
        One fitted regression a channel.
    lags : int
        How many observations of each channel are read.
    season : tuple of float
        Periods, in encoded time, whose sine and cosine at the time asked are read as well.
    """

    models: list
    lags: int
    season: tuple[float, ...] = ()

    @classmethod
    def fit(cls, past: Panel, future: Panel, lags: int = 6, season: tuple[float, ...] = ()) -> LastRidge:
        """Fit the change from the last value on training windows."""
        empty = cls([], lags, season)
        table, base, models = empty._table(past, future), last_value(past, future), []
        for channel in range(past.shape[1]):
            known = np.isfinite(future.values[:, channel] - base[:, channel])
            model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 4, 6)))
            models.append(model.fit(table[known], (future.values - base)[known, channel]))
        return cls(models, lags, season)

    def __call__(self, past: Panel, asked: Panel) -> np.ndarray:
        """Give the values at the rows asked, (rows, c)."""
        table = self._table(past, asked)
        return last_value(past, asked) + np.stack([model.predict(table) for model in self.models], 1)

    def _table(self, past: Panel, asked: Panel) -> np.ndarray:
        parts = [self._recent(past)[np.repeat(np.arange(len(past)), asked.lengths)], leads(past, asked)[:, None]]
        angle = 2 * np.pi * asked.times[:, None] / np.array(self.season)[None]
        table = np.concatenate([*parts, np.sin(angle), np.cos(angle)], 1)
        # what follows the last value depends on how far ahead is asked
        return np.concatenate([table, parts[0] * np.sqrt(parts[1])], 1)

    def _recent(self, past: Panel) -> np.ndarray:
        """Last values of each channel and their ages, (n, 2 * c * lags): what is missing is 0, as is the change."""
        out = np.zeros((len(past), past.shape[1], 2, self.lags))
        for i, (times, values) in enumerate(past):
            for channel in range(past.shape[1]):
                rows = np.flatnonzero(np.isfinite(values[:, channel]))[-self.lags :]
                if len(rows):
                    out[i, channel, 0, -len(rows) :] = values[rows, channel]
                    out[i, channel, 1, -len(rows) :] = times[-1] - times[rows]
        return out.reshape(len(past), -1)


@dataclass(frozen=True, eq=False)
class Band:
    """Errors of a guess in training by how far ahead it is asked: the half-width of its interval.

    Parameters
    ----------
    edges : ndarray, (k,)
        Upper ends of the ranges of lead times.
    width : ndarray, (k, c)
        Half-widths in each range.
    """

    edges: np.ndarray
    width: np.ndarray

    @classmethod
    def fit(cls, guess: Guess, past: Panel, future: Panel, coverage: float = 0.9, ranges: int = 8) -> Band:
        """Take the quantile of the absolute errors of training windows at each range of lead times."""
        ahead, error = leads(past, future), np.abs(future.values - guess(past, future))
        edges = np.unique(np.quantile(ahead, np.linspace(0, 1, ranges + 1)[1:]))
        number = np.searchsorted(edges, ahead)
        width = np.stack([np.nanquantile(error[number == k], coverage, axis=0) for k in range(len(edges))])
        return cls(edges, width)

    def half_width(self, past: Panel, asked: Panel) -> np.ndarray:
        """Half-width of the interval at each row asked, (rows, c)."""
        number = np.searchsorted(self.edges, leads(past, asked))
        return self.width[np.minimum(number, len(self.edges) - 1)]


def leads(past: Panel, asked: Panel) -> np.ndarray:
    """Time of each row asked since the last row of its past."""
    return asked.times - np.repeat(past.times[past.offsets[1:] - 1], asked.lengths)


def nearest(times: np.ndarray, when: np.ndarray) -> np.ndarray:
    """Place of the time nearest to each of `when`."""
    right = np.clip(np.searchsorted(times, when), 1, max(1, len(times) - 1))
    right = np.minimum(right, len(times) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(when - times[left] <= times[right] - when, left, right)
