"""Forecasts by a latent linear system beside plain ones: Lorenz 63, a pendulum, and cascaded tanks.

python -m benchmarks.koopman
python -m benchmarks.koopman --data FOLDER --seeds 3
python -m benchmarks.koopman --sets pendulum
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.integrate import solve_ivp
from sklearn.linear_model import RidgeCV

from benchmarks.report import made_with, table
from tsssm import KoopmanForecaster, Panel

SHOWN, LEADS = 40, (5, 20, 50)
TANKS = "sysid_benchmarks/cascaded_tanks.parquet"


def lorenz(n: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Series (n, rows, 3) of ``x' = 10 (y - x), y' = x (28 - z) - y, z' = x y - 8/3 z`` every 0.1, on the attractor."""

    def field(_: float, s: np.ndarray) -> list:
        return [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]]

    return _solved(field, rng.normal(size=(n, 3)) + [0, 0, 25], 10.0, 0.1, rows)


def pendulum(n: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Series (n, rows, 2) of angle and speed of ``angle'' = -sin(angle)`` every 0.1, from rest at 0.5 to 2.7 rad."""
    angles = rng.uniform(0.5, 2.7, n)
    return _solved(lambda _, s: [s[1], -np.sin(s[0])], np.stack([angles, 0 * angles], 1), 0.0, 0.1, rows)


def _solved(field: Callable, starts: np.ndarray, skip: float, gap: float, rows: int) -> np.ndarray:
    times = skip + gap * np.arange(rows)
    solved = [solve_ivp(field, (0, times[-1]), start, t_eval=times, rtol=1e-9, atol=1e-9).y.T for start in starts]
    return np.stack(solved)


def tanks(folder: Path, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows (n, rows, 2) of the pump's voltage and the level of the lower tank: of the training and the test record."""
    frame = pd.read_parquet(folder / TANKS)
    records = [frame[[f"u_{split}", f"y_{split}"]].to_numpy(np.float64) for split in ("train", "test")]
    cut = [np.lib.stride_tricks.sliding_window_view(record, rows, axis=0)[::7] for record in records]
    return tuple(np.moveaxis(each, -1, 1).copy() for each in cut)


SETS: dict[str, tuple[str, Callable | None]] = {
    "lorenz": ("Lorenz 63", lorenz),
    "pendulum": ("pendulum", pendulum),
    "tanks": ("cascaded tanks", None),
}


def autoregression(train: np.ndarray, test: np.ndarray, lags: int = 10) -> np.ndarray:
    """Rows behind the shown ones (n, ahead, c) by a ridge on the last ten rows, step after step."""
    past = np.concatenate([train[:, k : k + lags].reshape(len(train), -1) for k in range(train.shape[1] - lags)])
    model = RidgeCV(np.logspace(-6, 2, 9)).fit(past, np.concatenate([train[:, k] for k in range(lags, train.shape[1])]))
    window, out = test[:, SHOWN - lags : SHOWN], []
    for _ in range(test.shape[1] - SHOWN):
        out.append(model.predict(window.reshape(len(test), -1)))
        window = np.concatenate([window[:, 1:], out[-1][:, None]], 1)
    return np.stack(out, 1)


def errors(told: np.ndarray, test: np.ndarray) -> list[float]:
    """Root mean square errors up to each lead, in standard deviations of the series."""
    scale = test.std((0, 1))
    apart = (told - test[:, SHOWN:]) / scale
    return [float(np.sqrt(np.square(apart[:, :lead]).mean())) for lead in LEADS]


def measure(train: np.ndarray, test: np.ndarray, seed: int, epochs: int | None) -> dict[str, list[float]]:
    """Errors of each row of the table."""
    ahead = LEADS[-1]
    found = {
        "mean of training": errors(np.broadcast_to(train.mean((0, 1)), (len(test), ahead, test.shape[2])), test),
        "last value": errors(np.repeat(test[:, SHOWN - 1 : SHOWN], ahead, 1), test),
        "ridge on the last 10 rows": errors(autoregression(train, test), test),
    }
    for regularizer in (None, "information"):
        model = KoopmanForecaster(
            ahead, regularizer=regularizer, context=SHOWN, epochs=epochs, folds=0, random_state=seed
        )
        model.fit(Panel.from_array(train))
        told = model.predict(Panel.from_array(test[:, :SHOWN])).values.reshape(len(test), ahead, -1)
        found[f"KoopmanForecaster(regularizer={regularizer!r})"] = errors(told, test)
        print(model.modes_.head(4).to_string(), flush=True)
    return found


def main() -> None:
    """Fit, print."""
    parser = argparse.ArgumentParser("python -m benchmarks.koopman", description=__doc__)
    parser.add_argument("--data", type=Path, help=f"folder with {TANKS}; left out without")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--series", type=int, default=300, help="of training; a third as many of test (%(default)s)")
    parser.add_argument("--epochs", type=int, help="of each fit (that of the estimator)")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS), help="(all)")
    options = parser.parse_args()
    rows, n = SHOWN + LEADS[-1], options.series
    for name in options.sets:
        title, make = SETS[name]
        if make is None and options.data is None:
            continue
        results: dict[str, list[list[float]]] = {}
        for seed in range(options.seeds):
            rng = np.random.default_rng(seed)
            if make is None:
                train, test = tanks(options.data, rows)
            else:
                train, test = make(n, rows, rng), make(n // 3, rows, rng)
            for row, scores in measure(train, test, seed, options.epochs).items():
                results.setdefault(row, []).append(scores)
        print(f"\n{title}: error up to lead, in standard deviations\n")
        print(table(results, [str(lead) for lead in LEADS], [3] * len(LEADS)), flush=True)
    print(made_with("benchmarks.koopman"))


if __name__ == "__main__":
    main()
