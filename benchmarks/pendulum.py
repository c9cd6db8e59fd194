"""Angle of a pendulum from noisy images at irregular times: do true gaps help?

    python -m benchmarks.pendulum --seeds 3

Rows: S5 that crosses the true gaps, S5 on even steps with the gap as one more input, S5 on even steps without it.
Beside them the trivial rows: the training mean, and ridge regression on the single image.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import sklearn
import torch
from sklearn.linear_model import Ridge

import tsssm
from tsssm import Panel, SSMSequenceRegressor
from tsssm.datasets import load_pendulum

PUBLISHED = "Published for the noise of the papers: S5 3.41, CRU 4.63 (quoted from memory of the papers, unverified)."


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


def run(seed: int, epochs: int, series: int | None) -> dict[str, tuple[float, float]]:
    """Mean squared error and fit seconds of each row for one seed, which draws the noise and starts the models."""
    (X, y), (Z, z) = load_pendulum("train", random_state=seed), load_pendulum("test", random_state=seed)
    X, y = X[:series], y[:series]
    results = {"training mean": (float(np.mean((y.values.mean(0) - z.values) ** 2)), 0.0)}
    start = time.perf_counter()
    ridge = Ridge(100.0).fit(X.values, y.values)
    results["ridge on the image"] = (
        float(np.mean((ridge.predict(Z.values) - z.values) ** 2)),
        time.perf_counter() - start,
    )
    for name, view in VIEWS.items():
        start = time.perf_counter()
        model = SSMSequenceRegressor(bidirectional=True, epochs=epochs, random_state=seed, verbose=1)
        model.fit(view(X), y)
        spent = time.perf_counter() - start
        results[name] = (float(np.mean((model.predict(view(Z)).values - z.values) ** 2)), spent)
        print(f"seed {seed}  {name}: {1000 * results[name][0]:.2f}e-3 in {spent:.0f} s", flush=True)
    return results


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--series", type=int, help="training series, all 2,000 if not given")
    options = parser.parse_args()
    runs = [run(seed, options.epochs, options.series) for seed in range(options.seeds)]
    print("\n| row | test MSE x 1e-3, mean (spread) | fit seconds |\n|---|---|---|")
    for name in runs[0]:
        errors = 1000 * np.array([result[name][0] for result in runs])
        seconds = np.mean([result[name][1] for result in runs])
        print(f"| {name} | {errors.mean():.2f} ({errors.std():.2f}) | {seconds:.0f} |")
    print(f"\n{options.seeds} seeds, {options.epochs} epochs. {PUBLISHED}")
    print(
        f"tsssm {tsssm.__version__}, torch {torch.__version__}, scikit-learn {sklearn.__version__}, "
        f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()
