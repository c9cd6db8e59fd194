"""Windows of 24 rows of the four sets of the papers, whole and with rows dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tsssm.data import Panel

LENGTH = 24
FILES = {
    "Stocks": "google_stock/stock_data.parquet",
    "Energy": "appliances_energy/energydata_complete.parquet",
    "MuJoCo": "mujoco_hopper/ancde_mujoco_100x100x14.parquet",
}
NAMES = ("Sines", *FILES)
SINES = 10_000
# of a record, or of the trajectories, in the protocol without overlap
TRAINING = 0.7


@dataclass(frozen=True, eq=False)
class Problem:
    """Windows (n, 24, c) in [0, 1]: what a generator sees, with NaN in dropped rows, the same whole, and what it is judged by.

    `judge` are the windows of training themselves where the papers judge by these, and `new` are real windows that share no
    row with training or each other, by which memorisation is measured; None where training has all there are.
    """

    shown: np.ndarray
    whole: np.ndarray
    judge: np.ndarray
    new: np.ndarray | None

    @property
    def panel(self) -> Panel:
        """What a generator is fitted to; a row without values says when a window begins."""
        return Panel.from_array(self.shown, times=np.arange(LENGTH, dtype=np.float64))


def problem(name: str, folder: Path | None, rate: float, overlap: bool, most: int | None) -> Problem:
    """Windows of a set, a share of whose rows is dropped, of which at most `most` are kept.

    With `overlap` as in the papers: scaled by the whole record, all its windows, judged by those of training. Without, those
    of the last 30 % of a record or of the trajectories judge, which neither scaling nor training sees.
    """
    rng = np.random.default_rng([NAMES.index(name), round(100 * rate)])
    if name == "Sines":
        whole, new = sines(SINES, 0), sines(SINES // 4, 1)
        shown = np.where(rng.random(whole.shape[:2])[..., None] < rate, np.nan, whole)
        return _some(shown, whole, whole if overlap else new, new, most)
    read: Callable = trajectories if name == "MuJoCo" else record
    records = read(folder / FILES[name])
    if name == "MuJoCo":
        cut = round(TRAINING * len(records))
        past, future = records[:cut], records[cut:]
    else:
        cut = round(TRAINING * records.shape[1])
        past, future = records[:, :cut], records[:, cut:]
    everything = overlap and name != "MuJoCo"
    train = records if everything else past
    low, high = train.min((0, 1)), train.max((0, 1))
    span = np.where(high > low, high - low, 1)
    train, future = (train - low) / span, (future - low) / span
    # rows are dropped from the record, once, so that windows that share a row agree
    dropped = np.where(rng.random(train.shape[:2])[..., None] < rate, np.nan, train)
    whole, shown = windows(train, 1), windows(dropped, 1)
    new = None if everything else windows(future, LENGTH)
    return _some(shown, whole, whole if overlap else windows(future, 1), new, most)


def sines(n: int, seed: int) -> np.ndarray:
    """``(sin(f k + p) + 1) / 2`` of n series and 5 channels, f and p uniform on [0, 0.1]."""
    f, p = np.random.default_rng(seed).uniform(0, 0.1, (2, n, 1, 5))
    return (np.sin(f * np.arange(LENGTH)[:, None] + p) + 1) / 2


def record(file: Path) -> np.ndarray:
    """One record (1, rows, c), in the order of the papers, which is reversed."""
    frame = pd.read_parquet(file)
    return frame.select_dtypes("number").to_numpy(np.float64)[None, ::-1]


def trajectories(file: Path) -> np.ndarray:
    """Trajectories (n, rows, c)."""
    frame = pd.read_parquet(file).filter(regex=r"^f\d+$")
    return np.stack([np.stack(row, -1) for row in frame.to_numpy()]).astype(np.float64)


def windows(records: np.ndarray, stride: int) -> np.ndarray:
    """Windows (n, 24, c) of records (m, rows, c) that begin `stride` rows apart."""
    found = np.lib.stride_tricks.sliding_window_view(records, LENGTH, axis=1)[:, ::stride]
    return np.moveaxis(found, -1, 2).reshape(-1, LENGTH, records.shape[2]).copy()


def _some(shown: np.ndarray, whole: np.ndarray, judge: np.ndarray, new: np.ndarray | None, most: int | None) -> Problem:
    order = np.random.default_rng(0).permutation(len(shown))[:most]
    judged = whole[order] if judge is whole else judge
    return Problem(shown[order], whole[order], judged, new)
