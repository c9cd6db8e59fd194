"""Classification sets of the UCR and UEA archives: reading, halving, dropping of values.

A folder holds `ucr/NAME.parquet` and `uea/NAME.parquet` with the columns `split` ('train' or 'test'), `label` and
`dim_0`, `dim_1`, ...: lists of float32 in which NaN is missing, at the end of a series also for its being shorter.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from sklearn.model_selection import train_test_split

from tsssm.data import Panel
from tsssm.errors import explain

# The sets on which design choices of the features were made: every third name of the 84 + 10 at hand, from the first of
# the UCR and the second of the UEA sets, less ACSF1, ElectricDevices and PigCVP, which take long. Spelt out, since the
# rule would give other names in a folder with more sets.
DEVELOPMENT = frozenset(
    [
        "AllGestureWiimoteY",
        "BME",
        "BirdChicken",
        "Coffee",
        "CricketY",
        "DiatomSizeReduction",
        "DistalPhalanxTW",
        "ECG5000",
        "FiftyWords",
        "GestureMidAirD1",
        "GesturePebbleZ1",
        "GunPointAgeSpan",
        "Ham",
        "HouseTwenty",
        "LargeKitchenAppliances",
        "Meat",
        "MiddlePhalanxOutlineCorrect",
        "OSULeaf",
        "PickupGestureWiimoteZ",
        "ProximalPhalanxTW",
        "ScreenType",
        "SmoothSubspace",
        "ToeSegmentation1",
        "TwoLeadECG",
        "WordSynonyms",
        "BasicMotions",
        "Handwriting",
        "NATOPS",
    ]
)
SEED_OF_HALVES = 0

Problem = tuple[Panel, np.ndarray, Panel, np.ndarray]
Split = tuple[list[np.ndarray], np.ndarray]


def find(folder: Path) -> dict[str, Path]:
    """Give the files of all sets by name, small sets first."""
    paths = [path for kind in ("ucr", "uea") for path in sorted((folder / kind).glob("*.parquet"))]
    if not paths:
        came = f"{folder} has no ucr/*.parquet and no uea/*.parquet"
        raise FileNotFoundError(explain("`--data` must be a folder of sets", came, "See benchmarks/README.md"))
    return {path.stem: path for path in sorted(paths, key=size)}


def size(path: Path) -> int:
    """Values of a set, missing ones among them, without reading them."""
    groups = pq.ParquetFile(path).metadata
    columns = [groups.row_group(i).column(j) for i in range(groups.num_row_groups) for j in range(groups.num_columns)]
    return sum(column.num_values for column in columns)


@lru_cache(maxsize=1)
def load(path: Path) -> dict[str, Split]:
    """Give the series, (c, l) each, and the labels of 'train' and 'test'.

    A set that has no test series is halved, class by class.
    """
    frame = pd.read_parquet(path)
    dims = [name for name in frame if name.startswith("dim_")]
    series = [np.array(list(row), float) for row in frame[dims].itertuples(index=False)]
    labels = frame["label"].to_numpy().astype(str)
    train = (frame["split"] == "train").to_numpy()
    if train.all():
        kept, _ = train_test_split(np.arange(len(labels)), test_size=0.5, random_state=SEED_OF_HALVES, stratify=labels)
        train = np.isin(np.arange(len(labels)), kept)
    parts = {"train": np.flatnonzero(train), "test": np.flatnonzero(~train)}
    return {split: ([series[i] for i in rows], labels[rows]) for split, rows in parts.items()}


def drop(series: list[np.ndarray], rate: float, key: str) -> list[np.ndarray]:
    """Give the series without a share of the observed values of each of their channels; one value at least stays.

    Parameters
    ----------
    series : list of (c, l) arrays
        NaN = not observed.
    rate : float
        Share of the observed values of a channel of a series, rounded to whole values.
    key : str
        Seeds the draw: its checksum is the same on every machine, unlike its hash.
    """
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    out = []
    for values in series:
        values = values.copy()
        for channel in values:
            seen = np.flatnonzero(np.isfinite(channel))
            count = min(round(rate * len(seen)), len(seen) - 1)
            if count > 0:
                channel[rng.permutation(seen)[:count]] = np.nan
        out.append(values)
    return out


def as_rows(series: list[np.ndarray]) -> Panel:
    """Give a panel with a row where any channel is observed, at its place in the series."""
    kept = [np.flatnonzero(np.isfinite(values).any(axis=0)) for values in series]
    return Panel.from_series(
        [(rows.astype(float), values[:, rows].T) for rows, values in zip(kept, series, strict=True)]
    )


@lru_cache(maxsize=1)
def problem(path: Path, rate: float, seed: int) -> Problem:
    """Give the panel and labels to train on, and those to judge by, both with values dropped."""
    parts = [
        (as_rows(drop(series, rate, f"{path.stem} {rate:g} {seed} {split}")), labels)
        for split, (series, labels) in load(path).items()
    ]
    (train, y), (test, z) = parts
    return train, y, test, z


def span(panel: Panel) -> int:
    """Places from the first to the last row of the longest series."""
    return max(int(times[-1] - times[0]) + 1 for times, _ in panel if len(times))
