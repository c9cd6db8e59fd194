"""Classifiers by features and ridge beside others, on the UCR and UEA sets at hand, whole and with values dropped.

python -m benchmarks.features --data FOLDER --jobs 2

Results are kept in a file, so that a run that was stopped goes on where it was; `--table` prints what is there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import KFold

import tsssm
from benchmarks import archive
from benchmarks.baselines import hydra, label_rows, minirocket, multirocket, nearest_neighbour
from benchmarks.feature_tables import each_set, sections, with_results
from benchmarks.report import made_with
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
# A thread each: NumPy, numba and torch read these when they are imported.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

Key = tuple[str, float, int, str]


@dataclass(frozen=True)
class Cell:
    """One fit: a set, the share of values dropped, the seed of the dropping and of the model, a row of the table."""

    path: Path
    rate: float
    seed: int
    row: str

    @property
    def key(self) -> Key:
        """What names the result in the file."""
        return self.path.stem, self.rate, self.seed, self.row


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


def measure(cell: Cell) -> dict[str, Any]:
    """Fit, judge; times are those of the processor, so that others on the machine matter little."""
    train, y, test, z = archive.problem(cell.path, cell.rate, cell.seed)
    model = make(cell.row, train, cell.seed)
    start = time.process_time()
    model.fit(train, y)
    fitted = time.process_time()
    parts = [model.predict(test[i : i + SERIES_AT_ONCE]) for i in range(0, len(test), SERIES_AT_ONCE)]
    done = time.process_time()
    names = ("set", "rate", "seed", "row", "accuracy", "fit", "predict", "tsssm")
    accuracy = float((np.concatenate(parts) == z).mean())
    return dict(zip(names, (*cell.key, accuracy, fitted - start, done - fitted, tsssm.__version__), strict=True))


def warm(rows: list[str]) -> None:
    """Fit each row once in a new process, so that no time of a result is one of compiling or importing."""
    values = np.random.default_rng(0).normal(size=(12, 60, 2))
    panel, y = Panel.from_array(values), np.arange(12) % 2
    for row in rows:
        make(row, panel, 0).fit(panel, y).predict(panel)


def read(file: Path) -> dict[Key, dict[str, Any]]:
    """Give the stored results; the last of several counts."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    found = [json.loads(line) for line in lines]
    return {(each["set"], each["rate"], each["seed"], each["row"]): each for each in found}


def run(cells: list[Cell], rows: list[str], jobs: int) -> Iterator[tuple[Cell, dict[str, Any] | BaseException]]:
    """Measure in processes of one thread each; give what comes, and the error of what fails, as it comes."""
    os.environ.update(THREADS)
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=fresh, initializer=warm, initargs=(rows,)) as pool:
        waiting = {pool.submit(measure, cell): cell for cell in cells}
        for future in as_completed(waiting):
            yield waiting[future], future.exception() or future.result()


def fill(cells: list[Cell], rows: list[str], jobs: int, file: Path) -> None:
    """Append the results of the cells to the file, saying how far it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # Of each cell: its values, and what a fit costs at least.
    work = {cell: archive.size(cell.path) + 20_000 for cell in cells}
    start, done, total = time.monotonic(), 0, sum(work.values())
    with file.open("a", encoding="utf-8") as out:
        for count, (cell, result) in enumerate(run(cells, rows, jobs), start=1):
            done += work[cell]
            left = (time.monotonic() - start) * (total - done) / done / 60
            if isinstance(result, BaseException):
                what = f"failed, {type(result).__name__}: {result}"
            else:
                out.write(json.dumps(result) + "\n")
                out.flush()
                what = f"{result['accuracy']:.3f}, {result['fit'] + result['predict']:.1f} s"
            name = f"{cell.path.stem}, {cell.rate:g} dropped, {ROWS[cell.row]}"
            print(f"[{count}/{len(cells)}] {name}: {what}; about {left:.0f} min left", flush=True)


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
    stored, files = read(options.results), archive.find(options.data)
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
        fill(plan(options, rows), rows, options.jobs, options.results)
    records = [each for each in read(options.results).values() if options.sets is None or each["set"] in options.sets]
    names = with_results(records, {row: ROWS[row] for row in options.rows})
    print(sections(records, options.rates, names))
    if options.each:
        print(each_set(records, options.rates, names))
    print(made_with("benchmarks.features"))


if __name__ == "__main__":
    main()
