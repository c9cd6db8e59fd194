"""MuJoCo forecasts: 50 steps of 14 channels shown, some dropped as a whole, the next 10 asked.

python -m benchmarks.robustness.mujoco --data FOLDER

Results are kept in a file, so that a run that was stopped goes on where it was; without `--data` they are printed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import Ridge

import tsssm
from benchmarks.report import made_with, spread
from benchmarks.resume import Record, Run, read
from benchmarks.robustness.flow import Flow, Noise
from benchmarks.robustness.hopper import ASKED, FILE, SHOWN, Windows, dropped, trajectories, windows
from tsssm.data import Panel
from tsssm.demo.page import Table

ROWS = {
    "last": "last value",
    "mean": "mean of training",
    "ridge": "ridge on the last two observations and the gap",
    "s5": 'SSMForecaster(layer="s5")',
    "langevinsde": 'SSMForecaster(layer="langevinsde")',
    "none": "ODE of the values, integrated",
    "additive": "Langevin SDE of the values, integrated",
    "linear": "linear noise SDE of the values, integrated",
}
RATES = (0.0, 0.3, 0.5, 0.7)
KEY = ("row", "rate", "seed")
RESULTS = Path("benchmarks/results/mujoco.jsonl")
# Cross-validation over the trajectories of the training and validation parts: up to 600 steps errors fall or stay.
STEPS, BATCH, RATE, DECAY = 600, 128, 0.002, 0.1

Cell = tuple[Path, str, float, int]


def flow(train: Windows, noise: Noise, seed: int) -> Flow:
    """Train at cuts anywhere in the windows, on what is seen after them, with a rate that falls to 0."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    shown = train.values[train.seen]
    both = train.seen[:, 1:] & train.seen[:, :-1]
    scale = np.stack([shown.mean(0), shown.std(0)])
    pace = np.diff(train.values, axis=1)[both].std(0) / scale[1]
    model = Flow(torch.from_numpy(scale).float(), torch.from_numpy(pace).float(), noise)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    values, seen = torch.from_numpy(train.values).float(), torch.from_numpy(train.seen)
    # three rows seen give two slopes
    earliest = (train.seen.cumsum(1) >= 3).argmax(1) + 1
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        window = rng.integers(len(train), size=BATCH)
        cut = rng.integers(earliest[window], SHOWN + 1)
        rows = torch.from_numpy(cut[:, None] + np.arange(ASKED))
        here = torch.from_numpy(window)[:, None]
        error = ((model(train.last(window, cut), ASKED) - values[here, rows]) / model.scale[1].mean()).square().mean(-1)
        loss = (error * seen[here, rows]).sum() / seen[here, rows].sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


@torch.no_grad()
def forecast(model: Flow, asked: Windows) -> np.ndarray:
    """Forecasts of whole windows, (w, 10, 14)."""
    answer = model.eval()(asked.last(np.arange(len(asked)), np.full(len(asked), SHOWN)), ASKED)
    return answer.double().numpy()


def ridge(train: Windows, test: Windows) -> np.ndarray:
    """Forecast the change from the last value by the last two observations and the gaps, linearly."""

    def inputs(part: Windows) -> np.ndarray:
        last = part.last(np.arange(len(part)), np.full(len(part), SHOWN))
        return torch.cat([last.value, last.slope, last.gaps[:, :1], last.late[:, None]], 1).double().numpy()

    x, z = inputs(train), inputs(test)
    c = train.values.shape[-1]
    change = (train.truth - x[:, None, :c]).reshape(len(x), -1)
    return Ridge(0.001).fit(x, change).predict(z).reshape(len(z), ASKED, c) + z[:, None, :c]


def forecaster(folder: Path, layer: str, rate: float, seed: int, test: Windows) -> np.ndarray:
    """Forecasts of an SSMForecaster of the whole training trajectories, with the same share of their steps dropped."""
    x = trajectories(folder)[:70]
    kept = dropped(*x.shape[:2], rate, f"mujoco trajectories {rate:g} {seed}")
    train = Panel.from_series([(np.flatnonzero(seen) * 1.0, each[seen]) for each, seen in zip(x, kept, strict=True)])
    model = tsssm.SSMForecaster(list(range(1, ASKED + 1)), layer=layer, random_state=seed).fit(train)
    shown = [np.flatnonzero(seen[:SHOWN]) for seen in test.seen]
    series = [(rows * 1.0, values[rows]) for rows, values in zip(shown, test.values, strict=True)]
    asked = np.arange(SHOWN, SHOWN + ASKED) * 1.0
    answer = model.predict(Panel.from_series(series), asked, "mean")
    return answer.values.reshape(test.truth.shape)


def mean_square(answer: np.ndarray, asked: Windows) -> float:
    """Mean square error."""
    return float(np.square(answer - asked.truth).mean())


def measure(cell: Cell) -> Record:
    """Fit and judge one row."""
    torch.set_num_threads(1)
    folder, row, rate, seed = cell
    train, _, test = windows(folder, rate, seed)
    start = time.process_time()
    if row == "last":
        answer = test.last(np.arange(len(test)), np.full(len(test), SHOWN)).value.double().numpy()[:, None]
    elif row == "mean":
        answer = train.values[train.seen].mean(0)
    elif row == "ridge":
        answer = ridge(train, test)
    elif row in ("s5", "langevinsde"):
        answer = forecaster(folder, row, rate, seed, test)
    else:
        answer = forecast(flow(train, row, seed), test)
    seconds = time.process_time() - start
    return {"row": row, "rate": rate, "seed": seed, "error": mean_square(answer, test), "seconds": seconds}


def show(records: list[Record], rates: list[float], rows: list[str]) -> str:
    """Give the table of mean square errors."""
    lines = []
    for row in rows:
        cells = [[each["error"] * 1000 for each in records if (each["row"], each["rate"]) == (row, r)] for r in rates]
        lines.append((ROWS[row], *(spread(cell, 2) if cell else "" for cell in cells)))
    return Table(("test MSE x 1000, share dropped", *(f"{rate:g}" for rate in rates)), lines).to_markdown()


def main() -> None:
    """Measure what is not stored, print."""
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m benchmarks.robustness.mujoco", description=__doc__, formatter_class=text
    )
    parser.add_argument("--data", type=Path, help=f"folder with {FILE}; not needed to print")
    parser.add_argument("--rates", nargs="+", type=float, default=RATES, help="shares dropped (0 0.3 0.5 0.7)")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), help="models (all)")
    parser.add_argument("--seeds", type=int, default=3, help="draws and models (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of results (%(default)s)")
    options = parser.parse_args()
    if options.data is not None:
        stored = read(options.results, KEY)
        cells = [
            (options.data, row, rate, seed)
            for seed in range(options.seeds)
            for rate in options.rates
            for row in options.rows
            if (row, rate, seed) not in stored
        ]
        run = Run(measure, lambda cell: f"{ROWS[cell[1]]}, {cell[2]:g} dropped", lambda r: f"{r['error']:.6f}", warm)
        run.fill(dict.fromkeys(cells, 1.0), options.jobs, options.results)
    print(show(list(read(options.results, KEY).values()), options.rates, options.rows))
    print(made_with("benchmarks.robustness.mujoco"))


def warm() -> None:
    """Nothing is compiled here."""


if __name__ == "__main__":
    main()
