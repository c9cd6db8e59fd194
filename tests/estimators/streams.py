"""Estimators trained for a moment, series that grow, and what streams and batches answer."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from tests.conformance.estimators import QUICK, ragged
from tsssm import (
    SSMClassifier,
    SSMForecaster,
    SSMRegressor,
    SSMRidgeClassifier,
    SSMRidgeRegressor,
    SSMSequenceRegressor,
)
from tsssm.data import Panel

START = pd.Timestamp("2024-03-30 12:00", tz="Europe/Berlin")
KINDS = ["class", "number", "rows", "forecast", "ridge", "ridge number", "both"]
LAYERED = ["class", "number", "rows", "forecast"]
PROBABLE = ("class", "ridge", "both")
AHEAD = [0.3, 1.0]
# gaps are rounded to float32, on each side of a row that shows nothing where the whole series has one
CLOSE = 1e-6
LAYERS = ["s5", "s4d", "gru", "selective"]


def stamped(times: np.ndarray) -> pd.DatetimeIndex:
    return START + pd.to_timedelta(np.round(times * 3600), unit="s")


@cache
def fitted(kind: str, layer: str = "s5", stamps: bool = False):
    """An estimator of two channels with statics where it takes them, trained for a moment."""
    panel = ragged(24)
    if stamps:
        panel = Panel.from_series([(stamped(times), values) for times, values in panel])
    quick = {**QUICK, "layer": layer}
    if kind in ("class", "both"):
        quick |= {"members": 2, "features": kind == "both"}
        return SSMClassifier(**quick).fit(panel, np.arange(24) % 3)
    if kind == "ridge":
        return SSMRidgeClassifier(n_features=400, random_state=0).fit(panel, np.arange(24) % 3)
    if kind == "ridge number":
        return SSMRidgeRegressor(n_features=400, random_state=0).fit(panel, np.random.default_rng(0).normal(size=24))
    if kind == "number":
        return SSMRegressor(**quick).fit(panel, np.random.default_rng(0).normal(size=(24, 2)))
    if kind == "rows":
        y = panel.with_values(np.nan_to_num(panel.values) * 3 + 1, channels=["p", "q"])
        return SSMSequenceRegressor(**{**quick, "depth": 2}).fit(panel, y)
    return SSMForecaster(horizon=2, context=6, **quick).fit(panel)


def growing(length: int = 14, random_state: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """An irregular series of two channels in which entries, and whole rows, the first one too, are missing."""
    rng = np.random.default_rng(random_state)
    values = rng.normal(size=(length, 2))
    values[rng.random((length, 2)) < 0.35] = np.nan
    values[[0, 5]] = np.nan
    return np.cumsum(rng.exponential(size=length) + 0.01), values


def batch_answer(kind: str, model, times, values) -> np.ndarray:
    panel = Panel.from_series([(times, values)])
    if kind in PROBABLE:
        return model.predict_proba(panel)[0]
    if kind == "forecast":
        ahead = pd.to_timedelta(AHEAD, unit="h") if panel.clock.kind == "datetime" else AHEAD
        return model.predict(panel, horizon=ahead).values
    return model.predict(panel).values[-1] if kind == "rows" else model.predict(panel)[0]


def answer(kind: str, stream) -> np.ndarray:
    if kind == "forecast":
        ahead = pd.to_timedelta(AHEAD, unit="h") if stream._arrivals.kind == "datetime" else AHEAD
        return stream.predict(at=ahead).values
    return stream.predict_proba() if kind in PROBABLE else stream.predict()
