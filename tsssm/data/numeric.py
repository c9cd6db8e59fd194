"""Numbers in whatever form they come, brought to float arrays in which NaN is the only oddity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tsssm.errors import explain


def as_floats(values: Any, name: str = "X") -> np.ndarray:
    """Give values as float64, or float32 where they came so, without a copy where none is needed.

    Parameters
    ----------
    values : array-like
        Numbers or booleans of any shape; None and NaN mean not observed.
    name : str
        What the values are called in error messages.

    Returns
    -------
    ndarray of float64 or float32
        The same shape.

    Raises
    ------
    TypeError
        If the values are a sparse matrix, or hold objects that are no numbers.
    ValueError
        If they are complex, text or ragged.

    Examples
    --------
    >>> from tsssm.data.numeric import as_floats
    >>> as_floats([[1, None]])
    array([[ 1., nan]])
    """
    if type(values).__module__.startswith("scipy.sparse"):
        raise TypeError(explain(f"{name} must be dense", "a sparse matrix came", "Pass its toarray()"))
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(explain(f"{name} must be rectangular", str(error), "Pass a list of arrays")) from error
    if array.dtype.kind == "c":
        came = f"the dtype is {array.dtype}"
        raise ValueError("Complex data not supported: " + explain(f"{name} must be real", came, "Split the parts"))
    if array.dtype in (np.float64, np.float32):
        return np.asarray(array)
    if array.dtype.kind in "mMSUV":
        came = f"its dtype is {array.dtype}"
        raise ValueError(explain(f"{name} must hold numbers", came, "Convert it to numbers, or leave it out"))
    if array.dtype == object:
        return _from_objects(array, name)
    return array.astype(np.float64)


def _from_objects(array: np.ndarray, name: str) -> np.ndarray:
    flat = array.reshape(-1)
    text = np.fromiter((isinstance(value, (str, bytes)) for value in flat), dtype=bool, count=flat.size)
    if text.any():
        place = int(text.argmax())
        where = ", ".join(str(i) for i in np.unravel_index(place, array.shape))
        came = f"position ({where}) holds the text {flat[place]!r}"
        raise ValueError(explain(f"{name} must hold numbers", came, "Convert it to numbers, or leave it out"))
    flat = np.where(np.asarray(pd.isna(flat)), np.nan, flat)
    try:
        return flat.astype(np.float64).reshape(array.shape)
    except (TypeError, ValueError, OverflowError) as error:
        message = explain(f"{name} must hold numbers", str(error), "Convert it to numbers, or leave it out")
        raise type(error)(message) from error


def column_floats(column: pd.Series, name: str) -> np.ndarray:
    """Give one column of a table as floats; the error names the column, the first bad value and its row."""
    dtype = column.dtype
    text = pd.api.types.infer_dtype(column, skipna=True) if dtype == object else str(dtype)
    numeric = pd.api.types.is_numeric_dtype(dtype) or text in ("floating", "integer", "mixed-integer-float", "decimal")
    if not (numeric or text in ("boolean", "empty")):
        present = column[column.notna()]
        bad = [value for value in present if not isinstance(value, (int, float))] if dtype == object else list(present)
        first = f"it is {text}" if not bad else f"it holds {bad[0]!r} ({text})"
        do = "Convert it to numbers, leave it out of `channels`, or move it to `static`"
        raise ValueError(explain("every channel must hold numbers", f"channel {name!r}: {first}", do))
    if isinstance(dtype, np.dtype) and dtype != object:
        return as_floats(column.to_numpy(), f"channel {name!r}")
    if dtype == object:
        return as_floats(column.to_numpy(), f"channel {name!r}")
    narrow = str(dtype).lower().startswith(("float32", "float[")) and not str(dtype).startswith("float64")
    return column.to_numpy(dtype=np.float32 if narrow else np.float64, na_value=np.nan)


def stack_columns(frame: pd.DataFrame, names: list) -> np.ndarray:
    """Give the named columns as one (rows, c) array of floats."""
    if not names:
        return np.empty((len(frame), 0))
    return np.column_stack([column_floats(frame[name], str(name)) for name in names])


def require_samples(array: np.ndarray) -> np.ndarray:
    """Refuse arrays that are not (n, l) or (n, l, c), or without samples or features, in the words of scikit-learn."""
    if array.ndim < 2:
        came = f"an array of shape {array.shape} came"
        do = "Reshape your data with array.reshape(1, -1) for one series or array.reshape(-1, 1) for series of one row"
        raise ValueError(explain("Expected 2D array: X must be (n, l) or (n, l, c)", came, do))
    if array.ndim > 3:
        came = f"an array of shape {array.shape} came"
        raise ValueError(explain("X must be (n, l) or (n, l, c)", came, "Merge its axes with reshape"))
    for count, what in ((array.shape[0], "sample"), (min(array.shape[1:]), "feature")):
        if count == 0:
            found = f"Found array with 0 {what}(s) (shape={array.shape}) while a minimum of 1 is required."
            raise ValueError(found)
    return array


def first_infinite(values: np.ndarray) -> tuple[int, int] | None:
    """Give row and column of the first infinite value, or None."""
    infinite = np.isinf(values)
    if not infinite.any():
        return None
    row, column = np.unravel_index(int(infinite.argmax()), values.shape)
    return int(row), int(column)
