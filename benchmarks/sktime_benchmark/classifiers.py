"""Classifiers of sktime and ours, on the same sets."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline
from sktime.classification.deep_learning.fcn import FCNClassifierTorch
from sktime.classification.interval_based import TimeSeriesForestClassifier

from benchmarks.archive import Problem, problem, span
from benchmarks.baselines import Prior, Resampled, minirocket
from tsssm import SSMRidgeClassifier
from tsssm.data import Panel
from tsssm.sktime import SSMClassifier

# 20 sets of modest size: unequal lengths, missing values and several channels among them. Named before any was fitted.
SETS = (
    "ArrowHead", "BME", "Chinatown", "Coffee", "DodgerLoopDay", "ECGFiveDays", "GesturePebbleZ1", "GunPoint",
    "MoteStrain", "OSULeaf", "SonyAIBORobotSurface2", "SwedishLeaf", "ToeSegmentation1", "Trace", "UMD",
    "BasicMotions", "Epilepsy", "ERing", "JapaneseVowels", "RacketSports",
)  # fmt: skip


def stamped(panel: Panel) -> pd.DataFrame:
    """A panel of counted rows as sktime's `pd-multiindex`."""
    frame = panel.to_sktime()
    times = frame.index.get_level_values(1).astype(np.int64)
    return frame.set_axis(pd.MultiIndex.from_arrays([frame.index.get_level_values(0), times], names=frame.index.names))


def ours(data: Problem, seed: int) -> np.ndarray:
    """At the rows there are, of any lengths and with holes."""
    train, y, test, _ = data
    return SSMClassifier(random_state=seed).fit(stamped(train), y).predict(stamped(test))


def ridge(data: Problem, seed: int) -> np.ndarray:
    """Ours without training by gradients, which has no adapter for sktime."""
    train, y, test, _ = data
    return SSMRidgeClassifier(random_state=seed).fit(train, y).predict(test)


def resampled(make: Callable[[int, int], Any]) -> Callable[[Problem, int], np.ndarray]:
    """A classifier of arrays: series are brought to one length by straight lines, which fill holes as well."""

    def predict(data: Problem, seed: int) -> np.ndarray:
        train, y, test, _ = data
        return make(span(train), seed).fit(train, y).predict(test)

    return predict


class OfArrays:
    """A classifier of sktime behind `Resampled`.

    Parameters
    ----------
    length : int
        Points that series are brought to.
    classifier : sktime classifier
    one : bool
        Whether it takes one channel only: those of a series are laid end to end.
    """

    def __init__(self, length: int, classifier: Any, one: bool = False):
        self.resample, self.classifier, self.one = Resampled(length), classifier, one

    def fit(self, X: Panel, y: np.ndarray) -> OfArrays:
        """Fit to a panel."""
        self.classifier.fit(self._array(X), y)
        return self

    def predict(self, X: Panel) -> np.ndarray:
        """Give labels."""
        return self.classifier.predict(self._array(X))

    def _array(self, X: Panel) -> np.ndarray:
        array = self.resample.fit(X).transform(X)
        return array.reshape(len(array), 1, -1) if self.one else array


def forest(length: int, seed: int) -> OfArrays:
    """Trees on means, deviations and slopes of intervals."""
    return OfArrays(length, TimeSeriesForestClassifier(random_state=seed), one=True)


def convolutions(length: int, seed: int) -> OfArrays:
    """A deep network of sktime with its defaults, but 100 epochs in place of 2,000, which would cost twenty times as much."""
    return OfArrays(length, FCNClassifierTorch(num_epochs=100, random_state=seed))


MODELS: dict[str, Callable[[Problem, int], np.ndarray]] = {
    "SSMClassifier": ours,
    "SSMRidgeClassifier": ridge,
    "MiniRocket and ridge": resampled(minirocket),
    "TimeSeriesForestClassifier": resampled(forest),
    "FCNClassifierTorch, 100 epochs": resampled(convolutions),
    "class prior": resampled(lambda length, seed: make_pipeline(Prior())),
}


@lru_cache(maxsize=1)
def read_set(folder: Path, name: str) -> Problem:
    """The series and labels of a set, with the archive's split."""
    found = [path for kind in ("ucr", "uea") if (path := folder / kind / f"{name}.parquet").exists()]
    return problem(found[0], 0.0, 0)
