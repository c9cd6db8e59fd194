"""Small irregular data for the checks: one series, and a panel with times of its own for each series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def hours(n: int, seed: int) -> np.ndarray:
    """Increasing irregular times in whole minutes, as hours."""
    return np.cumsum(np.random.default_rng(seed).integers(5, 200, n)) / 60.0


def series(n: int = 24, seed: int = 0, scale: float = 1.0, shift: float = 0.0) -> pd.Series:
    """A noisy wave at irregular timedeltas."""
    times = hours(n, seed)
    values = 10 + np.sin(times) + 0.1 * np.random.default_rng(seed + 1).normal(size=n)
    return pd.Series(values, index=pd.to_timedelta(shift + scale * times, unit="h"), name="y")


def panel(n: int = 12, scale: float = 1.0, shift: float = 0.0, missing: bool = False) -> pd.DataFrame:
    """Waves of two speeds, of unequal lengths, each at times of its own."""
    parts = {}
    for i in range(n):
        rows = series(10 + i % 4, i, scale, shift)
        values = np.sin((1 + i % 2) * hours(len(rows), i)) + 0.01 * i
        if missing:
            values[[2, 5]] = np.nan
        parts[f"s{i:02d}"] = pd.DataFrame({"a": values, "b": values[::-1] ** 2}, index=rows.index)
    return pd.concat(parts, names=["id", "time"])


def ahead(*spans: float, scale: float = 1.0) -> pd.TimedeltaIndex:
    """Durations in hours, which sktime counts from the end of a series."""
    return pd.to_timedelta(scale * np.array(spans), unit="h")


def dated(y: Any, zone: str | None = None) -> Any:
    """The same series at datetimes."""
    start, times = pd.Timestamp("2024-03-01", tz=zone), y.index.get_level_values(-1)
    if y.index.nlevels == 1:
        return y.set_axis(start + times)
    return y.set_axis(pd.MultiIndex.from_arrays([y.index.get_level_values(0), start + times], names=y.index.names))
