"""Paths: the value of every channel at every row, straight lines between what was observed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from tsssm.data import Panel, Scaling
from tsssm.dynamics.kernels.bank import Rows
from tsssm.features.pace import MOST_PARTS, Pace

# a gap of a whole number of steps may come out longer by rounding, and must not get one part more
ROUNDING = 1e-6


class Before(NamedTuple):
    """When each channel was last seen before the first row, and its value then: (c,) each, NaN for never."""

    time: np.ndarray
    value: np.ndarray


def rows_of(panel: Panel, scaling: Scaling, pace: Pace) -> Rows:
    """Give the paths of a panel, whose rows have all been observed at least in part, as the bank reads them.

    Gaps are in steps of the pace, so that no number depends on the unit of time. O(rows c).
    """
    starts = np.repeat(panel.offsets[:-1], panel.lengths)
    values = interpolated(panel.times, scaling.transform(panel.values), starts, pace.reach)
    gap = np.diff(panel.times, prepend=panel.times[:1]) / pace.step
    gap[panel.offsets[:-1][panel.lengths > 0]] = 0.0
    return as_rows(values, gap, panel.offsets)


def as_rows(values: np.ndarray, gap: np.ndarray, offsets: np.ndarray) -> Rows:
    """Pack what the bank reads; `gap` in steps."""
    parts = np.clip(np.ceil(gap - ROUNDING), 1, MOST_PARTS).astype(np.int32)
    kept = np.ascontiguousarray(values, dtype=np.float32)
    return Rows(*(torch.from_numpy(part) for part in (kept, gap, parts, np.asarray(offsets, dtype=np.int64))))


def interpolated(
    times: np.ndarray, values: np.ndarray, starts: np.ndarray, reach: float, before: Before | None = None
) -> np.ndarray:
    """Fill each channel along straight lines between its observations.

    Before its first observation a channel has the value of that, after its last one the value of that. What lies more
    than `reach` off is not looked at: across a longer gap the last value holds, and a channel that nothing tells of is 0.

    Parameters
    ----------
    times : ndarray, (rows,)
    values : ndarray, (rows, c)
        Scaled, NaN where not observed.
    starts : ndarray of int, (rows,)
        First row of the series of each row.
    reach : float
    before : Before, optional
        What was seen before, where the rows go on with a series.

    Returns
    -------
    ndarray, (rows, c)
    """
    out = np.zeros_like(values)
    for channel, column in enumerate(values.T):
        seen = np.isfinite(column)
        if seen.all():
            out[:, channel] = column
            continue
        last = None if before is None else (before.time[channel], before.value[channel])
        out[:, channel] = _filled(times, column, seen, starts, reach, last)
    return out


def _filled(
    times: np.ndarray,
    column: np.ndarray,
    seen: np.ndarray,
    starts: np.ndarray,
    reach: float,
    before: tuple[float, float] | None,
) -> np.ndarray:
    row = np.arange(len(column))
    previous = np.maximum.accumulate(np.where(seen, row, -1))
    following = np.minimum.accumulate(np.where(seen, row, len(row))[::-1])[::-1]
    known = np.minimum(following, len(row) - 1)
    has_next = (following < len(row)) & (starts[known] == starts)
    has_last = previous >= starts
    before_time, before_value = before if before is not None else (np.nan, np.nan)
    t0 = np.where(has_last, times[previous], before_time)
    v0 = np.where(has_last, column[previous], before_value)
    has_last |= np.isfinite(t0)
    t1, v1 = times[known], column[known]
    line = has_last & has_next & (t1 - t0 <= reach)
    share = np.divide(times - t0, t1 - t0, out=np.zeros(len(row)), where=line & (t1 > t0))
    near = has_next & ~has_last & (t1 - times <= reach)
    ahead = np.where(near, v1, 0.0)
    return np.where(line, v0 + share * (v1 - v0), np.where(has_last, v0, ahead))
