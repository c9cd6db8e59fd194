"""Plain models on summary statistics of series: what every other model has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tsssm.data import Panel, StaticEncoder
from tsssm.data.summary import STATISTICS, summarise

WANTED = ("min", "max", "mean", "first", "last", "count")


class SummaryTable(TransformerMixin, BaseEstimator):
    """A panel as a flat table: statistics of each channel, and the static features.

    Parameters
    ----------
    statistics : tuple of str
        Names in `data.summary.STATISTICS`. Counts are 0 for a channel never observed, the rest NaN.

    Examples
    --------
    >>> from tsssm.data.synthetic import noisy_sines
    >>> from tsssm.demo.baselines import SummaryTable
    >>> SummaryTable().fit_transform(noisy_sines(4, random_state=0)[0]).shape
    (4, 6)
    """

    def __init__(self, statistics: tuple[str, ...] = WANTED):
        self.statistics = statistics

    def fit(self, X: Panel, y: Any = None) -> SummaryTable:
        """Learn the categories of the static features."""
        self.encoder_ = StaticEncoder.fit(X.static)
        return self

    def transform(self, X: Panel) -> np.ndarray:
        """Give the table, (n, static features + c * statistics)."""
        chosen = [STATISTICS.index(name) for name in self.statistics]
        table = summarise(X)[:, :, chosen].reshape(len(X), -1)
        return np.c_[self.encoder_.transform(X.static, len(X)), table]


def logistic_regression(statistics: tuple[str, ...] = WANTED) -> Pipeline:
    """Give a logistic regression on the table, its penalty chosen by cross-validation within the training series.

    Standardised values beyond 3 standard deviations are cut to 3: raw clinical tables hold values that are wrong by
    powers of ten.
    """
    steps = [SimpleImputer(keep_empty_features=True), StandardScaler(), FunctionTransformer(cut)]
    grid = {"logisticregression__C": [0.001, 0.01, 0.1, 1.0]}
    model = make_pipeline(*steps, LogisticRegression(max_iter=1000))
    return make_pipeline(SummaryTable(statistics), GridSearchCV(model, grid, scoring="neg_log_loss", cv=3))


def gradient_boosting(random_state: int = 0, smallest_leaf: int = 20) -> Pipeline:
    """Give boosted trees on the table, which read missing values as they are."""
    options = {"learning_rate": 0.05, "max_leaf_nodes": 15, "min_samples_leaf": smallest_leaf}
    trees = HistGradientBoostingClassifier(**options, random_state=random_state)
    return make_pipeline(SummaryTable(), trees)


def cut(table: np.ndarray) -> np.ndarray:
    """Limit standardised values to 3 standard deviations."""
    return np.clip(table, -3.0, 3.0)
