"""Arrivals: the observations of one growing series, checked as they come."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tsssm.data.clock import EXACT, PER_SECOND, Clock
from tsssm.data.numeric import as_floats
from tsssm.data.stamps import Stamps, as_stamps
from tsssm.errors import explain


class News(NamedTuple):
    """Rows that came: times (k,) and values (k, c) in float64, and what goes into the row before them, (c,) or None."""

    times: np.ndarray
    values: np.ndarray
    late: np.ndarray | None = None


class Arrivals:
    """The door of a stream: it turns times and values into float64, in order, and refuses what does not fit.

    Parameters
    ----------
    channels : int
        Number of channels c.
    kind : str
        Kind of the times fitted to.
    tolerance : duration, optional
        What comes at most this late is taken for having come at the time of the last row: it is merged into that row,
        where a new value replaces an old one of its channel. 0 merges repeated times alone. By default all this is an
        error.

    Raises
    ------
    ValueError
        Where `tolerance` is no duration of the clock, or negative.

    Examples
    --------
    >>> door = Arrivals(2, "number", tolerance=0.5)
    >>> door.read([1.0, 0.8, 2.0], [[1.0, np.nan], [np.nan, 5.0], [3.0, 3.0]]).values
    array([[1., 5.],
           [3., 3.]])
    """

    def __init__(self, channels: int, kind: str, tolerance: Any = None):
        self.channels, self.kind = channels, kind
        self.tolerance = None if tolerance is None else _duration(tolerance, kind)
        self.clock: Clock | None = None
        self.last = np.nan
        self._origin = 0

    def read(self, times: Any, values: Any) -> News:
        """Check observations and move on to the last of them; where they do not fit nothing changes.

        Parameters
        ----------
        times : scalar or (k,) array-like
        values : (k, c) array-like, or (c,) for one time
            NaN where not observed.

        Raises
        ------
        ValueError, TypeError
            Where times are of another kind, not later than those before or too late, or values do not fit or are
            infinite.
        """
        return self._read_one(times, values) or self._read_any(times, values)

    def encode(self, times: Any) -> np.ndarray:
        """Times of the stream's clock as float64, (m,)."""
        stamps = as_stamps(times)
        return (self.clock or self._clock_of(stamps)).read(stamps)[0]

    def _read_one(self, time: Any, values: Any) -> News | None:
        """One row in the usual form, without what pandas costs; None where it is in any other."""
        t = self._number(time)
        row = np.array(values)
        if t is None or not t > self.last or row.dtype != np.float64 or row.shape != (self.channels,):
            return None
        if np.isinf(row).any():
            return None
        self.last = t
        return News(np.array([t]), row[None])

    def _number(self, time: Any) -> float | None:
        clock = self.clock
        if clock is None:
            return None
        if not clock.resolution:
            plain = isinstance(time, (float, int)) and not isinstance(time, bool) and not clock.origin
            return float(time) if plain and -EXACT < time < EXACT else None
        if type(time) is not pd.Timestamp or time.unit != clock.resolution or clock.kind != "datetime":
            return None
        if (time.tz is None) != (clock.origin.tz is None):
            return None
        whole, part = divmod(int(time.asm8.astype(np.int64)) - self._origin, PER_SECOND[clock.resolution])
        return whole + part / PER_SECOND[clock.resolution]

    def _read_any(self, times: Any, values: Any) -> News:
        if np.size(times) == 0 and np.size(values) == 0:
            return News(np.empty(0), np.empty((0, self.channels)))
        stamps = as_stamps(times)
        clock = self.clock or self._clock_of(stamps)
        new = clock.read(stamps)[0]
        rows = self._checked(new, as_floats(np.asarray(values), "values"))
        news = self._in_order(new, rows, clock) if self.tolerance is None else self._merged(new, rows, clock)
        self._set(clock)
        self.last = float(news.times[-1]) if len(news.times) else self.last
        return news

    def _set(self, clock: Clock) -> None:
        self.clock = clock
        self._origin = int(clock.origin.asm8.astype(np.int64)) if clock.kind == "datetime" else 0

    def _clock_of(self, stamps: Stamps) -> Clock:
        clock = Clock.of(stamps)
        if clock.kind == self.kind:
            return clock
        if {clock.kind, self.kind} <= {"number", "integer"}:
            return Clock("number" if self.kind == "number" else "integer")
        came = f"{clock.kind} times came"
        raise ValueError(explain(f"times must be of the kind fitted to, {self.kind}", came, "Convert them"))

    def _checked(self, new: np.ndarray, rows: np.ndarray) -> np.ndarray:
        rows = rows[None] if rows.ndim < 2 and len(new) == 1 else rows
        if rows.shape != (len(new), self.channels):
            came = f"values of shape {rows.shape} came with {len(new)} times"
            raise ValueError(
                explain(f"`values` must be ({len(new)}, {self.channels})", came, "Use NaN for what was not seen")
            )
        if np.isinf(rows).any():
            raise ValueError(explain("`values` must be finite or NaN", "infinity came", "Replace it by NaN"))
        return np.array(rows, dtype=np.float64)

    def _in_order(self, new: np.ndarray, rows: np.ndarray, clock: Clock) -> News:
        steps = np.diff(new, prepend=self.last)
        if (steps <= 0).any():
            k = int(np.argmax(steps <= 0))
            came = (
                f"{_shown(clock, new[k])} is not later than {_shown(clock, new[k - 1] if k else self.last)} before it"
            )
            do = "Sort them, or give the stream a `tolerance` for what comes late or twice"
            raise ValueError(explain("times of a stream must increase", came, do))
        return News(new, rows)

    def _merged(self, new: np.ndarray, rows: np.ndarray, clock: Clock) -> News:
        moved = np.maximum.accumulate(np.fmax(new, self.last))
        if (moved - new > self.tolerance).any():
            k = int(np.argmax(moved - new > self.tolerance))
            came = f"{_shown(clock, new[k])} came after {_shown(clock, moved[k])}"
            must = f"times of this stream must be at most {self.tolerance:g} {clock.unit}".rstrip() + " late"
            raise ValueError(explain(must, came, "Leave it out, or make the stream with a larger `tolerance`"))
        fresh = np.diff(moved, prepend=self.last) != 0
        number = np.cumsum(fresh)
        out = np.full((int(number.max(initial=0)) + 1, self.channels), np.nan)
        for place, row in zip(number, rows, strict=True):
            seen = ~np.isnan(row)
            out[place, seen] = row[seen]
        return News(moved[fresh], out[1:], out[0] if not np.isnan(out[0]).all() else None)

    def state_dict(self) -> dict[str, Any]:
        """The clock and the last time, as plain values."""
        if self.clock is None:
            return {}
        kind, start = self.clock.kind, self.clock.origin
        timed = kind == "datetime"
        origin, zone = (self._origin, start.tz and str(start.tz)) if timed else (start, None)
        return {"clock": [kind, int(origin), self.clock.resolution, zone], "last": self.last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        if not state:
            self.clock, self.last = None, np.nan
            return
        kind, origin, resolution, zone = state["clock"]
        clock = Clock(kind, origin, resolution)
        if kind == "datetime":
            start = pd.DatetimeIndex(np.array([origin], dtype=f"M8[{resolution}]"))
            start = start if zone is None else start.tz_localize("UTC").tz_convert(zone)
            clock = replace(clock, origin=start[0])
        self._set(clock)
        self.last = state["last"]


def _duration(tolerance: Any, kind: str) -> float:
    timed = kind in ("datetime", "timedelta")
    try:
        late = Clock("timedelta", 0, "ns").durations(pd.Timedelta(tolerance)).item() if timed else float(tolerance)
    except (TypeError, ValueError) as error:
        came = f"{tolerance!r} came for {kind} times"
        do = "Pass, say, '1min'" if timed else "Pass a number in the unit of the times"
        raise ValueError(explain("`tolerance` must be a duration", came, do)) from error
    if not (late >= 0 and math.isfinite(late)):
        raise ValueError(explain("`tolerance` must be 0 or more", f"{tolerance!r} came", "Leave it out for none"))
    return late


def _shown(clock: Clock, time: float) -> Any:
    return clock.stamps([time])[0]
