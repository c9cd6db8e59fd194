"""Classifiers by features and ridge beside others, on the UCR and UEA sets at hand, whole and with values dropped.

python -m benchmarks.features --data FOLDER --jobs 2

Results are kept in a file, so that a run that was stopped goes on where it was; `--table` prints what is there.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import KFold

import tsssm
from benchmarks import archive
from benchmarks.baselines import hydra, label_rows, minirocket, multirocket, nearest_neighbour
from benchmarks.feature_tables import each_set, sections, with_results
from benchmarks.report import made_with
from benchmarks.resume import Record, Run, read
from tsssm.data import Panel
from tsssm.errors import explain

ROWS = {
    "ssm": "SSMRidgeClassifier",
    "minirocket": "MiniRocket and ridge, resampled",
    "multirocket": "MultiRocket and ridge, resampled",
    "hydra": "Hydra and ridge, resampled",
    "linear": "logistic regression, summary statistics",
    "boosting": "gradient boosting, summary statistics",
    "neighbour": "1-nearest neighbour, Euclidean, resampled",
    "prior": "class prior",
}
RATES = (0.0, 0.3, 0.5, 0.7)
RESULTS = Path("benchmarks/results/features.jsonl")
# MultiRocket and Hydra take 6 to 9 times MiniRocket's time, and the ridge of MultiRocket's 50,000 features 10 GB with
# 5,000 series: sets of more values than this go without those rows.
HEAVY = ("multirocket", "hydra")
MOST_OF_HEAVY = 150_000
# Features of many series fill the memory if all are computed at once.
SERIES_AT_ONCE = 1000
KEY = ("set", "rate", "seed", "row")


@dataclass(frozen=True)
class Cell:
    """One fit: a set, the share of values dropped, the seed of the dropping and of the model, a row of the table."""

    path: Path
    rate: float
    seed: int
    row: str

    @property
    def key(self) -> tuple:
        """What names the result in the file."""
        return self.path.stem, self.rate, self.seed, self.row

    @property
    def title(self) -> str:
        """How the lines of progress call it."""
        return f"{self.path.stem}, {self.rate:g} dropped, {ROWS[self.row]}"


def make(row: str, train: Panel, seed: int) -> Any:
    """Give the model of a row, or None where its package is missing."""
    if row == "ssm":
        return tsssm.SSMRidgeClassifier(random_state=seed)
    if row in ("linear", "boosting", "prior"):
        return plain(row, len(train), seed)
    length = archive.span(train)
    if row == "neighbour":
        return nearest_neighbour(length)
    return {"minirocket": minirocket, "multirocket": multirocket, "hydra": hydra}[row](length, seed)


def plain(row: str, n: int, seed: int) -> Any:
    """Give a row of `label_rows`, for classes of as few as one series.

    Their log loss is not defined where a fold lacks a class, so that the penalty is chosen by accuracy.
    """
    model = label_rows(seed, n)[ROWS[row]]
    if row == "linear":
        folds = KFold(3, shuffle=True, random_state=seed)
        model.set_params(gridsearchcv__scoring="accuracy", gridsearchcv__cv=folds)
    return model


def measure(cell: Cell) -> Record:
    """Fit, judge; times are those of the processor, so that others on the machine matter little."""
    train, y, test, z = archive.problem(cell.path, cell.rate, cell.seed)
    model = make(cell.row, train, cell.seed)
    start = time.process_time()
    model.fit(train, y)
    fitted = time.process_time()
    parts = [model.predict(test[i : i + SERIES_AT_ONCE]) for i in range(0, len(test), SERIES_AT_ONCE)]
    done = time.process_time()
    names = (*KEY, "accuracy", "fit", "predict", "tsssm")
    accuracy = float((np.concatenate(parts) == z).mean())
    return dict(zip(names, (*cell.key, accuracy, fitted - start, done - fitted, tsssm.__version__), strict=True))


def warm(rows: list[str]) -> None:
    """Fit each row once in a new process, so that no time of a result is one of compiling or importing."""
    values = np.random.default_rng(0).normal(size=(12, 60, 2))
    panel, y = Panel.from_array(values), np.arange(12) % 2
    for row in rows:
        make(row, panel, 0).fit(panel, y).predict(panel)


def summary(record: Record) -> str:
    """What a line of progress says of a result."""
    return f"{record['accuracy']:.3f}, {record['fit'] + record['predict']:.1f} s"


def work(cell: Cell) -> float:
    """Expected cost of a cell beside others: its values, and what a fit costs at least."""
    return archive.size(cell.path) + 20_000


def arguments() -> argparse.Namespace:
    """Read the command line."""
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.features", description=__doc__, formatter_class=text)
    parser.add_argument("--data", type=Path, help="folder with ucr/*.parquet and uea/*.parquet; not needed to print")
    parser.add_argument("--sets", nargs="+", help="names of sets; 'development' for those of the choices (all)")
    parser.add_argument("--rates", nargs="+", type=float, default=RATES, help="shares dropped (0 0.3 0.5 0.7)")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), help="models (all)")
    parser.add_argument("--seeds", type=int, default=1, help="draws of what is dropped (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of results (%(default)s)")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what is stored")
    parser.add_argument("--each", action="store_true", help="print every set as well")
    options = parser.parse_args()
    if options.data is None and not options.table:
        parser.error("--data is needed to measure; --table prints stored results")
    if options.sets == ["development"]:
        options.sets = sorted(archive.DEVELOPMENT)
    return options


def plan(options: argparse.Namespace, rows: list[str]) -> list[Cell]:
    """Give the cells that are asked for and not stored, small sets first."""
    stored, files = read(options.results, KEY), archive.find(options.data)
    unknown = sorted(set(options.sets or ()) - set(files))
    if unknown:
        raise ValueError(
            explain("`--sets` must name sets of the folder", f"it has no {', '.join(unknown)}", "See --data")
        )
    seeds, cells = range(options.seeds), []
    for name, path in files.items():
        if options.sets is None or name in options.sets:
            able = [row for row in rows if row not in HEAVY or archive.size(path) <= MOST_OF_HEAVY]
            cells += [Cell(path, rate, seed, row) for rate in options.rates for seed in seeds for row in able]
    return [cell for cell in cells if cell.key not in stored]


def installed(rows: list[str]) -> list[str]:
    """Give the rows whose packages are there, and say which are not."""
    panel = Panel.from_array(np.zeros((2, 20)))
    found = [row for row in rows if make(row, panel, 0) is not None]
    for row in rows:
        if row not in found:
            print(f"{ROWS[row]} is left out: it needs {'aeon' if row == 'hydra' else 'sktime with numba'}.")
    return found


def main() -> None:
    """Measure what is not stored, print."""
    options = arguments()
    if not options.table:
        rows = installed(options.rows)
        run = Run(measure, lambda cell: cell.title, summary, partial(warm, rows))
        run.fill({cell: work(cell) for cell in plan(options, rows)}, options.jobs, options.results)
    stored = read(options.results, KEY).values()
    records = [each for each in stored if options.sets is None or each["set"] in options.sets]
    names = with_results(records, {row: ROWS[row] for row in options.rows})
    print(sections(records, options.rates, names))
    if options.each:
        print(each_set(records, options.rates, names))
    print(made_with("benchmarks.features"))


if __name__ == "__main__":
    main()
