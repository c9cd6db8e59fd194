"""Windows of the MuJoCo trajectories: 50 steps shown, of which some are dropped, 10 asked."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.robustness.flow import Last

FILE = "mujoco_hopper/ancde_mujoco_100x100x14.parquet"
SHOWN, ASKED = 50, 10


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows (w, 60, 14) and which of their steps are seen (w, 60); the last ten are what is asked."""

    values: np.ndarray
    seen: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def truth(self) -> np.ndarray:
        """What is asked, (w, 10, 14)."""
        return self.values[:, SHOWN:]

    def last(self, window: np.ndarray, cut: np.ndarray) -> Last:
        """What was seen last before the cuts, (b,) both, of some windows."""
        before = self.before
        first = before[window, cut]
        second = before[window, first]
        third = np.where(second >= 0, before[window, second], -1)
        # a slope that nothing was seen for is 0
        second, third = (
            np.where(second < 0, first, second),
            np.where(third < 0, np.where(second < 0, first, second), third),
        )
        points = [self.values[window, place] for place in (first, second, third)]
        gaps = np.stack([first - second, second - third], 1)
        slopes = [(points[i] - points[i + 1]) / np.maximum(gaps[:, i : i + 1], 1) for i in (0, 1)]
        numbers = (points[0], *slopes, gaps)
        return Last(*(torch.from_numpy(part).float() for part in numbers), torch.from_numpy(cut - 1 - first))

    @property
    def before(self) -> np.ndarray:
        """Last step seen before each step 0, ..., 60; -1 where there is none: (w, 61)."""
        steps = np.where(self.seen, np.arange(self.seen.shape[1]), -1)
        return np.pad(np.maximum.accumulate(steps, 1), ((0, 0), (1, 0)), constant_values=-1)


@lru_cache(maxsize=1)
def trajectories(folder: Path) -> np.ndarray:
    """Give the trajectories, (100, 100, 14)."""
    frame = pd.read_parquet(folder / FILE)
    return np.stack([np.stack(frame[f"f{i}"].to_numpy()) for i in range(14)], -1).astype(float)


def dropped(count: int, length: int, rate: float, key: str) -> np.ndarray:
    """Draw which steps are seen: a share `rate`, rounded to whole steps, of each of `count` series is not."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    return rng.random((count, length)).argsort(1) >= round(rate * length)


def windows(folder: Path, rate: float, seed: int) -> tuple[Windows, Windows, Windows]:
    """Give the windows to train on, to stop by and to judge by: 70, 15 and 15 % of the 4000 in their order."""
    x = trajectories(folder)
    starts = range(x.shape[1] - SHOWN - ASKED)
    values = np.stack([each[start : start + SHOWN + ASKED] for each in x for start in starts])
    seen = dropped(len(values), SHOWN, rate, f"mujoco {rate:g} {seed}")
    seen = np.pad(seen, ((0, 0), (0, ASKED)), constant_values=True)
    ends = [round(0.7 * len(values)), round(0.85 * len(values))]
    parts = zip(np.split(values, ends), np.split(seen, ends), strict=True)
    train, valid, test = (Windows(*part) for part in parts)
    return train, valid, test
