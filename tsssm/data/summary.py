"""Summary statistics of each channel of each series: what a first look at a table would compute."""

from __future__ import annotations

import numpy as np

from tsssm.data.panel import Panel

STATISTICS = ("min", "max", "mean", "std", "first", "last", "count")


def summarise(panel: Panel) -> np.ndarray:
    """Minimum, maximum, mean, standard deviation, first, last and number of observed values.

    Parameters
    ----------
    panel : Panel
        n series of c channels.

    Returns
    -------
    ndarray, (n, c, 7)
        In the order of `STATISTICS`, in the units of the channels. NaN where a series never observed a channel; the
        count is 0 there.

    Notes
    -----
    O(rows c), without a loop over series.

    Examples
    --------
    >>> from tsssm.data import Panel
    >>> from tsssm.data.summary import summarise
    >>> summarise(Panel.from_array([[1.0, 4.0, 2.0]]))[0, 0, [0, 1, 4, 6]]
    array([1., 4., 1., 3.])
    """
    n, c = panel.shape
    out = np.full((n, c, len(STATISTICS)), np.nan)
    out[:, :, -1] = 0
    series = np.repeat(np.arange(n), panel.lengths)
    for channel in range(c):
        rows = np.flatnonzero(np.isfinite(panel.values[:, channel]))
        if not len(rows):
            continue
        x, owner = panel.values[rows, channel].astype(np.float64), series[rows]
        start = np.r_[0, np.flatnonzero(np.diff(owner)) + 1]
        stop = np.r_[start[1:], len(rows)]
        count = stop - start
        mean = np.add.reduceat(x, start) / count
        spread = np.sqrt(np.add.reduceat((x - np.repeat(mean, count)) ** 2, start) / count)
        low, high = np.minimum.reduceat(x, start), np.maximum.reduceat(x, start)
        out[owner[start], channel] = np.stack([low, high, mean, spread, x[start], x[stop - 1], count], 1)
    return out
