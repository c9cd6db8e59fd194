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


class RunningSummary:
    """`summarise` of one series that grows.

    Parameters
    ----------
    channels : int
        Number of channels c.

    Notes
    -----
    Means and squares of pieces are put together by the formulas of Chan, Golub, LeVeque, 1983, Algorithms for
    Computing the Sample Variance, equation 2.1, so that nothing cancels in a long series. O(c) memory.

    Examples
    --------
    >>> from tsssm.data.summary import RunningSummary
    >>> summary = RunningSummary(1)
    >>> summary.add(np.array([[1.0], [4.0]]))
    >>> summary.add(np.array([[2.0]]))
    >>> summary.table()[0, [0, 1, 4, 6]]
    array([1., 4., 1., 3.])
    """

    def __init__(self, channels: int):
        # minimum, maximum, mean, sum of squares about it, first, last, count
        self.sums = np.full((len(STATISTICS), channels), np.nan)
        self.sums[[2, 3, 6]] = 0.0

    def add(self, values: np.ndarray) -> None:
        """Go on by values (k, c), NaN where not observed."""
        low, high, mean, squares, first, last, count = self.sums
        seen = ~np.isnan(values)
        new = seen.sum(0)
        some = np.maximum(new, 1)
        x = np.where(seen, values, 0.0)
        mean_new = x.sum(0) / some
        apart = mean_new - mean
        share = new / np.maximum(count + new, 1)
        squares += (((x - mean_new) * seen) ** 2).sum(0) + apart**2 * count * share
        mean += apart * share
        count += new
        np.fmin(low, np.fmin.reduce(values, axis=0, initial=np.nan), out=low)
        np.fmax(high, np.fmax.reduce(values, axis=0, initial=np.nan), out=high)
        column, any_new = np.arange(len(new)), new > 0
        if len(values):
            first[:] = np.where(any_new & np.isnan(first), values[seen.argmax(0), column], first)
            last[:] = np.where(any_new, values[len(values) - 1 - seen[::-1].argmax(0), column], last)

    def table(self) -> np.ndarray:
        """Statistics (c, 7) in the order of `STATISTICS`; NaN for a channel never observed, whose count is 0."""
        table = self.sums.T.copy()
        count = table[:, 6]
        table[:, 3] = np.sqrt(table[:, 3] / np.maximum(count, 1))
        table[count == 0, :6] = np.nan
        return table

    def copy(self) -> RunningSummary:
        """A summary that goes on by itself."""
        other = RunningSummary(self.sums.shape[1])
        other.sums = self.sums.copy()
        return other
