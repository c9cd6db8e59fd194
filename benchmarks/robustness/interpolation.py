"""Interpolation of the stays of PhysioNet 2012: a share of the rows of each is shown, the others are asked.

python -m benchmarks.robustness.interpolation

Results are kept in a file, so that a run that was stopped goes on where it was; `--table` prints what is there.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.report import made_with, spread
from benchmarks.resume import Record, Run, read
from tsssm import SSMImputer
from tsssm.data import Panel
from tsssm.datasets import load_physionet2012
from tsssm.demo.page import Table

PLAIN = {"mean": "mean of training", "line": "straight line between the neighbours"}
SHOWN = (0.5, 0.7, 0.9)
KEY = ("series", "row", "seed")
RESULTS = Path("benchmarks/results/interpolation.jsonl")


class Cell(NamedTuple):
    """One fit: stays of each set, a row of the table, a seed."""

    series: int
    row: str
    seed: int


def scaled(panel: Panel, low: np.ndarray, high: np.ndarray) -> Panel:
    """Give the panel with each channel from 0 to 1 between two bounds."""
    return panel.with_values((panel.values - low) / np.where(high > low, high - low, 1.0))


def hidden(panel: Panel, shown: float, seed: int) -> np.ndarray:
    """Draw the rows that are asked: all but a share of each series, and but one at least."""
    rng = np.random.default_rng(seed)
    out = np.ones(panel.n_rows, bool)
    for start, stop in zip(panel.offsets[:-1], panel.offsets[1:], strict=True):
        count = max(1, round(shown * (stop - start)))
        out[start + rng.permutation(stop - start)[:count]] = False
    return out


def line(panel: Panel, mean: np.ndarray) -> np.ndarray:
    """Values at all rows, straight between those seen, the nearest at the ends, the mean where none is."""
    out = np.tile(mean, (panel.n_rows, 1))
    for start, stop in zip(panel.offsets[:-1], panel.offsets[1:], strict=True):
        times, values = panel.times[start:stop], panel.values[start:stop]
        for channel in range(values.shape[1]):
            seen = np.isfinite(values[:, channel])
            if seen.any():
                out[start:stop, channel] = np.interp(times, times[seen], values[seen, channel])
    return out


def measure(cell: Cell) -> Record:
    """Fit on set a, judge on set b at the rows that are not shown, for each share that is."""
    torch.set_num_threads(1)
    train, test = (load_physionet2012(part)[0][: cell.series] for part in ("a", "b"))
    low, high = np.nanmin(train.values, axis=0), np.nanmax(train.values, axis=0)
    train, test = scaled(train, low, high), scaled(test, low, high)
    mean = np.nan_to_num(np.nanmean(train.values, axis=0))
    start = time.process_time()
    model = None if cell.row in PLAIN else SSMImputer(layer=cell.row, random_state=cell.seed).fit(train)
    seconds, errors = time.process_time() - start, []
    for share in SHOWN:
        asked = hidden(test, share, cell.seed)
        given = test.with_values(np.where(asked[:, None], np.nan, test.values))
        if model is not None:
            answer = model.transform(given).values
        else:
            answer = line(given, mean) if cell.row == "line" else mean
        errors.append(float(np.nanmean(np.square(answer - test.values)[asked])))
    return {**cell._asdict(), "errors": errors, "seconds": seconds}


def name(row: str) -> str:
    """What a row is called in the table."""
    return PLAIN.get(row, f'SSMImputer(layer="{row}")')


def show(records: list[Record], rows: list[str]) -> str:
    """Give the table of mean square errors."""
    lines = []
    for row in rows:
        errors = np.array([each["errors"] for each in records if each["row"] == row])
        lines.append((name(row), *(spread(1000 * column, 3) if len(column) else "" for column in errors.T)))
    lines = [each for each in lines if len(each) > 1]
    return Table(("MSE x 1000, share shown", *(f"{share:g}" for share in SHOWN)), lines).to_markdown()


def warm() -> None:
    """Nothing is compiled here."""


def main() -> None:
    """Measure what is not stored, print."""
    text = argparse.RawDescriptionHelpFormatter
    prog = "python -m benchmarks.robustness.interpolation"
    parser = argparse.ArgumentParser(prog, description=__doc__, formatter_class=text)
    parser.add_argument("--series", type=int, default=400, help="stays of each set (%(default)s)")
    parser.add_argument("--layers", nargs="*", default=["s5", "langevinsde", "linearnoisesde"], help="of the networks")
    parser.add_argument("--seeds", type=int, default=1, help="draws and models (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of results (%(default)s)")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what is stored")
    options = parser.parse_args()
    rows, stored = [*PLAIN, *options.layers], read(options.results, KEY)
    cells = [Cell(options.series, row, seed) for seed in range(options.seeds) for row in rows]
    if not options.table:
        run = Run(measure, lambda cell: name(cell.row), lambda record: f"{record['errors'][0]:.6f}", warm)
        run.fill(dict.fromkeys([c for c in cells if c not in stored], 1.0), options.jobs, options.results)
    stored = read(options.results, KEY)
    print(show([stored[cell] for cell in cells if cell in stored], rows))
    print(made_with("benchmarks.robustness.interpolation"))


if __name__ == "__main__":
    main()
