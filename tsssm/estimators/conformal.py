"""Conformal: intervals whose coverage is checked on data that was held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from tsssm.estimators.answers import MEDIAN, values_at
from tsssm.heads.rows import LEVELS

# fewer points than this do not make a bin of lead times of their own
ENOUGH = 200
BINS = 8


@dataclass(frozen=True, eq=False)
class Calibration:
    """Held-out answers and truths of each target, from which intervals are widened or narrowed.

    Parameters
    ----------
    quantiles : list of ndarray, (r_j, levels)
        Answers for target j, in scaled units.
    truth : list of ndarray, (r_j,)
        What was observed.
    lead : list of ndarray, (r_j,)
        How far each was from what was seen, in time scales.
    least : float, default 0
        Least factor of the half-widths: 1 keeps intervals from being narrowed.

    References
    ----------
    Romano, Patterson, Candès, 2019, Conformalized Quantile Regression; here the half-widths are multiplied instead of
    added to (Sesia, Candès, 2020, CQR-r), so that quiet series keep narrow intervals.
    """

    quantiles: list[np.ndarray]
    truth: list[np.ndarray]
    lead: list[np.ndarray]
    least: float = 0.0

    def interval(self, quantiles: np.ndarray, lead: np.ndarray, coverage: float) -> np.ndarray:
        """Bounds (r, t, 2) for answers (r, t, levels) at leads (r, t).

        With fewer than about coverage / (1 - coverage) held-out points the widest held-out error decides, and without
        any the quantiles stand as they are.
        """
        out = np.empty((*quantiles.shape[:2], 2))
        for j in range(quantiles.shape[1]):
            low, middle, high = bounds(quantiles[:, j], coverage)
            factor = self._factors(j, lead[:, j], coverage)
            out[:, j, 0], out[:, j, 1] = middle - factor * (middle - low), middle + factor * (high - middle)
        return out

    def calibrated(self, quantiles: np.ndarray, lead: np.ndarray) -> np.ndarray:
        """Quantiles (r, t, levels) whose pairs are the `interval`s of their coverage; the median stays."""
        out = quantiles.copy()
        for k in range(MEDIAN):
            out[..., [k, -1 - k]] = self.interval(quantiles, lead, 1 - 2 * LEVELS[k])
        # factors of two levels may cross
        out[..., :MEDIAN] = np.minimum.accumulate(out[..., MEDIAN::-1], -1)[..., :0:-1]
        out[..., MEDIAN:] = np.maximum.accumulate(out[..., MEDIAN:], -1)
        return out

    def _factors(self, j: int, lead: np.ndarray, coverage: float) -> np.ndarray:
        """By how much the half-widths of target j are multiplied at each lead (r,)."""
        if not len(self.truth[j]):
            return np.ones(len(lead))
        low, middle, high = bounds(self.quantiles[j], coverage)
        above = self.truth[j] >= middle
        width = np.where(above, high - middle, middle - low)
        score = np.abs(self.truth[j] - middle) / np.maximum(width, 1e-9)
        bins = int(np.clip(len(score) // ENOUGH, 1, BINS))
        edges = np.unique(np.quantile(self.lead[j], np.arange(1, bins) / bins))
        of, factor = np.searchsorted(edges, self.lead[j], side="left"), np.ones(len(edges) + 1)
        everything = conformal_quantile(score, coverage)
        for k in range(len(factor)):
            mine = score[of == k]
            factor[k] = conformal_quantile(mine, coverage) if len(mine) >= ENOUGH // 2 else everything
        return np.maximum(factor, self.least)[np.searchsorted(edges, lead, side="left")]


def conformal_quantile(score: np.ndarray, coverage: float) -> float:
    """The ceil((r + 1) coverage)-th smallest of r scores, the largest where that is beyond them."""
    rank = min(len(score), int(np.ceil((len(score) + 1) * coverage)))
    return float(np.partition(score, rank - 1)[rank - 1])


def bounds(quantiles: np.ndarray, coverage: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower bound, median and upper bound of central intervals, from quantiles (r, levels)."""
    z = ndtri(0.5 + coverage / 2)
    ends = values_at(np.array([-z, z]), quantiles)
    return ends[:, 0], quantiles[:, MEDIAN], ends[:, 1]
