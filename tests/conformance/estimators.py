"""Every estimator with settings that fit in moments, and how to ask it for numbers per series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tsssm import (
    KalmanForecaster,
    KoopmanForecaster,
    KoopmanVAE,
    LatentSDEForecaster,
    SSMClassifier,
    SSMFeatures,
    SSMForecaster,
    SSMImputer,
    SSMRegressor,
    SSMRidgeClassifier,
    SSMRidgeRegressor,
    SSMSequenceClassifier,
    SSMSequenceRegressor,
)
from tsssm.data import Panel
from tsssm.estimators import PanelEstimator

QUICK = {"epochs": 2, "d_model": 8, "depth": 1, "members": 1, "random_state": 0}
SMALL = {"n_features": 400, "random_state": 0}


def ragged(n: int = 24, random_state: int = 0) -> Panel:
    """Irregular series of two channels, unequal lengths, a third of the entries missing, numeric times."""
    rng = np.random.default_rng(random_state)
    series = []
    for length in rng.integers(6, 14, n):
        times = np.cumsum(rng.exponential(1.0, length) + 0.05)
        values = np.stack([np.sin(times), np.cos(2 * times)], 1) + 0.1 * rng.normal(size=(length, 2))
        values[rng.random((length, 2)) < 0.3] = np.nan
        values[0] = 0.5
        series.append((times, values))
    return Panel.from_series(series)


@dataclass(frozen=True)
class Case:
    """How to make an estimator, give it a target, and read its answers as one array per series."""

    make: Callable[[], PanelEstimator]
    target: Callable[[Panel], Any]
    answers: Callable[[PanelEstimator, Panel, float], list[np.ndarray]]


def _labels(panel: Panel) -> np.ndarray:
    return np.array(["a", "b"])[np.arange(len(panel)) % 2]


def _numbers(panel: Panel) -> np.ndarray:
    return np.array([np.nanmean(values) for _, values in panel])


def _observed_rows(answer: Panel, panel: Panel) -> list[np.ndarray]:
    """Values of an answer at the rows where the panel observed something, series by series."""
    seen = np.isfinite(panel.values).any(1)
    parts = zip(np.split(answer.values, panel.offsets[1:-1]), np.split(seen, panel.offsets[1:-1]), strict=True)
    return [values[rows] for values, rows in parts]


def _by_series(answer: Panel) -> list[np.ndarray]:
    return [values for _, values in answer]


CASES: dict[str, Case] = {
    "SSMClassifier": Case(
        lambda: SSMClassifier(**QUICK), _labels, lambda est, panel, scale: list(est.predict_proba(panel))
    ),
    "SSMRegressor": Case(lambda: SSMRegressor(**QUICK), _numbers, lambda est, panel, scale: list(est.predict(panel))),
    "SSMFeatures": Case(
        lambda: SSMFeatures(**SMALL), lambda panel: None, lambda est, panel, scale: list(est.transform(panel))
    ),
    "SSMRidgeClassifier": Case(
        lambda: SSMRidgeClassifier(**SMALL), _labels, lambda est, panel, scale: list(est.predict_proba(panel))
    ),
    "SSMRidgeRegressor": Case(
        lambda: SSMRidgeRegressor(**SMALL), _numbers, lambda est, panel, scale: list(est.predict(panel))
    ),
    "SSMSequenceRegressor": Case(
        lambda: SSMSequenceRegressor(**QUICK),
        lambda panel: panel.with_values(np.nan_to_num(panel.values[:, :1]), channels=["y"]),
        lambda est, panel, scale: _observed_rows(est.predict(panel), panel),
    ),
    "SSMSequenceClassifier": Case(
        lambda: SSMSequenceClassifier(**QUICK),
        lambda panel: panel.with_values(np.nan_to_num(panel.values[:, 0]) > 0, channels=["y"]),
        lambda est, panel, scale: _observed_rows(est.predict_proba(panel), panel),
    ),
    "SSMForecaster": Case(
        lambda: SSMForecaster(horizon=2, **QUICK),
        lambda panel: None,
        lambda est, panel, scale: _by_series(est.predict(panel, horizon=[1.5 * scale, 3.0 * scale])),
    ),
    "KalmanForecaster": Case(
        lambda: KalmanForecaster(horizon=2, epochs=2, random_state=0),
        lambda panel: None,
        lambda est, panel, scale: _by_series(est.predict(panel, horizon=[1.5 * scale, 3.0 * scale])),
    ),
    "LatentSDEForecaster": Case(
        lambda: LatentSDEForecaster(horizon=2, epochs=2, width=8, random_state=0),
        lambda panel: None,
        lambda est, panel, scale: _by_series(est.predict(panel, horizon=[1.5 * scale, 3.0 * scale])),
    ),
    "KoopmanForecaster": Case(
        lambda: KoopmanForecaster(horizon=2, d_latent=4, d_model=8, epochs=2, random_state=0),
        lambda panel: None,
        lambda est, panel, scale: _by_series(est.predict(panel, horizon=[1.5 * scale, 3.0 * scale])),
    ),
    "KoopmanVAE": Case(
        lambda: KoopmanVAE(d_latent=4, d_model=8, epochs=2, random_state=0),
        lambda panel: None,
        lambda est, panel, scale: list(est.score_samples(panel)[:, None]),
    ),
    "SSMImputer": Case(
        lambda: SSMImputer(**QUICK),
        lambda panel: None,
        lambda est, panel, scale: _observed_rows(est.transform(panel), panel),
    ),
}


LATEST: dict[str, Callable[[Any], np.ndarray]] = {
    "SSMClassifier": lambda stream: stream.predict_proba(),
    "SSMRegressor": lambda stream: stream.predict(),
    "SSMFeatures": lambda stream: stream.features(),
    "SSMRidgeClassifier": lambda stream: stream.predict_proba(),
    "SSMRidgeRegressor": lambda stream: stream.predict(),
    "SSMSequenceRegressor": lambda stream: stream.predict(),
    "SSMSequenceClassifier": lambda stream: stream.predict_proba(),
    "SSMForecaster": lambda stream: stream.predict(at=[1.5, 3.0]).values,
    "KalmanForecaster": lambda stream: stream.predict(at=[1.5, 3.0]).values,
}
"""How to ask a stream for what `Case.answers` gives for the series so far; the last row of it for answers by row."""


def case_of(kind: type[PanelEstimator]) -> Case:
    """The case of an estimator; a new one without an entry here fails with a word on what to do."""
    if kind.__name__ not in CASES:
        pytest.fail(f"{kind.__name__} has no case yet: add one to tests/conformance/estimators.py")
    return CASES[kind.__name__]
