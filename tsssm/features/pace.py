"""The pace of a panel: how close its rows are, and how long its series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsssm.data import Panel

# Points between two rows are that many at most, so that work stays in proportion to the rows.
MOST_PARTS = 16
# a mean gap is divided by at most this, however close the closest rows are
FINEST = 4.0


@dataclass(frozen=True, eq=False)
class Pace:
    """Time scales of a training panel, in the unit of its clock.

    Parameters
    ----------
    step : float
        Longest step that is taken between two points: longer gaps are divided.
    gaps : ndarray, (c,)
        Median gap between observations of each channel; NaN for one that no series observed twice.
    reach : float
        Longest duration of a series.

    Examples
    --------
    >>> from tsssm.data import Panel
    >>> pace_of(Panel.from_array([[1.0, 2.0, 3.0, 4.0]])).reach
    3.0
    """

    step: float
    gaps: np.ndarray
    reach: float


def pace_of(panel: Panel) -> Pace:
    """Learn the pace of a panel whose rows have all been observed, at least in part; O(rows c).

    A step is the gap that a tenth of the rows do not reach, but not less than a quarter of the mean gap, so that points
    are at most about five times as many as rows.
    """
    series = np.repeat(np.arange(len(panel)), panel.lengths)
    gaps = _gaps(panel.times, series)
    step = max(float(np.quantile(gaps, 0.1)), float(gaps.mean()) / FINEST) if len(gaps) else 1.0
    seen = np.isfinite(panel.values)
    medians = np.full(panel.shape[1], np.nan)
    for channel, rows in enumerate(seen.T):
        own = _gaps(panel.times[rows], series[rows])
        medians[channel] = np.median(own) if len(own) else np.nan
    full = panel.lengths > 0
    first, last = panel.times[panel.offsets[:-1][full]], panel.times[panel.offsets[1:][full] - 1]
    return Pace(step, medians, float((last - first).max()) if full.any() else 0.0)


def _gaps(times: np.ndarray, series: np.ndarray) -> np.ndarray:
    return np.diff(times)[np.diff(series) == 0]
