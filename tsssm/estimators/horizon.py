"""Horizons: how far ahead is asked, in steps, durations or absolute times, for all series or each."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tsssm.data import Panel, as_panel
from tsssm.data.calendar import Calendar
from tsssm.errors import explain

FORMS = {
    "horizon": "a positive number of steps, a duration (a number in the unit of the times, or a timedelta where they "
    "are datetimes), a list of durations, an array of times, a dict of them by id, or a panel of the rows asked",
    "times": "an array of times, a dict of them by id, or a panel of the rows asked",
}
SPANS = (str, datetime.timedelta, np.timedelta64)


class Origins(NamedTuple):
    """Where the forecasts of a panel start: time of the last row seen (n,), and the typical gap (n,)."""

    time: np.ndarray
    gap: np.ndarray


def origins(panel: Panel, seen: np.ndarray, time_scale: float) -> Origins:
    """Last time that is `seen` (rows,) in each series, and its median gap, or `time_scale` where it has none.

    A series in which nothing was seen starts at the latest time seen in the panel.
    """
    times, owner = panel.times[seen], np.repeat(np.arange(len(panel)), panel.lengths)[seen]
    last = np.full(len(panel), times.max() if len(times) else 0.0)
    last[owner] = times
    gap = np.full(len(panel), time_scale)
    same = np.diff(owner) == 0
    gaps = pd.Series(np.diff(times)[same]).groupby(owner[1:][same]).median()
    gap[gaps.index.to_numpy(dtype=np.int64)] = gaps.to_numpy()
    return Origins(last, gap)


def is_relative(horizon: Any, panel: Panel) -> bool:
    """Whether a horizon is counted from the end of a series, and not in absolute times or by id."""
    if isinstance(horizon, (Panel, pd.DataFrame, Mapping)):
        return False
    if isinstance(horizon, (list, tuple, range)):
        return not any(isinstance(entry, (datetime.datetime, np.datetime64)) for entry in horizon)
    return np.ndim(horizon) == 0 or isinstance(horizon, pd.TimedeltaIndex) and panel.clock.kind == "datetime"


def asked_times(horizon: Any, panel: Panel, start: Origins) -> list[np.ndarray]:
    """Encoded times asked of each series, increasing.

    Raises
    ------
    ValueError, TypeError
        Where a horizon is empty, in the past of a series, or of the wrong kind for the clock.
    """
    if isinstance(horizon, (Panel, pd.DataFrame)):
        queries = as_panel(horizon)
        horizon = {id: queries[i].stamps() for i, id in enumerate(queries.ids.tolist())}
    if isinstance(horizon, Mapping):
        own = _by_id(horizon, panel)
        asked = [
            np.empty(0) if entry is None else _resolve(entry, panel, start.time[i], start.gap[i])
            for i, entry in enumerate(own)
        ]
    elif is_relative(horizon, panel):
        _check_scalar(horizon)
        asked = [_resolve(horizon, panel, start.time[i], start.gap[i]) for i in range(len(panel))]
    else:
        asked = [_absolute(horizon, panel)] * len(panel)
    if not any(len(times) for times in asked):
        raise ValueError(
            explain(f"`horizon` must be {FORMS['horizon']}", "an empty one came", "Ask for at least one time")
        )
    _refuse_past(asked, panel, start)
    return asked


def _by_id(horizon: Mapping, panel: Panel, name: str = "horizon") -> list:
    unknown = [id for id in horizon if id not in set(panel.ids.tolist())]
    if unknown:
        came = f"{unknown[0]!r} came, and the series are {', '.join(map(repr, panel.ids[:5].tolist()))}"
        raise ValueError(explain(f"`{name}` must name series of X", came, "Mend the ids"))
    return [horizon.get(id) for id in panel.ids.tolist()]


def _check_scalar(horizon: Any) -> None:
    numbers = (Integral, Real, *SPANS, list, tuple, range, pd.TimedeltaIndex, np.ndarray)
    if isinstance(horizon, (bool, np.bool_)) or not isinstance(horizon, numbers):
        came = f"{horizon!r} of type {type(horizon).__name__} came"
        raise TypeError(explain(f"`horizon` must be {FORMS['horizon']}", came, "Pass, say, horizon=12"))


def _resolve(horizon: Any, panel: Panel, origin: float, gap: float) -> np.ndarray:
    """Times asked of one series."""
    if isinstance(horizon, (Integral, Real, *SPANS)):
        return origin + _leads(horizon, panel, gap)
    if not is_relative(horizon, panel):
        return _absolute(horizon, panel)
    entries = list(horizon)
    if panel.clock.resolution and all(isinstance(entry, (int, np.integer)) for entry in entries):
        leads = np.array(entries, dtype=np.float64) * gap
    else:
        leads = np.array([span_of(entry, panel) for entry in entries], dtype=np.float64)
    if (leads <= 0).any():
        came = f"{entries[int(np.argmin(leads))]!r} came"
        raise ValueError(explain("durations ahead must be positive", came, "Use an imputer for times in the past"))
    return origin + np.unique(leads)


def _leads(horizon: Any, panel: Panel, gap: float) -> np.ndarray:
    """Durations from the end of a series to its next steps, up to a number of them or up to a duration."""
    # NumPy counts its timedeltas among the integers
    counted = isinstance(horizon, Integral) and not isinstance(horizon, SPANS)
    steps = horizon if counted else span_of(horizon, panel) / gap
    if not steps > 0:
        raise ValueError(
            explain(f"`horizon` must be {FORMS['horizon']}", f"{horizon!r} came", "Ask for at least one step")
        )
    # a duration that is a whole number of gaps must not lose its last step to rounding
    whole = int(np.floor(steps * (1 + 1e-9)))
    return np.arange(1, whole + 1) * gap if whole else np.array([steps * gap])


def span_of(entry: Any, panel: Panel) -> float:
    """A duration in the unit of the clock."""
    timed = bool(panel.clock.resolution)
    if isinstance(entry, SPANS) != timed or isinstance(entry, (datetime.datetime, bool)):
        kind = "a timedelta or a text such as '6h'" if timed else "a number"
        came = f"{entry!r} came for {panel.clock.kind} times"
        raise ValueError(explain(f"a duration must be {kind} for these times", came, "Convert the horizon"))
    if not timed:
        return float(entry)
    try:
        return float(panel.clock.durations(pd.Timedelta(entry)))
    except ValueError as error:
        came = f"{entry!r} came"
        raise ValueError(explain("a duration must be readable by pandas.Timedelta", came, "Write '6h'")) from error


def periods_of(periods: Any, panel: Panel, calendar: Calendar, gap: float) -> tuple[float, ...]:
    """Lengths of seasons in the unit of the clock: those of a calendar, or durations, each longer than a typical gap.

    Raises
    ------
    ValueError
        Where a duration cannot be read or is not longer than a gap.
    """
    if isinstance(periods, str) and periods == "calendar":
        return calendar.periods
    spans = [periods] if isinstance(periods, (Real, *SPANS)) else list(periods)
    found = tuple(span_of(span, panel) for span in spans)
    if any(not span > gap for span in found):
        came = f"{spans[int(np.argmin(found))]!r} came, and a gap is {gap:g}{panel.clock.unit}"
        raise ValueError(explain("periods must be longer than a typical gap", came, "Pass, say, periods=[12]"))
    return found


def _absolute(times: Any, panel: Panel, name: str = "horizon") -> np.ndarray:
    try:
        return np.unique(panel.clock.encode(times))
    except (TypeError, ValueError) as error:
        came = f"{type(times).__name__} came for {panel.clock.kind} times: {error}"
        raise ValueError(explain(f"`{name}` must be {FORMS[name]}", came, "Convert it")) from error


def _refuse_past(asked: list[np.ndarray], panel: Panel, start: Origins) -> None:
    for i, times in enumerate(asked):
        if len(times) and times[0] <= start.time[i] and panel.lengths[i]:
            first, last = panel.stamps(np.array([times[0], start.time[i]]))
            came = f"series {panel.ids[i]!r} was seen until {last}, and {first} was asked"
            raise ValueError(explain("times asked must lie after the end of a series", came, "Use SSMImputer instead"))


def times_asked(times: Any, panel: Panel) -> list[np.ndarray]:
    """Encoded absolute times asked of each series: an array for all, a dict by id, or a panel or table of the rows."""
    if isinstance(times, (Panel, pd.DataFrame)):
        queries = as_panel(times)
        times = {id: queries[i].stamps() for i, id in enumerate(queries.ids.tolist())}
    if isinstance(times, Mapping):
        return [np.empty(0) if own is None else _absolute(own, panel, "times") for own in _by_id(times, panel, "times")]
    return [_absolute(np.atleast_1d(times), panel, "times")] * len(panel)
