"""Arrays and lists of series to flat arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tsssm.data.frames import Flat
from tsssm.data.numeric import as_floats, column_floats, require_samples
from tsssm.data.stamps import Stamps, as_stamps
from tsssm.errors import explain


def read_array(values: Any, times: Any = None) -> Flat:
    """Read (n, l) or (n, l, c) values with times (l,) shared or (n, l) of each series, by default 0, 1, 2, ..."""
    array = require_samples(as_floats(values))
    n, length = array.shape[:2]
    array = array.reshape(n * length, -1)
    offsets = np.arange(n + 1, dtype=np.int64) * length
    return Flat(_spread(times, n, length), array, offsets, np.arange(n), default_channels(array.shape[1]))


def _spread(times: Any, n: int, length: int) -> Stamps:
    if times is None:
        return np.tile(np.arange(length), n)
    shape = np.shape(times)
    if shape not in ((length,), (n, length)):
        came = f"X has {n} series of {length} rows and `times` has shape {shape}"
        raise ValueError(explain("`times` must be (l,) or (n, l)", came, "Give one time for each row"))
    stamps = as_stamps(np.concatenate([np.asarray(row) for row in times]) if _nested(times) else times)
    return stamps if len(shape) == 2 else stamps[np.tile(np.arange(length), n)]


def _nested(times: Any) -> bool:
    return isinstance(times, (list, tuple)) and len(times) > 0 and np.ndim(times[0]) > 0


def default_channels(count: int) -> tuple[str, ...]:
    """Name channels that came without names."""
    return tuple(f"x{j}" for j in range(count))


def read_series(series: Any) -> Flat:
    """Read a list with one item per series: (l,) or (l, c) values, (times, values), or a pandas object by time."""
    items = list(series)
    pairs = [_split(item, i) for i, item in enumerate(items)]
    lengths = np.array([len(values) for _, values in pairs], dtype=np.int64)
    widths = {values.shape[1] for _, values in pairs if values.shape[0]} or {v.shape[1] for _, v in pairs}
    if len(widths) > 1:
        first = next(i for i, (_, v) in enumerate(pairs) if len(v) and v.shape[1] != pairs[0][1].shape[1])
        came = f"series 0 has {pairs[0][1].shape[1]} and series {first} has {pairs[first][1].shape[1]}"
        raise ValueError(explain("all series must have the same number of channels", came, "Fill the rest with NaN"))
    width = widths.pop() if widths else 0
    names = _names(items, width)
    values = np.concatenate([v.reshape(-1, width) for _, v in pairs]) if pairs else np.empty((0, width))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Flat(_join([t for t, _ in pairs], lengths), values, offsets, np.arange(len(items)), names)


def _split(item: Any, i: int) -> tuple[Any, np.ndarray]:
    """Give times (None if there are none) and (l, c) values of one item."""
    if isinstance(item, pd.DataFrame):
        columns = [column_floats(item.iloc[:, j], str(name)) for j, name in enumerate(item.columns)]
        return item.index, np.column_stack(columns) if columns else np.empty((len(item), 0))
    if isinstance(item, pd.Series):
        return item.index, column_floats(item, str(item.name))[:, None]
    times = None
    if isinstance(item, tuple) and len(item) == 2 and np.ndim(item[0]) == 1:
        times, item = item
    values = as_floats(item, f"series {i}")
    if values.ndim not in (1, 2):
        came = f"series {i} has shape {values.shape}"
        do = "Reshape your data: an item is (l,) or (l, c)"
        raise ValueError(explain("a series must be (l,) or (l, c)", came, do))
    values = values[:, None] if values.ndim == 1 else values
    if times is not None and len(times) != len(values):
        came = f"series {i} has {len(times)} times and {len(values)} rows of values"
        raise ValueError(explain("a series must have one time for each row", came, "Mend its times"))
    return times, values


def _names(items: list, width: int) -> tuple[str, ...]:
    if items and isinstance(items[0], pd.DataFrame):
        names = [str(name) for name in items[0].columns]
        for i, item in enumerate(items):
            if not isinstance(item, pd.DataFrame) or [str(name) for name in item.columns] != names:
                came = f"series 0 has {names} and series {i} has other columns"
                raise ValueError(explain("all frames must have the same columns", came, "Reindex them"))
        return tuple(names)
    return default_channels(width)


def _join(times: list, lengths: np.ndarray) -> Stamps:
    """Join the times of all series before reading them, so that a mixture is seen and the work is done once."""
    given = [t is not None for t in times]
    if not any(given):
        return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    if not all(given):
        came = f"series {given.index(False)} has none"
        raise ValueError(explain("all series must come with times, or none", came, "Pass (times, values) for each"))
    full = [t for t in times if len(t)]
    if full and all(isinstance(t, pd.Index) for t in full):
        return as_stamps(full[0].append(full[1:]))
    full = [np.asarray(t) for t in full]
    if len({t.dtype.kind.replace("u", "i").replace("f", "i") for t in full}) > 1:
        kinds = sorted({str(t.dtype) for t in full})
        raise ValueError(explain("all series must share one kind of time", f"there are {kinds}", "Convert them"))
    return as_stamps(np.concatenate(full)) if full else np.empty(0)


def is_series_list(X: Any) -> bool:
    """Say whether this is a list of series rather than an array: pairs, pandas objects, or items of unequal length."""
    if isinstance(X, np.ndarray):
        # An object array of arrays is how ragged data often comes out of NumPy files.
        return X.dtype == object and X.ndim == 1 and len(X) > 0 and np.ndim(X[0]) > 0
    if not isinstance(X, (list, tuple)):
        return False
    if len(X) == 0:
        return True
    first = X[0]
    if isinstance(first, (pd.DataFrame, pd.Series)):
        return True
    if isinstance(first, tuple) and len(first) == 2 and isinstance(first[0], (list, np.ndarray, pd.Index, pd.Series)):
        return True
    lengths = {len(item) if isinstance(item, (list, tuple, np.ndarray)) else -1 for item in X}
    return len(lengths) > 1 and -1 not in lengths
