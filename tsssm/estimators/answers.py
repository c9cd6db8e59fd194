"""Answers: distributions given by a few quantiles - other levels, means, joint samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtri

from tsssm.errors import explain
from tsssm.heads.rows import LEVELS

Z = ndtri(np.array(LEVELS))
MEDIAN = len(LEVELS) // 2
# Gauss-Hermite nodes and weights of a standard normal variable
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(32)


def values_at(z: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Values at normal scores: z (..., k) and quantiles (..., levels) to (..., k).

    Between the levels, and beyond the outer ones, quantiles are straight lines over the normal score.
    """
    z = np.asarray(z, dtype=np.float64)
    place = np.clip(np.searchsorted(Z, z) - 1, 0, len(Z) - 2)
    shape = np.broadcast_shapes(z.shape[:-1], quantiles.shape[:-1])
    place, full = np.broadcast_to(place, (*shape, z.shape[-1])), np.broadcast_to(quantiles, (*shape, len(Z)))
    low, high = np.take_along_axis(full, place, -1), np.take_along_axis(full, place + 1, -1)
    return low + (high - low) * (z - Z[place]) / (Z[place + 1] - Z[place])


def scores_of(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Normal score of each value (r,) within its quantiles (r, levels): the inverse of `values_at`, within (-4, 4)."""
    place = np.clip((quantiles < values[:, None]).sum(1) - 1, 0, len(Z) - 2)
    rows = np.arange(len(values))
    low, width = quantiles[rows, place], quantiles[rows, place + 1] - quantiles[rows, place]
    share = np.clip((values - low) / np.maximum(width, 1e-12), -50, 50)
    return np.clip(Z[place] + share * (Z[place + 1] - Z[place]), -4, 4)


def mean_of(quantiles: np.ndarray) -> np.ndarray:
    """Mean of each distribution, (..., levels) to (...)."""
    return values_at(NODES, quantiles) @ (WEIGHTS / WEIGHTS.sum())


def check_levels(levels: Sequence[float]) -> np.ndarray:
    """Levels as an array, all strictly between 0 and 1."""
    levels = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    if levels.ndim != 1 or not len(levels) or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(explain("quantiles must lie between 0 and 1", f"{levels.tolist()} came", "Pass (0.05, 0.95)"))
    return levels


def check_coverage(coverage: float) -> float:
    """A coverage strictly between 0 and 1."""
    if not 0 < coverage < 1:
        raise ValueError(explain("`coverage` must lie between 0 and 1", f"{coverage!r} came", "Pass 0.9 for 90 %"))
    return float(coverage)


@dataclass(frozen=True, eq=False)
class Copula:
    """Dependence of forecast errors: a Gaussian copula over lead times and channels.

    The normal scores of two errors from one origin, at leads a and b, are correlated by exp(-near |a - b| - far
    |log(a / b)|); the second term alone with 1/2 is that of a random walk.

    Parameters
    ----------
    near, far : float
        Decay by the time between the leads, in time scales, and by the logarithm of their ratio.
    channels : ndarray, (t, t)
        Lower Cholesky factor of the correlation between channels.
    """

    near: float
    far: float
    channels: np.ndarray

    @classmethod
    def fit(cls, z: np.ndarray, lead: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> Copula:
        """Learn from scores (r, t), NaN where unknown, of rows in groups that share an origin."""
        for column in z.T:
            if (known := np.isfinite(column)).any():
                column -= column[known].mean()
                column /= max(column[known].std(), 1e-9)
        correlation = np.eye(z.shape[1])
        for a in range(z.shape[1]):
            for b in range(a):
                both = z[:, a] * z[:, b]
                count = np.isfinite(both).sum()
                correlation[a, b] = correlation[b, a] = np.nansum(both) / (count + 20)
        values, vectors = np.linalg.eigh(correlation)
        mended = (vectors * np.maximum(values, 1e-6)) @ vectors.T
        size = np.sqrt(np.diag(mended))
        factor = np.linalg.cholesky(mended / np.outer(size, size))
        return cls(*_decay(z, lead, group, rng), factor)

    def sample(self, lead: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        """Scores (n, m, t) at leads (m,)."""
        lead = np.maximum(lead, 1e-9)
        apart = np.abs(lead[:, None] - lead)
        ratio = np.abs(np.log(lead[:, None] / lead))
        along = np.linalg.cholesky(np.exp(-self.near * apart - self.far * ratio) + 1e-9 * np.eye(len(lead)))
        noise = rng.standard_normal((n, len(lead), len(self.channels)))
        return np.einsum("ij,njk,lk->nil", along, noise, self.channels)


def _decay(z: np.ndarray, lead: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """The two rates of decay that fit products of scores best, in least squares; a random walk where none are known."""
    order = np.argsort(group, kind="stable")
    bounds = np.flatnonzero(np.diff(group[order])) + 1
    start = np.repeat(np.r_[0, bounds], np.diff(np.r_[0, bounds, len(order)]))
    size = np.repeat(np.diff(np.r_[0, bounds, len(order)]), np.diff(np.r_[0, bounds, len(order)]))
    first = rng.integers(0, max(1, len(order)), size=min(40_000, 50 * len(order)))
    second = start[first] + (rng.random(len(first)) * size[first]).astype(np.int64)
    i, j = order[first[first != second]], order[second[first != second]]
    product = z[i] * z[j]
    kept = np.isfinite(product).any(1) & (lead[i] > 0) & (lead[j] > 0)
    if kept.sum() < 50:
        return 0.0, 0.5
    product = np.nanmean(product[kept], 1)
    apart, ratio = np.abs(lead[i] - lead[j])[kept], np.abs(np.log(lead[i] / lead[j]))[kept]
    unit = np.median(apart) or 1.0
    apart = apart / unit

    def error(rates: np.ndarray) -> tuple[float, list[float]]:
        fitted = np.exp(-rates[0] * apart - rates[1] * ratio)
        wrong = fitted - product
        return float(np.mean(wrong**2)), [float(-2 * np.mean(each * wrong * fitted)) for each in (apart, ratio)]

    best = minimize(error, [0.1, 0.3], jac=True, bounds=[(0, 50), (0, 50)]).x
    return float(best[0] / unit), float(best[1])
