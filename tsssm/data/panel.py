"""The panel: many irregular series of several channels, stored end to end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from tsssm.data import arrays, checks, frames, picking, views
from tsssm.data.clock import Clock
from tsssm.data.numeric import as_floats
from tsssm.errors import explain


@dataclass(frozen=True, eq=False, repr=False)
class Panel:
    """Many series (t_i, x_i), each with its own times, of which NaN entries were not observed.

    Parameters
    ----------
    times : (rows,) float64
        Increasing within each series, in the clock's unit since the clock's origin.
    values : (rows, c) float64 or float32
        NaN = not observed; never infinite.
    offsets : (n + 1,) int64
        Series i holds the rows `offsets[i]` to `offsets[i + 1]`; it may be empty.
    ids : (n,) ndarray
        Names of the series; a resampled panel may hold one more than once.
    channels : tuple of str
        Names of the columns of `values`.
    static : DataFrame, optional
        What is known of each series as a whole; row i for series i.
    clock : Clock
        Turns the user's times into float64 and back.
    ticks : (rows,) int64, optional
        Exact times in steps of the clock's resolution, only where float64 cannot hold them.
    names : (str, str)
        Columns for id and time in `to_frame`.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"id": ["a", "a", "b"], "t": [0.0, 0.7, 0.2], "x": [1.0, 2.0, 3.0]})
    >>> Panel.from_frame(table, id="id", time="t")
    Panel(2 series of 1 to 2 rows, 1 channel: x; times number, 0.0 to 0.7)
    """

    times: np.ndarray
    values: np.ndarray
    offsets: np.ndarray
    ids: np.ndarray
    channels: tuple[str, ...]
    static: pd.DataFrame | None = None
    clock: Clock = field(default_factory=Clock)
    ticks: np.ndarray | None = None
    names: tuple[str, str] = ("id", "time")

    def __post_init__(self) -> None:
        checks.check_structure(self.times, self.values, self.offsets, self.ids, self.channels, self.static)
        if self.ticks is not None and not np.array_equal(self.clock.seconds(self.ticks), self.times):
            raise ValueError(explain("`ticks` must agree with `times`", "they differ", "Pass ticks=None"))
        checks.check_increasing(self.times, self.offsets, self.ids, self._stamps_at, self.ticks)
        checks.check_finite(self.values, self.offsets, self.ids, self.channels)

    @classmethod
    def from_frame(cls, frame: Any, id: Any, time: Any, channels: Any = None, static: Any = None) -> Panel:
        """Read a long pandas or polars table: one row per series and time, in any order of the series.

        Parameters
        ----------
        frame : DataFrame
            pandas or polars.
        id, time : str
            Columns that name the series and the time; `id=None` reads one series.
        channels : list of str, optional
            Columns of measurements; by default all others.
        static : DataFrame, optional
            Features of whole series, indexed by id or with a column named like `id`.

        Raises
        ------
        ValueError
            If times do not increase within a series, ids or times are missing, or a channel holds no numbers.

        Examples
        --------
        >>> import pandas as pd
        >>> table = pd.DataFrame({"id": [7, 7], "t": pd.to_datetime(["2024-03-01", "2024-03-04"]), "x": [1.0, 2.0]})
        >>> Panel.from_frame(table, id="id", time="t").times
        array([     0., 259200.])
        """
        flat = frames.read_long(frame, id, time, channels)
        return cls._of(flat, frames.align_static(static, flat.ids, id), ("id" if id is None else str(id), str(time)))

    @classmethod
    def from_array(cls, values: Any, times: Any = None, ids: Any = None, channels: Any = None) -> Panel:
        """Read values (n, l) or (n, l, c) with times (l,) or (n, l); without times the rows count 0, 1, 2, ..."""
        return cls._of(_named(arrays.read_array(values, times), ids, channels))

    @classmethod
    def from_series(cls, series: Any, ids: Any = None, channels: Any = None) -> Panel:
        """Read a list of arrays (l,) or (l, c), of pairs (times, values), or of pandas objects indexed by time."""
        return cls._of(_named(arrays.read_series(series), ids, channels))

    @classmethod
    def from_sktime(cls, frame: pd.DataFrame) -> Panel:
        """Read sktime's `pd-multiindex`: a frame with the index levels (instance, time)."""
        flat = frames.read_sktime(frame)
        id, time = frame.index.names
        return cls._of(flat, None, (str(id or "id"), str(time or "time")))

    @staticmethod
    def concat(panels: Any) -> Panel:
        """Put the series of several panels with the same channels into one."""
        return picking.concat(list(panels))

    @classmethod
    def _of(cls, flat: frames.Flat, static: Any = None, names: tuple = ("id", "time")) -> Panel:
        clock = Clock.of(flat.stamps)
        times, ticks = clock.read(flat.stamps)
        checks.check_increasing(times, flat.offsets, flat.ids, lambda rows: flat.stamps[rows], ticks, flat.source)
        return cls(times, flat.values, flat.offsets, flat.ids, flat.channels, static, clock, ticks, names)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """(n series, c channels): what scikit-learn takes for samples and features."""
        return len(self), len(self.channels)

    @property
    def ndim(self) -> int:
        """Always 2."""
        return 2

    @property
    def n_rows(self) -> int:
        """Number of rows of all series."""
        return len(self.times)

    @property
    def lengths(self) -> np.ndarray:
        """Number of rows of each series, (n,)."""
        return np.diff(self.offsets)

    def __getitem__(self, key: Any) -> Panel:
        """Give some series by int, slice, mask or index array, also as (index, ...); slices share memory."""
        return picking.pick(self, key)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start, stop in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.times[start:stop], self.values[start:stop]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        came = f"{self!r} came"
        do = "Use panel.values and panel.times, or an estimator that reads panels"
        raise TypeError(explain("a Panel cannot become one array, since its series differ in length", came, do))

    def __repr__(self) -> str:
        return views.describe(self)

    def _repr_html_(self) -> str:
        return views.describe_html(self)

    def stamps(self, times: Any = None) -> Any:
        """Give encoded times as the user's time objects; by default those of all rows, exactly."""
        return self.clock.stamps(self.times, self.ticks) if times is None else self.clock.stamps(times)

    def _stamps_at(self, rows: np.ndarray) -> Any:
        return self.clock.stamps(self.times[rows], None if self.ticks is None else self.ticks[rows])

    def to_frame(self) -> pd.DataFrame:
        """Give the long pandas table with the columns id, time and the channels."""
        return views.to_frame(self)

    def to_sktime(self) -> pd.DataFrame:
        """Give sktime's `pd-multiindex`."""
        return self.to_frame().set_index(list(self.names))

    def with_values(self, values: Any, channels: Any = None) -> Panel:
        """Give the same rows with other values (rows, c), by default of the same channels."""
        values = as_floats(values, "values")
        channels = self.channels if channels is None else tuple(channels)
        return replace(self, values=values[:, None] if values.ndim == 1 else values, channels=channels)

    def rows(self, mask: Any) -> Panel:
        """Give all series with only the rows where the mask (rows,) is True; a series may become empty."""
        return picking.keep_rows(self, np.asarray(mask))

    def select(self, channels: Any) -> Panel:
        """Give only these channels, in this order."""
        return picking.select(self, [channels] if isinstance(channels, str) else list(channels))


def as_panel(X: Any, times: Any = None) -> Panel:
    """Read whatever holds series: a panel, array, table or list.

    Parameters
    ----------
    X : Panel, array (n, l) or (n, l, c), list, or DataFrame
        A list has arrays, pairs (times, values) or pandas objects indexed by time. A table with columns named `id` and
        `time` or with a 2-level index is long; any other table is an (n, l) array.
    times : array-like, optional
        (l,) or (n, l), only with an array; by default 0, 1, 2, ...

    Returns
    -------
    Panel
        X itself where it is one.

    Raises
    ------
    ValueError
        If there is no series, or X cannot be read.

    Examples
    --------
    >>> as_panel([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    Panel(2 series of 3 rows, 1 channel: x0; times integer, 0 to 2)
    """
    panel = _read(X, times)
    if len(panel) == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={panel.shape}) while a minimum of 1 is required.")
    return panel


def _read(X: Any, times: Any) -> Panel:
    if times is not None and (isinstance(X, Panel) or frames.is_long(X)):
        came = f"`times` came beside a {type(X).__name__}, which has its own"
        raise ValueError(explain("`times` goes with arrays only", came, "Leave it out"))
    if isinstance(X, Panel):
        return X
    if isinstance(X, pd.DataFrame) and X.index.nlevels > 1:
        return Panel.from_sktime(X)
    if frames.is_long(X):
        return Panel.from_frame(X, id="id", time="time")
    if isinstance(X, pd.DataFrame) or frames.is_polars(X):
        return Panel.from_array(frames.read_wide(X), times)
    if times is None and arrays.is_series_list(X):
        return Panel.from_series(X)
    return Panel.from_array(X, times)


def _named(flat: frames.Flat, ids: Any, channels: Any) -> frames.Flat:
    ids = flat.ids if ids is None else np.asarray(ids)
    return flat._replace(ids=ids, channels=flat.channels if channels is None else tuple(channels))
