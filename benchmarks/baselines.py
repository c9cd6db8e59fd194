"""Plain rows of the tables: what a model must beat to be worth its training."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import RidgeClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tsssm.data import Panel
from tsssm.demo.baselines import gradient_boosting, logistic_regression


class Resampled(TransformerMixin, BaseEstimator):
    """A panel as an array (n, c, length) by linear interpolation over each series' own span; 0 where never observed.

    Parameters
    ----------
    length : int
        Points of the common grid.
    """

    def __init__(self, length: int = 100):
        self.length = length

    def fit(self, X: Panel, y: Any = None) -> Resampled:
        """Learn nothing."""
        self.fitted_ = True
        return self

    def transform(self, X: Panel) -> np.ndarray:
        """Give the array."""
        out = np.zeros((len(X), X.shape[1], self.length))
        for i, (times, values) in enumerate(X):
            grid = np.linspace(times[0], times[-1], self.length) if len(times) else np.zeros(self.length)
            for channel in range(X.shape[1]):
                seen = np.isfinite(values[:, channel])
                if seen.any():
                    out[i, channel] = np.interp(grid, times[seen], values[seen, channel])
        return out


class Kernels(TransformerMixin, BaseEstimator):
    """Random kernels of sktime; its own transformers of sktime 1.2 fail inside pipelines of scikit-learn 1.9.

    Parameters
    ----------
    name : str
        The class in `sktime.transformations.panel.rocket`.
    random_state : int
        Seed of the kernels.
    """

    def __init__(self, name: str = "MiniRocketMultivariate", random_state: int = 0):
        self.name = name
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: Any = None) -> Kernels:
        """Draw the kernels."""
        rocket = import_module("sktime.transformations.panel.rocket")
        self.kernels_ = getattr(rocket, self.name)(random_state=self.random_state).fit(X)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Give the features."""
        return np.asarray(self.kernels_.transform(X))


def flat(array: np.ndarray) -> np.ndarray:
    """Give (n, c, length) as (n, c * length)."""
    return array.reshape(len(array), -1)


def nearest_neighbour(length: int) -> Any:
    """Give 1-nearest neighbour by Euclidean distance of resampled, standardised series."""
    return make_pipeline(Resampled(length), FunctionTransformer(flat), StandardScaler(), KNeighborsClassifier(1))


def minirocket(length: int, random_state: int) -> Any:
    """Give MiniRocket and ridge on resampled series, or None where sktime or its numba is not installed."""
    return kernels("MiniRocketMultivariate", length, random_state)


def multirocket(length: int, random_state: int) -> Any:
    """Give MultiRocket and ridge on resampled series, or None where sktime or its numba is not installed."""
    return kernels("MultiRocketMultivariate", length, random_state)


def kernels(name: str, length: int, random_state: int) -> Any:
    """Give kernels of sktime and ridge on resampled series, or None; the longest kernel needs 9 points, 10 of slopes."""
    if find_spec("numba") is None or find_spec("sktime") is None:
        return None
    ridge = RidgeClassifierCV(alphas=np.logspace(-3, 3, 10))
    resampled = Resampled(max(length, 9 if name.startswith("Mini") else 10))
    return make_pipeline(resampled, Kernels(name, random_state), StandardScaler(with_mean=False), ridge)


def hydra(length: int, random_state: int) -> Any:
    """Give Hydra, which ends in ridge, on resampled series, or None where aeon is not installed."""
    if find_spec("aeon") is None:
        return None
    from aeon.classification.convolution_based import HydraClassifier

    return make_pipeline(Resampled(max(length, 9)), HydraClassifier(random_state=random_state))


def label_rows(random_state: int, n: int) -> dict[str, ClassifierMixin]:
    """Give the plain classifiers by the name of their row; trees on few series `n` have small leaves."""
    return {
        "class prior": Prior(),
        "logistic regression, last observations": logistic_regression(("last",)),
        "logistic regression, summary statistics": logistic_regression(),
        "gradient boosting, summary statistics": gradient_boosting(random_state, smallest_leaf=20 if n >= 500 else 3),
    }


class Prior(ClassifierMixin, BaseEstimator):
    """The share of each class in training, for all series."""

    def fit(self, X: Panel, y: Any) -> Prior:
        """Count the labels."""
        self.dummy_ = DummyClassifier(strategy="prior").fit(np.zeros((len(X), 1)), y)
        self.classes_ = self.dummy_.classes_
        return self

    def predict(self, X: Panel) -> np.ndarray:
        """Give the most frequent label."""
        return self.dummy_.predict(np.zeros((len(X), 1)))

    def predict_proba(self, X: Panel) -> np.ndarray:
        """Give the shares."""
        return self.dummy_.predict_proba(np.zeros((len(X), 1)))


def timed(fit: Callable[[], Any]) -> tuple[Any, float]:
    """Give what a call gives, and the seconds it took."""
    start = time.perf_counter()
    return fit(), time.perf_counter() - start
