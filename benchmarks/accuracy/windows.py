"""ETTh1 in the usual protocol: standardised by its training months, all windows of the test months, none dropped."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tsssm.datasets import load_etth1

# 12, 4 and 4 months of 30 days.
PARTS = {"train": (0, 8640), "valid": (8640, 11520), "test": (11520, 14400)}
DAY = 24


@lru_cache(maxsize=1)
def standardised() -> np.ndarray:
    """Give the hours of all parts, (14400, 7), with mean 0 and deviation 1 in the training part."""
    start, stop = PARTS["train"]
    values = load_etth1().values[: PARTS["test"][1]]
    return (values - values[start:stop].mean(0)) / values[start:stop].std(0)


def origins(part: str, horizon: int) -> np.ndarray:
    """Give the last hours seen of all forecasts whose hours asked lie in a part: (windows,)."""
    start, stop = PARTS[part]
    return np.arange(max(start, 1), stop - horizon + 1) - 1


def futures(values: np.ndarray, hours: np.ndarray, horizon: int) -> np.ndarray:
    """Give what follows these hours, (windows, channels, horizon)."""
    return sliding_window_view(values, horizon, axis=0)[hours + 1]


def pasts(values: np.ndarray, hours: np.ndarray, length: int) -> np.ndarray:
    """Give the values up to and including these hours, (windows, channels, length)."""
    return sliding_window_view(values, length, axis=0)[hours - length + 1]
