"""Horizons of sktime: which stamps are asked, of which series, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sktime.forecasting.base import ForecastingHorizon

from tsssm.errors import explain
from tsssm.sktime.frames import Rows, numbers_in, rows_of

TIMED = (pd.DatetimeIndex, pd.TimedeltaIndex)


def check_horizon(fh: Any, cutoff: pd.Index) -> None:
    """Refuse a horizon that asks for nothing, and stamps of another kind or frequency than the cutoff."""
    if fh is not None and np.ndim(fh) and not len(fh):
        must, came = "`fh` must ask for at least one time", f"an empty {type(fh).__name__} came"
        raise ValueError(explain(must, came, "Pass, say, fh=[1, 2, 3]"))
    if isinstance(fh, ForecastingHorizon):
        fh = None if fh.is_relative else fh.to_pandas()
    if not isinstance(fh, (pd.DatetimeIndex, pd.PeriodIndex)):
        return
    mixed = type(fh) is not type(cutoff)
    if mixed or (isinstance(fh, pd.PeriodIndex) and fh.freqstr != cutoff.freqstr):
        came = f"`fh` is a {_described(fh)}, and the series have a {_described(cutoff)}"
        raise ValueError(explain("a horizon must be of the kind and frequency of the series", came, "Convert `fh`"))


def stamps_asked(fh: ForecastingHorizon, cutoff: pd.Index, seen: pd.Index) -> pd.Index:
    """Absolute stamps of a horizon, increasing.

    Parameters
    ----------
    fh : ForecastingHorizon
        Absolute stamps, durations after the cutoff, or steps after it.
    cutoff : Index of one entry
        Where relative horizons start.
    seen : Index
        Index of the series seen, whose frequency steps are counted in where the cutoff has none.

    Raises
    ------
    ValueError
        For steps where no frequency is known.
    """
    asked = fh.to_pandas()
    if not fh.is_relative:
        return asked.sort_values()
    if isinstance(asked, pd.TimedeltaIndex):
        return (cutoff[0] + asked).sort_values()
    if not isinstance(cutoff, TIMED):
        return fh.to_absolute_index(cutoff).sort_values()
    step = frequency(fh, cutoff, seen)
    return type(cutoff)([cutoff[0] + int(k) * step for k in asked]).sort_values()


def frequency(fh: ForecastingHorizon, cutoff: pd.Index, seen: pd.Index) -> Any:
    """The offset between steps: of the horizon, of the cutoff, or the one that all series seen have in common."""
    if fh.freq is not None:
        return pd.tseries.frequencies.to_offset(fh.freq)
    if cutoff.freq is not None:
        return cutoff.freq
    rows = rows_of(seen)
    found = {_inferred(rows.stamps[rows.owner == i]) for i in np.unique(rows.owner)}
    if len(found) == 1 and None not in found:
        return pd.tseries.frequencies.to_offset(found.pop())
    must = "steps ahead need a frequency that all series share"
    kinds = sorted(str(kind) for kind in found - {None})
    came = f"the series have the frequencies {', '.join(kinds[:4])}" if len(kinds) > 1 else "the stamps have none"
    do = "Pass stamps, fh=pd.DatetimeIndex([...]), or durations, fh=pd.to_timedelta([...])"
    if isinstance(cutoff, pd.TimedeltaIndex):
        do = "Pass durations after the last stamp, fh=pd.to_timedelta([...])"
    raise ValueError(explain(must, f"fh={fh.to_pandas().tolist()[:5]} came, and {came}", do))


def _inferred(stamps: pd.Index) -> str | None:
    """Frequency of the stamps of one series, as far as it has one."""
    return pd.infer_freq(stamps) if len(stamps) > 2 else None


def _described(index: pd.Index) -> str:
    return f"{type(index).__name__} of {index.freqstr}" if isinstance(index, pd.PeriodIndex) else type(index).__name__


def same_frequency(y: pd.Index, X: pd.Index) -> None:
    """Refuse covariates whose periods are of another frequency than those of the series."""
    ours, theirs = y.get_level_values(-1), X.get_level_values(-1)
    both = isinstance(ours, pd.PeriodIndex) and isinstance(theirs, pd.PeriodIndex)
    if (both and ours.freqstr != theirs.freqstr) or (not both and isinstance(ours, TIMED) != isinstance(theirs, TIMED)):
        came = f"`y` has a {_described(ours)}, and `X` a {_described(theirs)}"
        raise ValueError(explain("`X` must have times of the kind and frequency of `y`", came, "Convert one of them"))


def index_asked(stamps: pd.Index, counted: bool, seen: Rows, last: pd.Index, X: pd.DataFrame | None) -> pd.Index:
    """Index of the answers: every stamp of every series, or the rows of X where series are asked at their own stamps.

    Own stamps: the horizon is not `counted` in steps, and X lacks some of the series at some of its stamps. Then those
    rows of X are asked whose stamp is in the horizon and after `last`, the last stamp seen of each series.
    """
    if seen.names is None:
        return stamps
    names, levels = seen.names, seen.names.nlevels
    number = np.repeat(np.arange(len(names)), len(stamps))
    upper = names[number]
    parts = [upper.get_level_values(k) for k in range(levels)]
    every = pd.MultiIndex.from_arrays([*parts, stamps[np.tile(np.arange(len(stamps)), len(names))]])
    if X is None or counted or every.isin(X.index).all():
        return every
    owner, own = numbers_in(names, X.index), X.index.get_level_values(-1)
    kept = (owner >= 0) & own.isin(stamps)
    kept[kept] = own[kept] > last[owner[kept]]
    return X.index[kept].sort_values() if kept.any() else every


def changing(X: pd.DataFrame | None) -> list[int]:
    """Places of the columns that have more than one value."""
    return [] if X is None else np.flatnonzero(X.nunique(dropna=False).to_numpy() > 1).tolist()


def refuse_missing(asked: pd.Index, X: pd.DataFrame | None) -> None:
    """Refuse covariates that lack rows of the horizon."""
    if X is None:
        must, came = "`X` must hold the covariates of the rows asked", "no `X` came, and the model was fitted with one"
        raise ValueError(explain(must, came, "Pass X with a row for each stamp of the horizon"))
    lost = ~asked.isin(X.index)
    if lost.any():
        came = f"{asked[int(lost.argmax())]!r} is missing, and {int(lost.sum())} of {len(asked)} rows in all"
        do = "Pass X with a row for each series and stamp of the horizon"
        raise ValueError(explain("`X` must hold the covariates of the rows asked", came, do))
