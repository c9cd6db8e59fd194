"""Angle of a pendulum from noisy images at irregular times: do true gaps help?

    python -m benchmarks.pendulum --seeds 3

Rows: S5 that crosses the true gaps, S5 on even steps with the gap as one more input, S5 on even steps without it.
Beside them the trivial rows: the training mean, and ridge regression on the single image.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from joblib import Parallel, delayed
from sklearn.linear_model import Ridge

from benchmarks.report import made_with, table
from tsssm import Panel, SSMSequenceRegressor
from tsssm.datasets import load_pendulum


def true_gaps(panel: Panel) -> Panel:
    """The panel as it is."""
    return panel


def even(panel: Panel) -> Panel:
    """The same rows one step apart: the gaps are forgotten."""
    start = np.repeat(panel.offsets[:-1], panel.lengths)
    return replace(panel, times=(np.arange(panel.n_rows) - start).astype(np.float64), ticks=None)


def gap_as_input(panel: Panel) -> Panel:
    """Even rows, with the gap before each row as one more channel."""
    gap = np.ones(panel.n_rows)
    gap[1:] = np.diff(panel.times)
    gap[panel.offsets[:-1]] = 1.0
    return even(panel).with_values(np.c_[panel.values, gap], channels=[*panel.channels, "gap"])


VIEWS: dict[str, Callable[[Panel], Panel]] = {
    "S5, true gaps": true_gaps,
    "S5, gap as an input": gap_as_input,
    "S5, gap ignored": even,
}


def plain_rows(seed: int, series: int | None) -> dict[str, tuple[float, float]]:
    """Mean squared error and fit seconds of the trivial rows for one seed, which draws the noise."""
    (X, y), (Z, z) = load_pendulum("train", random_state=seed), load_pendulum("test", random_state=seed)
    X, y = X[:series], y[:series]
    start = time.perf_counter()
    ridge = Ridge(100.0).fit(X.values, y.values)
    spent = time.perf_counter() - start
    return {
        "training mean": (float(np.mean((y.values.mean(0) - z.values) ** 2)), 0.0),
        "ridge on the image": (float(np.mean((ridge.predict(Z.values) - z.values) ** 2)), spent),
    }


def model_row(name: str, seed: int, epochs: int, series: int | None) -> tuple[float, float]:
    """Mean squared error and fit seconds of a model for one seed, which draws the noise and starts the weights."""
    view = VIEWS[name]
    (X, y), (Z, z) = load_pendulum("train", random_state=seed), load_pendulum("test", random_state=seed)
    model = SSMSequenceRegressor(bidirectional=True, epochs=epochs, random_state=seed)
    start = time.perf_counter()
    model.fit(view(X[:series]), y[:series])
    spent = time.perf_counter() - start
    error = float(np.mean((model.predict(view(Z)).values - z.values) ** 2))
    print(f"seed {seed}  {name}: {1000 * error:.2f}e-3 in {spent:.0f} s", flush=True)
    return error, spent


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2, help="fits at once")
    parser.add_argument("--series", type=int, help="training series, all 2,000 if not given")
    options = parser.parse_args()
    runs = [plain_rows(seed, options.series) for seed in range(options.seeds)]
    fits = [(name, seed) for seed in range(options.seeds) for name in VIEWS]
    jobs = (delayed(model_row)(name, seed, options.epochs, options.series) for name, seed in fits)
    for (name, seed), row in zip(fits, Parallel(n_jobs=options.jobs)(jobs), strict=True):
        runs[seed][name] = row
    results = {name: [(1000 * result[name][0], result[name][1]) for result in runs] for name in runs[0]}
    print(table(results, ("test MSE x 1e-3", "fit seconds"), (2, 0)))
    print(f"\n{made_with('benchmarks.pendulum')}")


if __name__ == "__main__":
    main()
