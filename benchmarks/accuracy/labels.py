"""Classifiers of series by the name of their row: plain ones, and one layer of ours in each other."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks.baselines import Resampled, flat, label_rows, minirocket
from tsssm import SSMClassifier, SSMRidgeClassifier
from tsssm.data import Panel

PLAIN = {
    "prior": "class prior",
    "summary": "logistic regression, summary statistics",
    "linear": "logistic regression, raw values",
    "boosting": "gradient boosting, raw values",
    "minirocket": "MiniRocket and ridge",
    "ridge": "SSMRidgeClassifier, fixed oscillators",
    "default": "SSMClassifier, its defaults",
}
# An answer in float64 holds the features of all its rows.
ROWS_AT_ONCE = 1_000_000

Labelled = tuple[Panel, np.ndarray]


def plain(row: str, n: int, length: int, seed: int) -> Any:
    """Give the classifier of a plain row, for `n` series that are brought to this length where it needs one."""
    if row == "minirocket":
        return minirocket(length, seed)
    if row == "ridge":
        return SSMRidgeClassifier(random_state=seed)
    if row == "default":
        return SSMClassifier(random_state=seed)
    if row in ("prior", "summary"):
        return label_rows(seed, n)[PLAIN[row]]
    raw = (Resampled(length), FunctionTransformer(flat))
    if row == "linear":
        return make_pipeline(*raw, StandardScaler(), LogisticRegression(max_iter=200))
    return make_pipeline(*raw, HistGradientBoostingClassifier(random_state=seed))


def layer(row: str, seed: int, **settings: Any) -> SSMClassifier:
    """Give a single model of a layer, without the ridge that SSMClassifier has beside it by default."""
    return SSMClassifier(layer=row, members=1, features=False, random_state=seed, **settings)


def judge(model: Any, train: Labelled, test: Labelled) -> dict[str, float]:
    """Fit and judge; seconds are those of the processor."""
    start = time.process_time()
    model.fit(*train)
    fitted = time.process_time()
    accuracy = share_right(model, *test)
    return {"accuracy": accuracy, "fit": fitted - start, "predict": time.process_time() - fitted}


def share_right(model: Any, panel: Panel, labels: np.ndarray) -> float:
    """Accuracy of a fitted model, asked for some series at a time."""
    cuts = np.flatnonzero(np.diff(np.cumsum(panel.lengths) // ROWS_AT_ONCE)) + 1
    parts = [model.predict(panel[part]) for part in np.split(np.arange(len(panel)), cuts)]
    return float((np.concatenate(parts) == labels).mean())
