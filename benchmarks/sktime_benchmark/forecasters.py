"""Forecasters of sktime, each asked in its own way for the same rows: a point and quantiles for every row."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sktime.forecasting.base import ForecastingHorizon
from sktime.forecasting.compose import make_reduction
from sktime.forecasting.ets import AutoETS
from sktime.forecasting.naive import NaiveForecaster
from sktime.forecasting.theta import ThetaForecaster

from benchmarks.sktime_benchmark.tasks import Task
from tsssm.sktime import SSMForecaster

LEVELS = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
Forecast = tuple[np.ndarray, np.ndarray | None]
"""Points (r,) and quantiles (r, levels) of the rows of `Task.test`, none where a model has none."""


def ours(task: Task, seed: int, **params: Any) -> Forecast:
    """One model of all series on their clocks; X names the rows that are asked of each."""
    both = pd.concat([task.train, task.test]).sort_index()
    X = pd.DataFrame({"rows": 0.0}, index=both.index)
    stamps = task.test.index.get_level_values("time").unique().sort_values()
    # series end at times of their own, so that no one horizon says how far ahead each is asked
    model = SSMForecaster(task.horizon, random_state=seed, **params).fit(task.train, X=X.loc[task.train.index])
    horizon = ForecastingHorizon(stamps, is_relative=False)
    quantiles = model.predict_quantiles(horizon, X=X, alpha=LEVELS).loc[task.test.index].to_numpy()
    return quantiles[:, LEVELS.index(0.5)], quantiles


def each(make: Callable[[int, pd.Series], Any], quantiles: bool) -> Callable[[Task, int], Forecast]:
    """A model for each series, which counts its rows: sktime's own forecasters want steps of one length."""

    def forecast(task: Task, seed: int) -> Forecast:
        points, bands = [], []
        for id, test in task.test["y"].groupby(level="id", sort=True):
            train = task.train["y"].loc[id].reset_index(drop=True)
            steps = np.arange(1, len(test) + 1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = make(season(task, train), train).set_config(remember_data=True).fit(train, fh=steps)
                points.append(model.predict().to_numpy())
                if quantiles:
                    bands.append(model.predict_quantiles(alpha=LEVELS).to_numpy())
        return np.concatenate(points), np.concatenate(bands) if quantiles else None

    return forecast


def season(task: Task, train: pd.Series) -> int:
    """The season of a task where a series holds two of them, else 1."""
    return task.season if len(train) >= 2 * task.season else 1


def theta(sp: int, train: pd.Series) -> ThetaForecaster:
    """Theta, which takes seasons out by division where values are positive."""
    return ThetaForecaster(sp=sp, deseasonalize=bool(sp > 1 and train.min() > 0))


def boosted(task: Task, seed: int) -> Forecast:
    """Gradient boosting of the last rows of all series, each divided by its mean, one step after the other."""
    shortest = int(task.train.groupby(level="id").size().min())
    window = max(2, min(2 * task.season if task.season > 1 else 12, shortest // 2))
    size = task.train["y"].abs().groupby(level="id").mean().clip(lower=1e-9)
    frames = {
        id: (part["y"].droplevel(0) / size[id]).to_frame().reset_index(drop=True)
        for id, part in task.train.groupby(level="id", sort=True)
    }
    # rows are counted up to a common end, so that sktime's one cutoff is that of each series
    longest = max(map(len, frames.values()))
    y = pd.concat({id: part.set_axis(np.arange(longest - len(part), longest)) for id, part in frames.items()})
    y.index.names = ["id", "time"]
    steps = task.test.groupby(level="id", sort=True).size()
    tree = HistGradientBoostingRegressor(random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_reduction(tree, window_length=window, strategy="recursive", pooling="global")
        out = model.set_config(remember_data=True).fit(y, fh=np.arange(1, steps.max() + 1)).predict()["y"]
    return np.concatenate([out.loc[id].to_numpy()[:count] * size[id] for id, count in steps.items()]), None


MODELS: dict[str, Callable[..., Forecast]] = {
    "SSMForecaster": ours,
    "NaiveForecaster, last": each(lambda sp, train: NaiveForecaster(), False),
    "NaiveForecaster, last season": each(lambda sp, train: NaiveForecaster(sp=sp), True),
    "ThetaForecaster": each(theta, True),
    "AutoETS": each(lambda sp, train: AutoETS(auto=True, sp=sp), True),
    "gradient boosting, global": boosted,
}
