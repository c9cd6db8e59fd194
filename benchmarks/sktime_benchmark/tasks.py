"""Tasks: real series, and their ends that are to be forecast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from tsssm.sktime import TailSplitter

# seasons, in rows, and pandas' names of the steps
STEPS = {"yearly": (1, "YS"), "quarterly": (4, "QS"), "monthly": (12, "MS"), "other": (1, "D")}
# forecasts asked in each part of M3: series times steps
M3 = {"m3 yearly": 645 * 6, "m3 quarterly": 756 * 8, "m3 monthly": 1428 * 18, "m3 other": 174 * 8}
# M4 names no dates; all its series start here
M4_START = "2015-01-05"


@dataclass(frozen=True, eq=False)
class Task:
    """Series (id, time) with one column "y": what is shown, what is to be forecast, the season in rows, how far ahead.

    `horizon` is a number of steps, or a duration where stamps are irregular.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    season: int
    horizon: int | str


def competition(file: Path, period: str) -> Task:
    """One frequency of the tourism or the M3 competition, at its own dates."""
    table = pd.read_parquet(file).query("period == @period")
    season, freq = STEPS[period]
    parts = [], []
    for row in table.itertuples():
        # year 1 stands for a date that is not known
        year = row.start if row.start > 1 else 2000.0
        start = pd.Timestamp(int(year), 1 + round(12 * (year % 1)), 1)
        stamps = pd.date_range(start, periods=len(row.train) + len(row.test), freq=freq)
        _add(parts, row.id, stamps, row.train, row.test)
    return _task(parts, season)


def m4(folder: Path, period: str, most: int = 1000) -> Task:
    """Hourly or weekly series of M4, at most the last `most` points of each."""
    table = pd.read_parquet(folder / "m4" / f"{period}.parquet")
    season, freq = {"hourly": (24, "h"), "weekly": (1, "7D")}[period]
    parts = [], []
    for row in table.itertuples():
        train = row.train[-most:]
        _add(parts, row.id, pd.date_range(M4_START, periods=len(train) + len(row.test), freq=freq), train, row.test)
    return _task(parts, season)


def transformer(folder: Path) -> Task:
    """The seven columns of ETTh1 as series: the day after the first 16 months."""
    table = pd.read_parquet(folder / "ett" / "ETTh1.parquet").iloc[: 11520 + 24]
    parts = [], []
    for name in table.columns.drop("date"):
        values = table[name].to_numpy()
        _add(parts, name, pd.DatetimeIndex(table["date"]), values[:-24], values[-24:])
    return _task(parts, 24)


def glucose(folder: Path) -> Task:
    """Readings of 19 people at times of their own: the last two hours of each, of one reading in three."""
    table = pd.read_parquet(folder / "cgm_hall" / "cgm_hall.parquet").rename(columns={"gl": "y"})
    kept = table[np.random.default_rng(0).random(len(table)) < 1 / 3].drop_duplicates(["id", "time"])
    return _held_out(kept.set_index(["id", "time"])[["y"]].astype(float).sort_index(), "2h", "3h")


def weather(folder: Path) -> Task:
    """Daily highs and lows of three stations since 1990 on the days that were reported: the last two weeks."""
    table = pd.read_parquet(folder / "ushcn_ri" / "ushcn_daily_ri.parquet")
    table["time"] = pd.to_datetime(table["date"])
    table = table[table["element"].isin(["TMAX", "TMIN"]) & (table["qflag"] == "") & (table["time"] >= "1990")]
    frame = table.assign(
        id=table["station"].astype(str) + " " + table["element"].astype(str), y=table["value"].astype(float)
    )
    return _held_out(frame.set_index(["id", "time"])[["y"]].sort_index(), "14D", "16D")


def _add(parts: tuple[list, list], id: str, stamps: pd.DatetimeIndex, train: np.ndarray, test: np.ndarray) -> None:
    for into, times, values in zip(parts, (stamps[: len(train)], stamps[len(train) :]), (train, test), strict=True):
        index = pd.MultiIndex.from_product([[id], times], names=["id", "time"])
        into.append(pd.DataFrame({"y": np.asarray(values, dtype=float)}, index=index))


def _task(parts: tuple[list, list], season: int) -> Task:
    train, test = (pd.concat(part).sort_index() for part in parts)
    return Task(train, test, season, max(map(len, parts[1])))


def _held_out(frame: pd.DataFrame, tail: str, horizon: str) -> Task:
    train, test = next(TailSplitter(tail).split_series(frame))
    return Task(train, test, 1, horizon)


FORECASTS: dict[str, Callable[[Path], Task]] = {
    **{
        f"{name} {period}": partial(
            lambda folder, name, period: competition(folder / name / f"{name}.parquet", period),
            name=name,
            period=period,
        )
        for name, periods in (("tourism", ("yearly", "quarterly", "monthly")), ("m3", tuple(STEPS)))
        for period in periods
    },
    "m4 hourly": partial(m4, period="hourly"),
    "m4 weekly": partial(m4, period="weekly"),
    "etth1": transformer,
    "glucose": glucose,
    "weather": weather,
}
