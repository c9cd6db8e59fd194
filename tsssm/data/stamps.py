"""Times in whatever form they come, brought to one of four plain forms, none of them missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from tsssm.errors import explain

Stamps: TypeAlias = np.ndarray | pd.DatetimeIndex | pd.TimedeltaIndex
Locate = Callable[[int], str]

_MUST = "times must be numbers, datetimes or timedeltas of one kind"


def name_row(row: int) -> str:
    """Name a row of a flat table by its position."""
    return f"row {row}"


def as_stamps(times: Any, locate: Locate = name_row) -> Stamps:
    """Bring times to float64, int64, DatetimeIndex or TimedeltaIndex, flat and without loss.

    Parameters
    ----------
    times : array-like, Series, Index or scalar
        Numbers, datetimes (naive, or all in one time zone), dates or timedeltas, in any shape.
    locate : callable
        Names the place of a flat row in error messages.

    Returns
    -------
    ndarray of float64, ndarray of int64, DatetimeIndex or TimedeltaIndex
        The same times, flattened.

    Raises
    ------
    ValueError
        If a time is missing or infinite, is text, has another time zone than the rest, or needs more than 64 bits.

    Examples
    --------
    >>> from tsssm.data.stamps import as_stamps
    >>> as_stamps([0, 3, 4])
    array([0, 3, 4])
    """
    index = _as_index(times)
    missing = np.asarray(index.isna())
    if missing.any():
        where = locate(int(missing.argmax()))
        raise ValueError(explain("every time must be given", f"{where} has no time", "Drop the rows without a time"))
    if isinstance(index, (pd.DatetimeIndex, pd.TimedeltaIndex)):
        return index
    if pd.api.types.is_bool_dtype(index.dtype):
        raise ValueError(explain(_MUST, "they are booleans", "Pass the column that holds the times"))
    if pd.api.types.is_integer_dtype(index.dtype):
        return _as_int64(index)
    if pd.api.types.is_float_dtype(index.dtype):
        return _as_float64(index, locate)
    raise ValueError(explain(_MUST, *_what_to_do(index)))


def _as_index(times: Any) -> pd.Index:
    if isinstance(times, pd.Index):
        index = times
    elif isinstance(times, pd.Series):
        index = pd.Index(times)
    elif isinstance(times, np.ndarray):
        flat = times.reshape(-1)
        # pandas has no float16 index.
        index = pd.Index(flat.astype(np.float64) if flat.dtype.kind == "f" else flat)
    else:
        index = pd.Index(list(times) if np.ndim(times) else [times])
    if index.dtype == object:
        index = _infer(index)
    if isinstance(index.dtype, pd.ArrowDtype):
        index = _from_arrow(index)
    return index


def _infer(index: pd.Index) -> pd.Index:
    kind = pd.api.types.infer_dtype(index, skipna=True)
    if kind in ("floating", "mixed-integer-float", "decimal"):
        return index.astype(np.float64)
    if kind == "date":
        return pd.DatetimeIndex(pd.to_datetime(index))
    return index.infer_objects()


def _from_arrow(index: pd.Index) -> pd.Index:
    kind = index.dtype.kind
    if kind == "M":
        return pd.DatetimeIndex(index)
    if kind == "m":
        return pd.TimedeltaIndex(index)
    return index


def _as_int64(index: pd.Index) -> np.ndarray:
    values = index.to_numpy()
    if values.dtype.kind == "u" and len(values) and values.max() > np.iinfo(np.int64).max:
        raise ValueError(_too_large(values.max()))
    return values.astype(np.int64)


def _as_float64(index: pd.Index, locate: Locate) -> np.ndarray:
    values = index.to_numpy(dtype=np.float64)
    infinite = np.isinf(values)
    if infinite.any():
        row = int(infinite.argmax())
        raise ValueError(explain("times must be finite", f"{locate(row)} has {values[row]}", "Drop or mend that row"))
    return values


def _what_to_do(index: pd.Index) -> tuple[str, str]:
    kind = pd.api.types.infer_dtype(index, skipna=False)
    if isinstance(index, pd.PeriodIndex):
        return "they are periods", "Turn them into datetimes with to_timestamp()"
    if kind == "string":
        return f"they are text such as {index[0]!r}", "Parse them first, with pandas.to_datetime or astype(float)"
    if kind == "datetime":
        return "they mix time zones", "Bring them to one zone with pandas.to_datetime(times, utc=True)"
    if kind == "integer":
        return "they hold integers beyond 64 bits", "Subtract an origin before"
    return f"they are of type {kind!r} ({index.dtype})", "Pass the column that holds the times"


def _too_large(value: int) -> str:
    return explain("integer times must fit in 64 signed bits", f"the largest is {value}", "Subtract an origin before")
