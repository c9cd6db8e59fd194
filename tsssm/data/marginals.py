"""Marginals: each channel mapped to a normal one by its own quantiles, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from tsssm.data.panel import Panel

KNOTS = 201
# a channel with at most so many different values, each of them some times, is one of counts or classes
LEVELS, REPEATED = 50, 4


@dataclass(frozen=True, eq=False)
class Marginals:
    """A monotone map of each channel to a standard normal one: ``z = ndtri(F(x))``, F its distribution in training.

    F is known at quantiles whose normal scores are evenly spaced, and straight between them. A value that is tied has the
    mean of its scores, and every score of the tie goes back to the value exactly. A channel of few different values goes back
    to these alone: counts stay counts. What is generated has the distribution of the training data wherever the scores are
    normal.

    Parameters
    ----------
    scores : (q,) float64
        Normal scores of the knots, increasing.
    values : (q, c) float64
        Values of each channel there, not decreasing; NaN for a channel that was never observed.
    levels : tuple of ndarray or None
        All values of each channel that has few different ones.

    Examples
    --------
    >>> marginals = Marginals.fit(Panel.from_array([[0.0, 0.0, 0.0, 1.0, 5.0]]))
    >>> marginals.inverse(marginals.transform([[0.0], [1.0], [5.0]])).ravel()
    array([0., 1., 5.])
    """

    scores: np.ndarray
    values: np.ndarray
    levels: tuple[np.ndarray | None, ...]

    @classmethod
    def fit(cls, panel: Panel) -> Marginals:
        """Learn from a training panel. O(rows c log rows)."""
        count = int(np.isfinite(panel.values).sum(0).max(initial=1))
        top = ndtri(1 - 0.5 / max(count, 2))
        scores = np.linspace(-top, top, KNOTS)
        share = np.interp(ndtr(scores), [ndtr(-top), ndtr(top)], [0, 1])
        columns, levels = [], []
        for column in np.asarray(panel.values, dtype=np.float64).T:
            known = column[np.isfinite(column)]
            columns.append(np.quantile(known, share) if len(known) else np.full(KNOTS, np.nan))
            different = np.unique(known)
            few = 0 < len(different) <= min(LEVELS, len(known) / REPEATED)
            levels.append(different if few else None)
        return cls(scores, np.stack(columns, 1), tuple(levels))

    @property
    def seen(self) -> np.ndarray:
        """Whether each channel was ever observed in training, (c,)."""
        return np.isfinite(self.values[0])

    def transform(self, values: Any) -> np.ndarray:
        """Normal scores (rows, c) of values; beyond the training range they go on straight. NaN in channels never seen."""
        values = np.asarray(values, dtype=np.float64)
        out = np.full(values.shape, np.nan)
        for j in np.flatnonzero(self.seen).tolist():
            x, place = np.unique(self.values[:, j], return_inverse=True)
            y = np.bincount(place, self.scores) / np.bincount(place)
            out[:, j] = _line(values[:, j], x, y, self._slope(j))
        return out

    def inverse(self, z: Any, channel_index: Any = None) -> np.ndarray:
        """Values (..., c) of normal scores, as in `Scaling.inverse`."""
        z = np.asarray(z, dtype=np.float64)
        at = np.arange(self.values.shape[1]) if channel_index is None else np.asarray(channel_index)
        if at.ndim == 0:
            return self._back(z, int(at))
        return np.stack([self._back(z[..., k], int(j)) for k, j in enumerate(at)], -1)

    def _back(self, z: np.ndarray, j: int) -> np.ndarray:
        if not self.seen[j]:
            return np.full(z.shape, np.nan)
        x = self.values[:, j]
        # a tie at an end of the range, such as no rain, stays the end
        low, high = (0 if x[a] == x[b] else 1 / self._slope(j) for a, b in ((0, 1), (-1, -2)))
        inside = np.interp(z, self.scores, x)
        under, over = np.minimum(z - self.scores[0], 0), np.maximum(z - self.scores[-1], 0)
        told, levels = inside + low * under + high * over, self.levels[j]
        if levels is None:
            return told
        return levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, told)]

    def _slope(self, j: int) -> float:
        """Scores for a unit of the channel beyond its range: those across the range."""
        span = self.values[-1, j] - self.values[0, j]
        return (self.scores[-1] - self.scores[0]) / span if span > 0 else 1.0


def _line(values: np.ndarray, x: np.ndarray, y: np.ndarray, slope: float) -> np.ndarray:
    """Straight between the points (x, y), and on with a slope beyond them."""
    beyond = np.minimum(values - x[0], 0) + np.maximum(values - x[-1], 0)
    return np.interp(values, x, y) + slope * beyond
