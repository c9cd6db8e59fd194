"""The clock of a panel: how the user's times become float64 numbers, and how they come back exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from tsssm.data.stamps import Locate, Stamps, as_stamps, name_row
from tsssm.errors import explain

PER_SECOND = {"": 1, "s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# Integers up to here are exact in float64.
EXACT = 2**53


@dataclass(frozen=True)
class Clock:
    """A kind of time with its origin: t = (stamp - origin) in seconds, or in the user's own unit for plain numbers.

    Parameters
    ----------
    kind : {"number", "integer", "datetime", "timedelta"}
        What the user's times are.
    origin : int or Timestamp
        The stamp at t = 0. Its time zone is that of the stamps; timedeltas and floats count from 0.
    resolution : {"", "s", "ms", "us", "ns"}
        The finest step the user's datetimes or timedeltas can hold; empty for numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> clock = Clock.of(pd.to_datetime(["2024-01-01", "2024-01-02"]))
    >>> clock.encode(pd.Timestamp("2024-01-01 00:01")).item()
    60.0
    """

    kind: Literal["number", "integer", "datetime", "timedelta"] = "number"
    origin: Any = 0
    resolution: str = ""

    @staticmethod
    def of(times: Any) -> Clock:
        """Give the clock that holds these times; its origin is the first datetime, and 0 for numbers where exact."""
        stamps = as_stamps(times)
        if isinstance(stamps, pd.DatetimeIndex):
            first = stamps.min() if len(stamps) else pd.Timestamp(0, tz=stamps.tz)
            return Clock("datetime", first.as_unit(stamps.unit), stamps.unit)
        if isinstance(stamps, pd.TimedeltaIndex):
            return Clock("timedelta", 0, stamps.unit)
        if stamps.dtype.kind == "f":
            return Clock("number")
        far = len(stamps) > 0 and max(int(stamps.max()), -int(stamps.min())) > EXACT
        return Clock("integer", int(stamps.min()) if far else 0)

    @property
    def unit(self) -> str:
        """The unit of the float64 times: "s" for datetimes and timedeltas, empty (the user's own) for numbers."""
        return "s" if self.resolution else ""

    def encode(self, times: Any) -> np.ndarray:
        """Give the user's times as float64 since the origin, in the shape they came in.

        Raises
        ------
        ValueError
            If the times are of another kind than the clock, for example naive datetimes where it has a time zone.
        """
        return self.read(times)[0].reshape(np.shape(times))

    def durations(self, spans: Any) -> np.ndarray:
        """Give spans of time (timedeltas, or numbers in the user's unit) as float64 in the unit of this clock."""
        stamps = as_stamps(spans)
        if isinstance(stamps, pd.TimedeltaIndex) != bool(self.resolution):
            raise ValueError(
                explain(
                    "a span must be a timedelta for datetime clocks and a number for the rest",
                    f"got {type(spans).__name__} for a clock of kind {self.kind!r}",
                    "Pass pandas.Timedelta or a number",
                )
            )
        plain = Clock("timedelta", 0, self.resolution) if self.resolution else Clock()
        return plain.read(stamps)[0].reshape(np.shape(spans))

    def read(self, times: Any, locate: Locate = name_row) -> tuple[np.ndarray, np.ndarray | None]:
        """Encode times, and give their exact ticks too where float64 cannot hold them.

        Returns
        -------
        encoded : (rows,) float64
        ticks : (rows,) int64 or None
            Steps of `resolution` since the origin; None where the encoded times say it all.
        """
        stamps = as_stamps(times, locate)
        if self.kind == "number" and isinstance(stamps, np.ndarray):
            return stamps.astype(np.float64), None
        if self.kind == "integer" and isinstance(stamps, np.ndarray) and stamps.dtype.kind == "f":
            return stamps - self.origin, None
        ticks, resolution = self._count(stamps)
        encoded = _to_seconds(ticks, PER_SECOND[resolution])
        if resolution != self.resolution or np.array_equal(_to_ticks(encoded, PER_SECOND[resolution]), ticks):
            return encoded, None
        return encoded, ticks

    def stamps(self, times: Any, ticks: np.ndarray | None = None) -> Stamps:
        """Give encoded times back as the user's time objects.

        Datetimes and timedeltas come in the clock's resolution, or in nanoseconds where the times fall between its
        steps; the integers of an integer clock come as floats where they fall between.
        """
        times = np.asarray(times, dtype=np.float64).reshape(-1)
        if self.kind == "number":
            return times
        resolution = self.resolution
        if ticks is None:
            if self._between(times):
                if self.kind == "integer":
                    return times + self.origin
                resolution = "ns"
            ticks = _to_ticks(times, PER_SECOND[resolution])
        if self.kind == "integer":
            return ticks + self.origin
        if self.kind == "timedelta":
            return pd.TimedeltaIndex(ticks.astype(f"m8[{resolution}]"))
        start = self.origin.as_unit(resolution).asm8.astype(np.int64)
        utc = pd.DatetimeIndex((ticks + start).astype(f"M8[{resolution}]"))
        return utc if self.origin.tz is None else utc.tz_localize("UTC").tz_convert(self.origin.tz)

    def seconds(self, ticks: np.ndarray) -> np.ndarray:
        """Give encoded times from steps of the resolution."""
        return _to_seconds(ticks, PER_SECOND[self.resolution])

    def steps(self, times: np.ndarray) -> np.ndarray:
        """Give the nearest steps of the resolution from encoded times."""
        return _to_ticks(times, PER_SECOND[self.resolution])

    def common(self, other: Clock) -> Clock:
        """Give the clock that holds the stamps of both, with this one's origin and time zone."""
        if self.kind == other.kind:
            if PER_SECOND[other.resolution] <= PER_SECOND[self.resolution]:
                return self
            origin = self.origin.as_unit(other.resolution) if self.kind == "datetime" else 0
            return replace(self, origin=origin, resolution=other.resolution)
        if {self.kind, other.kind} == {"number", "integer"}:
            return Clock("number")
        raise ValueError(
            explain(
                "panels must share one kind of time",
                f"one has {self.kind} times and another {other.kind} times",
                "Convert the times of one of them",
            )
        )

    def _count(self, stamps: Any) -> tuple[np.ndarray, str]:
        kind = {pd.DatetimeIndex: "datetime", pd.TimedeltaIndex: "timedelta"}.get(type(stamps), "integer")
        if kind != self.kind:
            came = f"the times are {'numbers' if kind == 'integer' else kind + 's'} and the clock is of kind"
            raise ValueError(explain("times must be of the clock's kind", f"{came} {self.kind!r}", "Convert them"))
        if kind == "integer":
            return _subtract(stamps, self.origin), ""
        unit = max(self.resolution, stamps.unit, key=PER_SECOND.__getitem__)
        ticks = stamps.as_unit(unit).asi8
        if kind == "timedelta":
            return ticks, unit
        if (stamps.tz is None) != (self.origin.tz is None):
            came = f"the times have zone {stamps.tz} and the clock has zone {self.origin.tz}"
            raise ValueError(
                explain("datetimes must all have a time zone or none", came, "Use tz_localize or tz_convert on them")
            )
        return _subtract(ticks, int(self.origin.as_unit(unit).asm8.astype(np.int64))), unit

    def _between(self, times: np.ndarray) -> bool:
        """Say whether some times fall between the steps of the resolution, and a finer one can hold them."""
        per = PER_SECOND[self.resolution]
        off = np.abs(times - _to_seconds(_to_ticks(times, per), per))
        # Sums of float64 times are off their step by rounding alone; 1/1000 of a step is no intent.
        if not (off > 1e-3 / per + 4 * np.spacing(np.abs(times))).any():
            return False
        if self.kind == "integer":
            return True
        reach = 9.2e9 - (abs(self.origin.timestamp()) if self.kind == "datetime" else 0.0)
        return self.resolution != "ns" and bool(np.abs(times).max() < reach)


def _to_seconds(ticks: np.ndarray, per: int) -> np.ndarray:
    # Whole and part apart: one division of large ticks would round twice.
    whole, part = np.divmod(ticks, per)
    return whole + part / per


def _to_ticks(times: np.ndarray, per: int) -> np.ndarray:
    whole = np.floor(times)
    return whole.astype(np.int64) * per + np.rint((times - whole) * per).astype(np.int64)


def _subtract(stamps: np.ndarray, origin: int) -> np.ndarray:
    if len(stamps) and max(int(stamps.max()) - origin, origin - int(stamps.min())) > np.iinfo(np.int64).max:
        came = f"they run from {stamps.min()} to {stamps.max()} with the origin at {origin}"
        raise ValueError(explain("times must lie within 63 bits of the origin", came, "Subtract an origin before"))
    return stamps - origin
