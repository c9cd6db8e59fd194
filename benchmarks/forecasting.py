"""Forecasts with intervals: glucose of people not trained on, and the last ten years of three weather stations.

python -m benchmarks.forecasting --seeds 3
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.baselines import timed
from benchmarks.report import made_with, table
from tsssm.data import Panel
from tsssm.datasets import load_cgm, load_ushcn
from tsssm.demo.forecasts import split
from tsssm.demo.guesses import Band, Guess, LastRidge, Mean, Seasonal, last_value
from tsssm.demo.windows import backtest, thin
from tsssm.estimators import LatentSDEForecaster, SSMForecaster

HOUR, DAY, YEAR = 3600.0, 86400.0, 365.2425 * 86400.0
COVERAGE = 0.9
COLUMNS = ("MAE", "RMSE", "coverage of 90 %", "mean width", "fit [s]")


@dataclass(frozen=True, eq=False)
class Trial:
    """Data of one run: a training panel, windows of it for the plain rows, windows to judge by, what is asked."""

    train: Panel
    known: tuple[Panel, Panel]
    judged: tuple[Panel, Panel]
    horizon: str
    targets: tuple[str, ...]
    guesses: dict[str, Guess]


def glucose(seed: int) -> Trial:
    """Leave a quarter of the people out, drawn by the seed; keep one reading in three; two hours from each cut."""
    panel = thin(load_cgm(), 1 / 3, seed)
    train, test = split(panel, seed)
    cuts = {"context": 26 * HOUR, "horizon": 2 * HOUR, "every": 3 * HOUR, "fresh": HOUR}
    known = backtest(train, **cuts)
    guesses = {
        "last value": last_value,
        "mean of training": Mean(np.nanmean(train.values, axis=0)),
        "same time the day before": Seasonal(DAY, HOUR),
        "ridge on the last observations": LastRidge.fit(*known, season=(DAY,)),
    }
    # a cut comes up to an hour after the last reading, from which a forecaster counts
    return Trial(train, known, backtest(test, **cuts), "3h", ("glucose",), guesses)


def weather(seed: int) -> Trial:
    """Train on the years before 2005, forecast the highest and lowest temperature of the week after each cut since."""
    panel = thin(load_ushcn(), 0.7, seed)
    cutoff = float(panel.clock.encode(pd.Timestamp("2005-01-01")))
    recent = float(panel.clock.encode(pd.Timestamp("1975-01-01")))
    train = panel.rows((panel.times < cutoff) & (panel.times >= recent))
    cuts = {"context": 400 * DAY, "horizon": 7 * DAY, "every": 23 * DAY, "fresh": 3 * DAY}
    targets = ("TMAX", "TMIN")
    known, judged = backtest(train.select(targets), **cuts), backtest(panel, start=cutoff, **cuts)
    guesses = {
        "last value": last_value,
        "mean of training": Mean(np.nanmean(train.select(targets).values, axis=0)),
        "same day the year before": Seasonal(YEAR, 3 * DAY),
        "ridge on the last observations": LastRidge.fit(*known, season=(YEAR, YEAR / 2)),
    }
    return Trial(train, known, judged, "10D", targets, guesses)


def score(truth: Panel, point: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[float, ...]:
    """Mean absolute and root mean square error, coverage and mean width of the intervals."""
    seen = np.isfinite(truth.values)
    x, point, low, high = (part[seen] for part in (truth.values, point, low, high))
    inside = (low <= x) & (x <= high)
    parts = np.abs(x - point).mean(), np.sqrt(((x - point) ** 2).mean()), inside.mean(), (high - low).mean()
    return tuple(float(part) for part in parts)


def networks(trial: Trial, seed: int, epochs: int | None, layers: list[str]) -> dict[str, Any]:
    """Forecasters by the name of their row: one for each layer, and the latent SDE."""
    targets = list(trial.targets)
    out: dict[str, Any] = {
        f'SSMForecaster(layer="{layer}")': SSMForecaster(
            trial.horizon, target=targets, layer=layer, epochs=epochs, random_state=seed
        )
        for layer in layers
    }
    return out | {"LatentSDEForecaster": LatentSDEForecaster(trial.horizon, epochs=epochs, random_state=seed)}


def run(trial: Trial, seed: int, epochs: int | None, layers: list[str]) -> dict[str, tuple[float, ...]]:
    """Scores of all rows in one run."""
    past, future = trial.judged
    targets = list(trial.targets)
    plain, truth, out = past.select(targets), future.select(targets), {}
    for name, guess in trial.guesses.items():
        band = Band.fit(guess, *trial.known, COVERAGE)
        point, half = guess(plain, truth), band.half_width(plain, truth)
        out[name] = (*score(truth, point, point - half, point + half), 0.0)
    for name, model in networks(trial, seed, epochs, layers).items():
        _, seconds = timed(lambda model=model: model.fit(trial.train))
        ends = model.predict_interval(past, truth, COVERAGE)
        low, high = (ends.select([f"{target}[{end}]" for target in targets]).values for end in ("lower", "upper"))
        out[name] = (*score(truth, model.predict(past, truth).select(targets).values, low, high), seconds)
    return out


SETS = {"glucose": (glucose, "CGM, mg/dL, two hours ahead"), "weather": (weather, "USHCN, degF, one week ahead")}


def main() -> None:
    """Fit, judge, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecasting", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="draws of the data and fits (%(default)s)")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS), help="data sets (%(default)s)")
    parser.add_argument("--layers", nargs="*", default=["s5", "gru"], help="layers of the networks (%(default)s)")
    parser.add_argument("--epochs", type=int, help="of the networks; by default their own")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.sets:
        make, title = SETS[name]
        results: dict[str, list] = {}
        for seed in range(options.seeds):
            trial = make(seed)
            for row, scores in run(trial, seed, options.epochs, options.layers).items():
                results.setdefault(row, []).append(scores)
        past, future = trial.judged
        print(f"**{title}**: {len(past)} forecasts of {future.n_rows:,} rows\n")
        print(f"{table(results, COLUMNS, (2, 2, 3, 1, 1))}\n", flush=True)
    print(made_with("benchmarks.forecasting"))


if __name__ == "__main__":
    main()
