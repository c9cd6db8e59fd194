"""What each feature is: its channels, its window and periods, and how it is pooled."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tsssm.features.draw import POOLS, READOUTS, Groups

UNITS = (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))


def table_of(groups: Groups, channels: tuple[str, ...]) -> pd.DataFrame:
    """Give one row a feature, group by group, with its window and periods in the unit of the panel's clock.

    Columns: `channels`, as "a - b" for a mixture; `group` and `readout`, which number the draws; `window`, the length
    over which an impulse is seen; `slowest` and `fastest`, the periods of its oscillators; `pooling`.
    """
    n, each = len(groups.window), READOUTS * len(POOLS)
    turns = groups.rate.imag / (2 * np.pi)
    return pd.DataFrame(
        {
            "channels": np.repeat([mixture(column, channels) for column in groups.mix.T], each),
            "group": np.repeat(np.arange(n), each),
            "readout": np.tile(np.repeat(np.arange(READOUTS), len(POOLS)), n),
            "window": np.repeat(groups.window, each),
            "slowest": np.repeat(1 / turns.min(0), each),
            "fastest": np.repeat(1 / turns.max(0), each),
            "pooling": np.tile(POOLS, n * READOUTS),
        }
    )


def mixture(signs: np.ndarray, channels: tuple[str, ...]) -> str:
    """Word a mixture of channels: "a + b - c"."""
    text = "".join(f" {'-' if sign < 0 else '+'} {name}" for sign, name in zip(signs, channels, strict=True) if sign)
    return text.removeprefix(" + ").strip()


def names_of(table: pd.DataFrame, clock_kind: str) -> np.ndarray:
    """Name each feature: "pressure, window 6.2h, 17.3 longest", where 17.3 is group and readout."""
    windows = {window: duration(window, clock_kind) for window in table["window"].unique()}
    parts = zip(table["channels"], table["window"], table["group"], table["readout"], table["pooling"], strict=True)
    return np.array([f"{c}, window {windows[w]}, {g}.{r} {pool}" for c, w, g, r, pool in parts], dtype=object)


def duration(length: float, clock_kind: str) -> str:
    """Word a length of time: with a unit where the clock has one, else a bare number."""
    if clock_kind in ("datetime", "timedelta"):
        unit, size = next(((unit, size) for unit, size in UNITS if length >= size), UNITS[-1])
        return f"{length / size:.3g}{unit}"
    return f"{length:.3g}"
