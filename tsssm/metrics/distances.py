"""Distances of generated series from real ones that need no training."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors

from tsssm.metrics.pairs import pair_of

LEVELS = 99


class Memorisation(NamedTuple):
    """How close generated series lie to training ones.

    `distance` is the median distance to the nearest training series beside that of held-out series: 1 where generated ones
    are as new as these, 0 for copies. `close` is the share of generated series nearer than all but 5 % of held-out ones,
    .05 at best.
    """

    distance: float
    close: float


def memorisation(training: Any, held_out: Any, generated: Any) -> Memorisation:
    """Whether generated series are copies of training ones: distances to nearest neighbours, beside those of new real series.

    Parameters
    ----------
    training, held_out, generated : Panel or array (n, l, c)
        Series of equal length, channels scaled alike. Held-out ones must share no rows with training ones: windows that
        overlap are near by construction.

    Returns
    -------
    Memorisation

    Raises
    ------
    ValueError
        If the series do not fit each other, or have gaps.

    Notes
    -----
    Euclidean distances of whole series, O(n^2 l c).

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm.metrics import memorisation
    >>> rng = np.random.default_rng(0)
    >>> train, new = rng.normal(size=(2, 100, 5, 1))
    >>> memorisation(train, new, train[:50]).distance
    0.0
    """
    train, new = pair_of(training, held_out)
    _, drawn = pair_of(training, generated)
    nearest = NearestNeighbors(n_neighbors=1).fit(train.reshape(len(train), -1))
    fresh, own = (nearest.kneighbors(part.reshape(len(part), -1))[0][:, 0] for part in (new, drawn))
    scale = max(float(np.median(fresh)), np.finfo(np.float32).tiny)
    return Memorisation(float(np.median(own)) / scale, float(np.mean(own < np.quantile(fresh, 0.05))))


def marginal_distance(real: Any, generated: Any) -> float:
    """Wasserstein distance of the values of each channel, in its real standard deviations, averaged over channels.

    Parameters
    ----------
    real, generated : Panel or array (n, l, c)

    Notes
    -----
    The mean absolute difference of 99 quantiles.

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm.metrics import marginal_distance
    >>> x = np.random.default_rng(0).normal(size=(100, 5, 1))
    >>> round(marginal_distance(x, x + x.std()), 3)
    1.0
    """
    x, y = (part.reshape(-1, part.shape[2]) for part in pair_of(real, generated))
    levels = np.arange(1, LEVELS + 1) / (LEVELS + 1)
    apart = np.abs(np.quantile(x, levels, axis=0) - np.quantile(y, levels, axis=0)).mean(0)
    return float((apart / _positive(x.std(0))).mean())


def autocorrelation_distance(real: Any, generated: Any, lags: int | None = None) -> float:
    """Root mean square difference of autocorrelations at lags 1, 2, ..., over lags and channels.

    Parameters
    ----------
    real, generated : Panel or array (n, l, c)
    lags : int, optional
        All that a series has, if not given.

    Notes
    -----
    A correlation is that of values about the mean over all series and rows: short windows have no mean of their own.

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm.metrics import autocorrelation_distance
    >>> level = np.random.default_rng(0).normal(size=(2000, 1, 1)).repeat(5, 1)
    >>> noise = np.random.default_rng(1).normal(size=(2000, 5, 1))
    >>> round(autocorrelation_distance(level, noise), 1)
    1.0
    """
    x, y = pair_of(real, generated)
    lags = x.shape[1] - 1 if lags is None else min(lags, x.shape[1] - 1)
    apart = [_correlations(x, lag) - _correlations(y, lag) for lag in range(1, lags + 1)]
    return float(np.sqrt(np.mean(np.square(apart))))


def cross_correlation_distance(real: Any, generated: Any) -> float:
    """Root mean square difference of the correlations between channels at the same row; 0 where there is one channel.

    Parameters
    ----------
    real, generated : Panel or array (n, l, c)

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm.metrics import cross_correlation_distance
    >>> x = np.random.default_rng(0).normal(size=(100, 5, 1)).repeat(2, 2)
    >>> cross_correlation_distance(x, x)
    0.0
    """
    tables = []
    for part in pair_of(real, generated):
        flat = part.reshape(-1, part.shape[2]).astype(np.float64)
        z = (flat - flat.mean(0)) / _positive(flat.std(0))
        tables.append(z.T @ z / len(z))
    above = np.triu_indices(tables[0].shape[0], 1)
    return float(np.sqrt(np.mean((tables[0] - tables[1])[above] ** 2))) if len(above[0]) else 0.0


def _correlations(x: np.ndarray, lag: int) -> np.ndarray:
    z = (x - x.mean((0, 1))) / _positive(x.std((0, 1)))
    return (z[:, :-lag] * z[:, lag:]).mean((0, 1))


def _positive(spread: np.ndarray) -> np.ndarray:
    return np.where(spread > 0, spread, 1.0)
