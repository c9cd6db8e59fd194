"""Quantiles as a distribution of skpro."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from skpro.distributions.base import BaseDistribution

from tsssm.estimators.answers import Z, values_at


def normal(z: np.ndarray) -> np.ndarray:
    """Density of a standard normal law."""
    return np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)


# ends of the pieces in normal scores: the outer two go on beyond the levels
EDGES = np.r_[-np.inf, Z[1:-1], np.inf]
# integrals of 1, z, z^2 and of F, z F over each piece, all with the normal density
MASS, SLOPE = np.diff(ndtr(EDGES)), -np.diff(normal(EDGES))
CURVE = MASS - np.diff(np.r_[0.0, Z[1:-1] * normal(Z[1:-1]), 0.0])
MASS_BELOW = np.diff(ndtr(EDGES) ** 2) / 2
SLOPE_BELOW = np.diff(ndtr(np.sqrt(2) * EDGES)) / (2 * np.sqrt(np.pi)) - np.diff(normal(EDGES) * ndtr(EDGES))


class Piecewise(BaseDistribution):
    """The law whose quantiles are straight lines over the normal score between those that a forecaster answers with.

    With quantiles q_k at levels p_k and scores z_k of a standard normal law, x(z) joins the points (z_k, q_k) and goes
    straight on beyond them; X = x(Z) for a standard normal Z. So between two levels, and in the tails, it is a piece of
    a normal law.

    Parameters
    ----------
    quantiles : ndarray, (rows, columns, levels)
        Not decreasing along the last axis, at the levels of `tsssm.heads.rows.LEVELS`.
    index, columns : Index

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm.estimators.answers import Z
    >>> from tsssm.sktime.distribution import Piecewise
    >>> float(Piecewise(np.broadcast_to(2 + 3 * Z, (1, 1, len(Z)))).var().round(3).iloc[0, 0])
    9.0
    """

    _tags: ClassVar[dict[str, Any]] = {
        "authors": ["the tsssm developers"],
        "capabilities:approx": ["pdfnorm"],
        "capabilities:exact": ["mean", "var", "energy", "pdf", "log_pdf", "cdf", "ppf"],
        "distr:measuretype": "continuous",
        "distr:paramtype": "nonparametric",
        "broadcast_init": "off",
    }

    def __init__(self, quantiles: np.ndarray, index: Any = None, columns: Any = None):
        self.quantiles = quantiles
        index = pd.RangeIndex(quantiles.shape[0]) if index is None else index
        columns = pd.RangeIndex(quantiles.shape[1]) if columns is None else columns
        super().__init__(index=index, columns=columns)

    def _iloc(self, rowidx: Any = None, colidx: Any = None) -> Piecewise:
        quantiles, index, columns = self.quantiles, self.index, self.columns
        if rowidx is not None:
            quantiles, index = quantiles[np.atleast_1d(rowidx)], index[np.atleast_1d(rowidx)]
        if colidx is not None:
            quantiles, columns = quantiles[:, np.atleast_1d(colidx)], columns[np.atleast_1d(colidx)]
        return Piecewise(quantiles, index=index, columns=columns)

    def _iat(self, rowidx: Any = None, colidx: Any = None) -> Piecewise:
        return self._iloc([rowidx], [colidx])

    def _mean(self) -> np.ndarray:
        return self._expected(MASS, SLOPE)

    def _var(self) -> np.ndarray:
        start, slope = self._lines()
        square = start**2 @ MASS + 2 * (start * slope) @ SLOPE + slope**2 @ CURVE
        return square - self._mean() ** 2

    def _energy_self(self) -> np.ndarray:
        # E|X - X'| = 4 E[X F(X)] - 2 E[X]
        return (4 * self._expected(MASS_BELOW, SLOPE_BELOW) - 2 * self._mean()).sum(1)

    def _energy_x(self, x: np.ndarray) -> np.ndarray:
        # E|X - x| = x (2 F(x) - 1) + E[X] - 2 E[X; X <= x]
        z = self._score(x)[0]
        ends = np.minimum(EDGES, z[..., None])
        start, slope = self._lines()
        below = (start * np.diff(ndtr(ends)) - slope * np.diff(normal(ends))).sum(-1)
        return (x * (2 * ndtr(z) - 1) + self._mean() - 2 * below).sum(1)

    def _lines(self) -> tuple[np.ndarray, np.ndarray]:
        """Each piece as a line a + b z: a and b, (rows, columns, levels - 1)."""
        slope = np.diff(self.quantiles) / np.diff(Z)
        return self.quantiles[..., :-1] - slope * Z[:-1], slope

    def _expected(self, mass: np.ndarray, first: np.ndarray) -> np.ndarray:
        start, slope = self._lines()
        return start @ mass + slope @ first

    def _ppf(self, p: np.ndarray) -> np.ndarray:
        return values_at(ndtri(np.asarray(p))[..., None], self.quantiles)[..., 0]

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        return ndtr(self._score(x)[0])

    def _pdf(self, x: np.ndarray) -> np.ndarray:
        return np.exp(self._log_pdf(x))

    def _log_pdf(self, x: np.ndarray) -> np.ndarray:
        z, slope = self._score(x)
        return -0.5 * z**2 - 0.5 * np.log(2 * np.pi) - np.log(slope)

    def _score(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normal score of each value, and the slope dx/dz there."""
        place = np.clip((self.quantiles < np.asarray(x)[..., None]).sum(-1) - 1, 0, len(Z) - 2)[..., None]
        low, high = (np.take_along_axis(self.quantiles, place + k, -1)[..., 0] for k in (0, 1))
        step = Z[place[..., 0] + 1] - Z[place[..., 0]]
        slope = np.maximum(high - low, 1e-12 * np.maximum(1.0, np.abs(high))) / step
        return Z[place[..., 0]] + (x - low) / slope, slope
