"""What must hold in a panel, each checked in one pass over its arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from tsssm.data.frames import show
from tsssm.data.numeric import first_infinite
from tsssm.errors import explain


def check_structure(
    times: np.ndarray, values: np.ndarray, offsets: np.ndarray, ids: np.ndarray, channels: tuple, static: Any
) -> None:
    """Check that the shapes of a panel's arrays fit each other."""
    rows = len(times)
    ok = times.ndim == 1 and values.shape == (rows, len(channels))
    if not ok:
        came = f"times {times.shape}, values {values.shape}, {len(channels)} channels"
        raise ValueError(
            explain("a panel must have times (rows,) and values (rows, channels)", came, "Mend the shapes")
        )
    whole = offsets.ndim == 1 and len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == rows
    if not whole or (np.diff(offsets) < 0).any():
        came = f"they have shape {offsets.shape} for {rows} rows"
        raise ValueError(explain("offsets must rise from 0 to the number of rows", came, "Use the cumulated lengths"))
    n = len(offsets) - 1
    if ids.shape != (n,):
        raise ValueError(explain("there must be one id for each series", f"{ids.shape} for {n} series", "Mend `ids`"))
    if len(set(channels)) != len(channels) or not all(isinstance(name, str) for name in channels):
        raise ValueError(explain("channels must be different names", f"got {channels}", "Rename them"))
    if static is not None and (not isinstance(static, pd.DataFrame) or len(static) != n):
        came = f"got {type(static).__name__} of length {len(static)} for {n} series"
        raise ValueError(explain("`static` must be a DataFrame with row i for series i", came, "Mend its rows"))


def check_finite(values: np.ndarray, offsets: np.ndarray, ids: np.ndarray, channels: tuple[str, ...]) -> None:
    """Check that no value is infinite."""
    place = first_infinite(values)
    if place is None:
        return
    row, column = place
    i, inside = locate(offsets, row)
    came = f"infinity in series {show(ids[i])}, row {inside} of it, channel {channels[column]!r}"
    do = "Replace it by NaN if it was not observed"
    raise ValueError(explain("values must be finite or NaN, not infinity", came, do))


def check_increasing(
    times: np.ndarray,
    offsets: np.ndarray,
    ids: np.ndarray,
    stamps: Callable[[np.ndarray], Iterable],
    ticks: np.ndarray | None = None,
    source: np.ndarray | None = None,
) -> None:
    """Check that times increase within each series.

    `stamps` turns rows into the user's times, and `source` gives the row of the user's table, for the message.
    """
    if not np.isfinite(times).all():
        row = int((~np.isfinite(times)).argmax())
        came = f"series {show(ids[locate(offsets, row)[0]])} has {times[row]} at row {row}"
        raise ValueError(explain("times must be finite", came, "Drop or mend that row"))
    bad = np.diff(times if ticks is None else ticks) <= 0
    close = np.diff(times) <= 0
    # The step onto the first row of the next series may go anywhere.
    starts = offsets[1:-1]
    starts = starts[(starts > 0) & (starts < len(times))]
    bad[starts - 1] = close[starts - 1] = False
    if not close.any():
        return
    row = int(bad.argmax() if bad.any() else close.argmax()) + 1
    series = show(ids[locate(offsets, row)[0]])
    before, after = list(stamps(np.array([row - 1, row])))
    first, second = (row - 1, row) if source is None else (int(source[row - 1]), int(source[row]))
    if not bad.any():
        came = f"series {series} has {before} and {after} (rows {first} and {second})"
        raise ValueError(explain("times must be further apart than float64 can tell", came, "Round or shift the times"))
    if before == after:
        came = f"series {series} has {before} twice, at rows {first} and {second}"
        do = "Keep one row for each series and time, for example with drop_duplicates or groupby"
    else:
        came = f"series {series} goes from {before} to {after} at row {second}"
        do = "Sort the table by time"
    raise ValueError(explain("times must increase within each series", came, do))


def locate(offsets: np.ndarray, row: int) -> tuple[int, int]:
    """Give the series a flat row belongs to, and its place within."""
    i = int(np.searchsorted(offsets, row, side="right")) - 1
    return i, row - int(offsets[i])
