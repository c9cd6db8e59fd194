"""Glucose of people not trained on, forecast for two hours at irregular times, with 90 % intervals."""

from __future__ import annotations

import time

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from tsssm.data import Panel
from tsssm.demo.guesses import Band, Guess, LastRidge, Mean, Seasonal, last_value
from tsssm.demo.page import Picture, Section, Table
from tsssm.demo.windows import backtest, thin
from tsssm.estimators import SSMForecaster
from tsssm.plots import ForecastDisplay, plot_series

HOUR = 3600.0
COVERAGE = 0.9
# a cut comes up to an hour after the last reading, from which a forecaster counts
HORIZON = "3h"
WINDOWS = {"context": 26 * HOUR, "horizon": 2 * HOUR, "every": 3 * HOUR, "fresh": HOUR}


def split(panel: Panel, random_state: int, share: float = 0.25) -> tuple[Panel, Panel]:
    """Part series into those to train on and a share of others to judge by."""
    order = np.random.default_rng(random_state).permutation(len(panel))
    held = max(1, round(share * len(panel)))
    return panel[np.sort(order[held:])], panel[np.sort(order[:held])]


def score(truth: Panel, point: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[str, ...]:
    """Mean absolute and root mean square error, coverage and mean width of the intervals."""
    seen = np.isfinite(truth.values)
    x, point, low, high = (part[seen] for part in (truth.values, point, low, high))
    error = x - point
    inside = np.mean((low <= x) & (x <= high))
    size = float(np.mean(np.abs(error))), float(np.sqrt(np.mean(error**2)))
    return f"{size[0]:.1f}", f"{size[1]:.1f}", f"{inside:.1%}", f"{np.mean(high - low):.0f}"


def guesses(train: Panel, known: tuple[Panel, Panel]) -> dict[str, Guess]:
    """Give the plain forecasts that stand beside the model."""
    return {
        "last value": last_value,
        "same time the day before": Seasonal(24 * HOUR, HOUR),
        "mean of training": Mean(np.nanmean(train.values, axis=0)),
        "ridge on the last observations": LastRidge.fit(*known, season=(24 * HOUR,)),
    }


def forecasts(
    panel: Panel, members: int = 1, jobs: int = 1, random_state: int = 0, epochs: int | None = None
) -> Section:
    """Fit on some people, forecast the others from many cuts, and give the table and the pictures."""
    panel = thin(panel, 1 / 3, random_state)
    train, test = split(panel, random_state)
    past, future = backtest(test, **WINDOWS)
    print(f"  S5, {members} member{'s' * (members > 1)}", flush=True)
    start = time.perf_counter()
    model = SSMForecaster(
        HORIZON, members=members, n_jobs=jobs, epochs=epochs, random_state=random_state, verbose=1
    ).fit(train)
    seconds = time.perf_counter() - start
    forecast, interval = model.predict(past, future), model.predict_interval(past, future, COVERAGE)
    name = f"S5, {members} member{'s' * (members > 1)}"
    rows = [(name, *score(future, forecast.values, *interval.values.T[:, :, None]), f"{seconds:.1f}")]
    known = backtest(train, **WINDOWS)
    for name, guess in guesses(train, known).items():
        point, half = guess(past, future), Band.fit(guess, *known, COVERAGE).half_width(past, future)
        rows.append((name, *score(future, point, point - half, point + half), "0.0"))
    columns = ("model", "MAE [mg/dL]", "RMSE [mg/dL]", "coverage of 90 %", "mean width", "fit [s]")
    text = (
        f"{len(train)} people to train on and {len(test)} others to judge by, each forecast for the two hours after a cut "
        f"every three hours: {len(past)} forecasts of {future.n_rows:,} readings. One reading in three is kept, at random, "
        "so that the steps between readings are irregular on top of the gaps of the sensor. Intervals of the plain "
        "forecasts are the 90 % quantile of their own errors on the people trained on, by how far ahead is asked."
    )
    display = ForecastDisplay.from_predictions(past, forecast, interval, future, COVERAGE)
    pictures = [
        Picture(
            draw_people(test), "The last week of the people not trained on; a line breaks where the sensor was silent."
        ),
        Picture(draw_forecasts(display), "Forecasts from six cuts, chosen at even steps among all of them."),
    ]
    return Section("Glucose, two hours ahead", text, [Table(columns, rows)], pictures)


def draw_people(panel: Panel) -> Figure:
    """Draw the last week of each series, one under another."""
    figure, axes = plt.subplots(len(panel), 1, figsize=(8.4, 1.5 * len(panel)), squeeze=False, layout="constrained")
    for i, ax in enumerate(axes[:, 0]):
        one = panel[i]
        plot_series(one.rows(one.times > one.times[-1] - 168 * HOUR), gap=HOUR, ax=ax, rug=False).set(
            ylabel="mg/dL", xlabel=""
        )
        ax.set_title(f"{panel.ids[i]}, {panel.static['diagnosis'].iloc[i]}", fontsize="small", loc="left")
    return figure


def draw_forecasts(display: ForecastDisplay) -> Figure:
    """Draw six forecasts with their intervals, and what came."""
    figure, axes = plt.subplots(3, 2, figsize=(10.4, 8.4), layout="constrained")
    chosen = np.linspace(0, len(display.past) - 1, 8).round().astype(int)[1:-1]
    for i, ax in zip(chosen, axes.flat, strict=True):
        display.plot(int(i), context=6 * HOUR, gap=HOUR, ax=ax).set(xlabel="", ylabel="mg/dL")
        if ax is not axes[0, 0]:
            ax.get_legend().remove()
    return figure
