"""Small series for the tests of exported models."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from tsssm import Panel

KINDS = ("cat", "dog")


def ragged(n: int, missing: float = 0.3, static: bool = False, seed: int = 0) -> Panel:
    """Random walks of 1 to 9 rows and three channels at irregular times; one row in ten shows nothing at all."""
    rng = np.random.default_rng(seed)
    series = []
    for i in range(n):
        l = 1 + (5 * i) % 9
        values = 50 + 20 * np.cumsum(rng.normal(size=(l, 3)), 0)
        values[rng.random(values.shape) < missing] = np.nan
        if missing:
            values[1:][rng.random(l - 1) < 0.1] = np.nan
            values[0, 0] = 3.0
        series.append((1000 + np.cumsum(rng.exponential(60, size=l)), values))
    panel = Panel.from_series(series)
    if not static:
        return panel
    age = rng.normal(60, 10, size=n)
    age[n // 2] = np.nan
    return dataclasses.replace(panel, static=pd.DataFrame({"kind": np.resize(KINDS, n), "age": age}))


def labels(n: int) -> np.ndarray:
    """Three classes by name."""
    return np.array(["a", "b", "c"])[np.arange(n) % 3]


def spread(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Times (b, l) and values (b, l, c) of a panel, filled up with zeros and NaN."""
    length = max(1, panel.lengths.max())
    times = np.zeros((len(panel), length))
    values = np.full((*times.shape, panel.shape[1]), np.nan)
    for i, (start, stop) in enumerate(zip(panel.offsets[:-1], panel.offsets[1:], strict=True)):
        times[i, : stop - start], values[i, : stop - start] = panel.times[start:stop], panel.values[start:stop]
    return times, values


def static_numbers(panel: Panel) -> np.ndarray:
    """Static features as a graph takes them: places in the list of categories, and numbers."""
    table = panel.static
    return np.column_stack([[KINDS.index(kind) if kind in KINDS else -1 for kind in table["kind"]], table["age"]])
