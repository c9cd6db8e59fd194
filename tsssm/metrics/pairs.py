"""Real and generated series as two arrays that fit each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsssm.data import as_panel
from tsssm.errors import explain


def pair_of(real: Any, generated: Any, least: int = 10, least_channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Both as float32 arrays (n, l, c) of the same length and channels.

    Raises
    ------
    ValueError
        If series differ in length or channels, have gaps, or are too few.
    """
    x, y = as_windows(real, "real"), as_windows(generated, "generated")
    if x.shape[1:] != y.shape[1:]:
        must = "`real` and `generated` must have the same rows and channels"
        came = f"series are {x.shape[1]} x {x.shape[2]} and {y.shape[1]} x {y.shape[2]}"
        raise ValueError(explain(must, came, "Sample at the times of the real series"))
    if min(len(x), len(y)) < least:
        came = f"{len(x)} and {len(y)} came"
        raise ValueError(explain(f"a score needs at least {least} series of each kind", came, "Sample more"))
    if x.shape[2] < least_channels:
        must = f"this score needs at least {least_channels} channels"
        raise ValueError(explain(must, f"{x.shape[2]} came", "Take `predictive_score_multichannel`"))
    return x, y


def as_windows(X: Any, name: str) -> np.ndarray:
    """Series of one length without gaps as float32 (n, l, c).

    Raises
    ------
    ValueError
        If series differ in length, or an entry is missing.
    """
    panel = as_panel(X)
    lengths = np.unique(panel.lengths)
    if len(lengths) != 1 or lengths[0] < 2:
        came = f"`{name}` has series of {lengths.min()} to {lengths.max()} rows"
        raise ValueError(explain("series must have the same number of rows, at least 2", came, "Cut windows"))
    values = panel.values.reshape(len(panel), lengths[0], -1)
    if not np.isfinite(values).all():
        came = f"`{name}` has {int(np.isnan(values).sum())} missing entries"
        raise ValueError(explain("series must be whole", came, "Compare with the complete series"))
    return values.astype(np.float32)


def minmax(real: Any, *others: Any) -> tuple[np.ndarray, ...]:
    """Each channel scaled so that the real series fill [0, 1]; the others by the same numbers.

    Parameters
    ----------
    real, *others : Panel or array (n, l, c)

    Returns
    -------
    tuple of ndarray, (n, l, c) float32
        A channel that is constant in the real series is only shifted, by its value.

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm.metrics import minmax
    >>> minmax(np.array([[[1.0], [3.0]]]), np.array([[[5.0], [2.0]]]))[1].ravel()
    array([2. , 0.5], dtype=float32)
    """
    arrays = [as_windows(X, "real" if i == 0 else "generated") for i, X in enumerate((real, *others))]
    low, high = arrays[0].min((0, 1)), arrays[0].max((0, 1))
    span = np.where(high > low, high - low, 1)
    return tuple(((array - low) / span).astype(np.float32) for array in arrays)
