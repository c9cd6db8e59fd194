"""The sets of the study of stable neural SDEs that are at hand: pooled, values dropped, split at random.

Oh, Lim and Kim, 2024 (arXiv 2402.14989): training and test series of the archive are pooled and split again, 70, 15 and
15 in a hundred, classes in proportion.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from benchmarks import archive
from tsssm.data import Panel

UNIVARIATE = (
    "ArrowHead",
    "Car",
    "Coffee",
    "GunPoint",
    "Herring",
    "Lightning2",
    "Lightning7",
    "Meat",
    "OliveOil",
    "Rock",
    "SmoothSubspace",
    "ToeSegmentation1",
    "ToeSegmentation2",
    "Trace",
    "Wine",
)
MULTIVARIATE = (
    "ArticularyWordRecognition_scaled",
    "BasicMotions",
    "ERing",
    "Epilepsy",
    "Handwriting",
    "JapaneseVowels",
    "Libras_uci_unsplit",
    "NATOPS",
    "RacketSports",
    "UWaveGestureLibrary",
)


class Parts(NamedTuple):
    """Numbers of the series of a split: 70 % to train on, 15 % to make choices by, 15 % to judge by."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split(labels: np.ndarray, seed: int) -> Parts:
    """Split at random, classes in proportion.

    Examples
    --------
    >>> [len(part) for part in split(np.arange(200) % 4, 0)]
    [140, 30, 30]
    """
    series = np.arange(len(labels))
    train, rest = train_test_split(series, test_size=0.3, random_state=seed, stratify=labels)
    validation, test = train_test_split(rest, test_size=0.5, random_state=seed, stratify=labels[rest])
    return Parts(train, validation, test)


def merged(series: list[np.ndarray], longest: int) -> list[np.ndarray]:
    """Give series, (c, l) each, whose rows are means of what is observed in k rows, none with more than `longest` rows.

    Examples
    --------
    >>> [len(each[0]) for each in merged([np.ones((1, 100)), np.ones((1, 40))], 50)]
    [50, 20]
    """
    k = -(-max(values.shape[1] for values in series) // longest)
    return [mean_of_rows(values, k) for values in series] if k > 1 else series


def mean_of_rows(values: np.ndarray, k: int) -> np.ndarray:
    """Means of what is observed in each k columns of (c, l), NaN where nothing is.

    Examples
    --------
    >>> mean_of_rows(np.array([[1.0, 3.0, np.nan, 5.0, np.nan]]), 2)
    array([[ 2.,  5., nan]])
    """
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % k)), constant_values=np.nan)
    parts = padded.reshape(len(values), -1, k)
    count = np.isfinite(parts).sum(-1)
    return np.where(count > 0, np.nansum(parts, -1) / np.maximum(count, 1), np.nan)


@lru_cache(maxsize=1)
def pooled(path: Path, rate: float, seed: int, longest: int) -> tuple[Panel, np.ndarray]:
    """Give all series of a set, with a share of the values of each channel dropped, and their labels."""
    halves = list(archive.load(path).values())
    series = [values for part, _ in halves for values in part]
    kept = archive.drop(series, rate, f"{path.stem} {rate:g} {seed} pooled")
    return archive.as_rows(merged(kept, longest)), np.concatenate([labels for _, labels in halves])


def problem(path: Path, rate: float, seed: int, longest: int) -> archive.Problem:
    """Give the panel and labels to fit, of which models hold out what they need, and those to judge by: 85 and 15 %."""
    panel, labels = pooled(path, rate, seed, longest)
    parts = split(labels, seed)
    known = np.concatenate([parts.train, parts.validation])
    return panel[known], labels[known], panel[parts.test], labels[parts.test]
