"""Scores of forecasts, averaged over series so that each counts alike."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.sktime_benchmark.forecasters import LEVELS, Forecast
from benchmarks.sktime_benchmark.tasks import Task

COLUMNS = ("MASE", "sMAPE", "pinball", "coverage")


def score(task: Task, forecast: Forecast) -> dict[str, float]:
    """Mean over series of MASE, sMAPE in percent, scaled pinball loss, and the coverage of the 90 % interval.

    The scale of a series is the mean absolute difference over a season in its training part (Hyndman, Koehler 2006),
    over one row where it is shorter than two seasons. The pinball loss is twice the mean over `LEVELS`, which for a
    point forecast is the absolute error, over the same scale; a model without quantiles has none.
    """
    points, quantiles = forecast
    truth, id = task.test["y"].to_numpy(), task.test.index.get_level_values("id")
    scale = task.train["y"].groupby(level="id").apply(lambda y: _scale(y.to_numpy(), task.season))
    size = scale.loc[id].to_numpy()
    off = np.abs(truth - points)
    columns = {"MASE": off / size, "sMAPE": 200 * off / np.maximum(np.abs(truth) + np.abs(points), 1e-12)}
    if quantiles is not None:
        level = np.array(LEVELS)
        short = truth[:, None] - quantiles
        columns["pinball"] = 2 * np.maximum(level * short, (level - 1) * short).mean(1) / size
        columns["coverage"] = (quantiles[:, 0] <= truth) & (truth <= quantiles[:, -1])
    means = pd.DataFrame(columns).groupby(np.asarray(id)).mean().mean()
    return {name: float(value) for name, value in means.items()}


def _scale(values: np.ndarray, season: int) -> float:
    step = season if len(values) >= 2 * season else 1
    return max(float(np.nanmean(np.abs(values[step:] - values[:-step]))), 1e-9)
