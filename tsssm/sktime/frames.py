"""Frames of sktime to panels: what their rows are, float times as timedeltas, and what is refused at the door."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tsssm.data import Panel
from tsssm.errors import explain


def timed(frame: Any, unit: str = "s", origin: Any = None) -> Any:
    """Give a frame with float times as one with timedeltas or datetimes, which sktime takes: t becomes origin + t units.

    Parameters
    ----------
    frame : Series, DataFrame or Panel
        Its index, or the last level of it, holds the times, as numbers.
    unit : str, default "s"
        What one stands for, in words of `pandas.to_timedelta`: "s", "h", "D", ...
    origin : datetime or str, optional
        Stands for t = 0. Without, times become timedeltas, and sktime counts every horizon from the last one. With an
        origin they become datetimes, which horizons can name, as `evaluate` does; a forecaster then reads the calendar.

    Returns
    -------
    Series or DataFrame
        The same values; times are rounded to nanoseconds.

    Raises
    ------
    ValueError
        Where the times are no numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from tsssm.sktime import timed
    >>> timed(pd.Series([1.0, 2.0], index=[0.0, 1.5]), unit="h").index
    TimedeltaIndex(['0 days 00:00:00', '0 days 01:30:00'], dtype='timedelta64[ns]', freq=None)
    """
    frame = frame.to_sktime() if isinstance(frame, Panel) else frame.copy()
    times = frame.index.get_level_values(-1)
    if not pd.api.types.is_numeric_dtype(times.dtype):
        came = f"times of type {times.dtype} came"
        raise ValueError(explain("times must be numbers to be read in a unit", came, "Pass the frame as it is"))
    spans = pd.to_timedelta(np.asarray(times, dtype=np.float64), unit=unit).as_unit("ns")
    stamps = (spans if origin is None else pd.Timestamp(origin).as_unit("ns") + spans).rename(times.name)
    if frame.index.nlevels == 1:
        frame.index = stamps
    else:
        upper = [frame.index.get_level_values(k) for k in range(frame.index.nlevels - 1)]
        frame.index = pd.MultiIndex.from_arrays([*upper, stamps], names=frame.index.names)
    return frame


def check_times(data: Any, name: str) -> None:
    """Refuse float times, and a stamp that comes twice in one series.

    Raises
    ------
    TypeError
        For float times, which sktime does not take.
    ValueError
        For repeated stamps.
    """
    if isinstance(data, list):
        for i, part in enumerate(data):
            check_times(part, f"{name}[{i}]")
        return
    index = getattr(data, "index", None)
    if not isinstance(index, pd.Index) or not len(index):
        return
    times = index.levels[-1] if index.nlevels > 1 else index
    if pd.api.types.is_float_dtype(times.dtype):
        came = f"the times of `{name}` are floats, such as {times[0]}"
        do = "Convert them with tsssm.sktime.timed(frame, unit='s'), and ask for horizons as timedeltas"
        raise TypeError(explain("times must be datetimes, periods, timedeltas or integers for sktime", came, do))
    twice = index.duplicated()
    if twice.any():
        came = f"`{name}` has {index[int(twice.argmax())]!r} twice, the second time at row {int(twice.argmax())}"
        do = "Keep one row for each series and time, for example with frame.groupby(level=list(range(n))).last()"
        do = do.replace("list(range(n))", str(list(range(index.nlevels))) if index.nlevels > 1 else "0")
        raise ValueError(explain("every time must come once in a series", came, do))


class Rows(NamedTuple):
    """Rows of an index: the number of the series of each (rows,), its stamp, and the names of all series.

    `names` is None where the index is that of one series.
    """

    owner: np.ndarray
    stamps: pd.Index
    names: pd.Index | None


def rows_of(index: pd.Index) -> Rows:
    """Read the index of a series, a panel or a hierarchy; series are numbered in the order in which they come."""
    if index.nlevels == 1:
        return Rows(np.zeros(len(index), dtype=np.int64), index, None)
    owner, names = index.droplevel(-1).factorize()
    return Rows(owner, index.get_level_values(-1), names)


def numbers_in(names: pd.Index | None, index: pd.Index) -> np.ndarray:
    """Number of the series of each row of an index among the series `names`, -1 for others."""
    if names is None:
        return np.zeros(len(index), dtype=np.int64)
    return names.get_indexer(index.droplevel(-1))


def plain(stamps: pd.Index) -> pd.Index:
    """Stamps that a clock reads: a period stands for its start."""
    return stamps.to_timestamp() if isinstance(stamps, pd.PeriodIndex) else stamps


def panel_of(values: np.ndarray, owner: np.ndarray, stamps: pd.Index, channels: list[str]) -> Panel:
    """A panel whose ids are the numbers of series, from rows (r, c) in any order of the series."""
    index = pd.MultiIndex.from_arrays([owner, plain(stamps)], names=["id", "time"])
    return Panel.from_sktime(pd.DataFrame(np.asarray(values, dtype=np.float64), index=index, columns=channels))


def read_panel(frame: pd.DataFrame) -> Panel:
    """The panel of a frame of sktime, its channels named by their places.

    Names do not matter to the models, and sktime lets them differ between two frames of one kind.
    """
    owner, stamps, _ = rows_of(frame.index)
    return panel_of(frame.to_numpy(dtype=np.float64), owner, stamps, [f"c{j}" for j in range(frame.shape[1])])
