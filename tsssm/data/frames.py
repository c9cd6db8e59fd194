"""Long tables (pandas, polars, sktime) to flat arrays and back, without a loop over series."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tsssm.data.numeric import column_floats, stack_columns
from tsssm.data.stamps import Locate, Stamps, as_stamps
from tsssm.errors import explain


class Flat(NamedTuple):
    """Series end to end: stamps (rows,), values (rows, c), offsets (n + 1,), ids (n,), and the row each came from."""

    stamps: Stamps
    values: np.ndarray
    offsets: np.ndarray
    ids: np.ndarray
    channels: tuple[str, ...]
    source: np.ndarray | None = None


def is_polars(frame: Any) -> bool:
    """Say whether this is a polars object, without importing polars."""
    return type(frame).__module__.split(".")[0] == "polars"


def as_pandas(frame: Any, columns: list | None = None) -> pd.DataFrame:
    """Give a pandas or polars frame as a pandas frame, its columns (the named ones, or all) unharmed."""
    if isinstance(frame, pd.DataFrame):
        return frame
    if not is_polars(frame) or type(frame).__name__ != "DataFrame":
        came = f"got {type(frame).__module__}.{type(frame).__name__}"
        do = "Collect a LazyFrame first; wrap other tables with pandas.DataFrame(table)"
        raise TypeError(explain("a long table must be a pandas or polars DataFrame", came, do))
    names = frame.columns if columns is None else [name for name in frame.columns if name in columns]
    return pd.DataFrame({name: _polars_column(frame[name]) for name in names})


def _polars_column(column: Any) -> Any:
    zone = getattr(column.dtype, "time_zone", None)
    if zone is not None:
        return pd.Series(pd.DatetimeIndex(column.to_numpy()).tz_localize("UTC").tz_convert(zone))
    if column.dtype.is_integer() and column.null_count():
        # polars would turn integers with nulls into floats and lose the digits beyond 2**53.
        known = pd.Series(column.fill_null(0).to_numpy()).astype("UInt64" if str(column.dtype)[0] == "U" else "Int64")
        return known.mask(column.is_null().to_numpy())
    return column.to_numpy()


def read_long(frame: Any, id: Any, time: Any, channels: Any = None) -> Flat:
    """Read a long table of one row per series and time; rows of several series may be interleaved.

    Parameters
    ----------
    frame : pandas or polars DataFrame
        The table.
    id : str or None
        Column that names the series; None means that all rows are one series.
    time : str
        Column of times, increasing within each series.
    channels : list of str, optional
        Columns of measurements. By default all others.

    Returns
    -------
    Flat
        Series in the order in which they first come.

    Raises
    ------
    ValueError
        If a column is missing, twice there or holds no numbers, or if an id or a time is missing.
    """
    keys = [time] if id is None else [id, time]
    if isinstance(channels, str):
        channels = [channels]
    table = as_pandas(frame, None if channels is None else keys + list(channels))
    names = [name for name in table.columns if name not in keys] if channels is None else list(channels)
    _require_columns(table, keys + names)
    codes, ids = _codes(table, id)
    order, offsets = group(codes, len(ids))
    stamps = as_stamps(table[time], _locate(codes, ids))
    values = stack_columns(table, names)
    if order is not None:
        stamps, values = stamps[order], values[order]
    return Flat(stamps, values, offsets, ids, tuple(str(name) for name in names), order)


def group(codes: np.ndarray, n: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Give the stable order that brings the rows of a series together (None if they are), and the offsets."""
    offsets = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=n))]).astype(np.int64)
    order = None if (np.diff(codes) >= 0).all() else np.argsort(codes, kind="stable")
    return order, offsets


def _codes(table: pd.DataFrame, id: Any) -> tuple[np.ndarray, np.ndarray]:
    if id is None:
        return np.zeros(len(table), dtype=np.int64), np.arange(min(len(table), 1))
    codes, ids = pd.factorize(table[id])
    if len(codes) and codes.min() < 0:
        came = f"row {int(codes.argmin())} has none in column {id!r}"
        raise ValueError(explain("every row must have an id", came, "Drop these rows or fill in the id"))
    return codes, np.asarray(ids)


def _locate(codes: np.ndarray, ids: np.ndarray) -> Locate:
    return lambda row: f"row {row} (series {show(ids[codes[row]])})"


def show(id: Any) -> str:
    """Write an id the way the user knows it, without NumPy's wrapping."""
    return repr(id.item() if isinstance(id, np.generic) else id)


def _require_columns(table: pd.DataFrame, names: list) -> None:
    present = list(table.columns)
    unknown = [name for name in names if name not in present]
    if unknown:
        some = ", ".join(repr(name) for name in present[:20])
        came = f"the table has no column {unknown[0]!r}, only {some}"
        raise ValueError(explain("columns named in id=, time= and channels= must exist", came, "Mend the name"))
    twice = [name for name in names if present.count(name) > 1 or names.count(name) > 1]
    if twice:
        came = f"{twice[0]!r} comes more than once"
        raise ValueError(explain("each column must be named once", came, "Rename or drop one of them"))


def read_sktime(frame: pd.DataFrame) -> Flat:
    """Read sktime's `pd-multiindex` panel: a frame whose two index levels are instance and time."""
    if frame.index.nlevels != 2:
        came = f"the index has {frame.index.nlevels} level(s)"
        do = "Merge the levels above time into one, for example with index.map and set_index"
        raise ValueError(explain("a panel frame must have the index levels (instance, time)", came, do))
    codes, ids = pd.factorize(frame.index.get_level_values(0))
    if len(codes) and codes.min() < 0:
        came = f"row {int(codes.argmin())} has none"
        raise ValueError(explain("every row must have an instance in its index", came, "Drop these rows"))
    order, offsets = group(codes, len(ids))
    stamps = as_stamps(frame.index.get_level_values(1), _locate(codes, ids))
    _require_columns(frame, list(frame.columns))
    values = stack_columns(frame, list(frame.columns))
    if order is not None:
        stamps, values = stamps[order], values[order]
    return Flat(stamps, values, offsets, np.asarray(ids), tuple(str(name) for name in frame.columns), order)


def align_static(static: Any, ids: np.ndarray, id: Any = None) -> pd.DataFrame | None:
    """Give the table of static features with row i for series i.

    Raises
    ------
    ValueError
        If a series has no row or an id comes twice; rows of other ids are left out.
    """
    if static is None:
        return None
    table = as_pandas(static)
    if id is not None and id in table.columns:
        table = table.set_index(id)
    if table.index.has_duplicates:
        twice = show(table.index[int(table.index.duplicated().argmax())])
        raise ValueError(
            explain("`static` must have one row for each id", f"id {twice} comes twice", "Keep one of them")
        )
    places = table.index.get_indexer(pd.Index(ids))
    if (places < 0).any():
        lost = show(ids[int((places < 0).argmax())])
        came = f"series {lost} has none ({int((places < 0).sum())} series in all)"
        do = "Add the rows, or set the index of `static` to the ids"
        raise ValueError(explain("`static` must have a row for each series", came, do))
    return table.take(places)


def is_long(frame: Any) -> bool:
    """Say whether a table holds series by rows: two index levels, or columns named `id` and `time`."""
    if not isinstance(frame, pd.DataFrame) and not (is_polars(frame) and type(frame).__name__ == "DataFrame"):
        return False
    if isinstance(frame, pd.DataFrame) and frame.index.nlevels > 1:
        return True
    named = {"id", "time"} & set(frame.columns)
    if len(named) == 1:
        came = f"the table has {named.pop()!r} alone"
        do = "Use Panel.from_frame(table, id=..., time=...)"
        raise ValueError(explain("a long table must have both columns, `id` and `time`", came, do))
    return len(named) == 2


def read_wide(frame: Any) -> np.ndarray:
    """Give a table with one row per series and one column per time as an (n, l) array."""
    table = as_pandas(frame)
    columns = [column_floats(table.iloc[:, j], str(name)) for j, name in enumerate(table.columns)]
    return np.column_stack(columns) if columns else np.empty((len(table), 0))
