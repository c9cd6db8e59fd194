"""Results in a file of one JSON line a fit, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import tsssm
from benchmarks.accuracy.registry import TASKS
from benchmarks.accuracy.task import Fit

# A thread each: NumPy, numba and torch read these when they are imported.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


class Cell(NamedTuple):
    """A fit of a task, and what names its result in the file."""

    task: str
    fit: Fit

    @property
    def key(self) -> tuple:
        """What names the result."""
        return self.task, self.fit.row, self.fit.seed, "small" if self.fit.small else "full"


def read(file: Path) -> dict[tuple, dict[str, Any]]:
    """Give the stored results; the last of several counts."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    found = [json.loads(line) for line in lines]
    return {(each["task"], each["row"], each["seed"], each["setting"]): each for each in found}


def measure(cell: Cell) -> dict[str, Any]:
    """Fit, judge, and give the line of the file."""
    names = dict(zip(("task", "row", "seed", "setting"), cell.key, strict=True))
    return {**names, **TASKS[cell.task].measure(cell.fit), "tsssm": tsssm.__version__}


def run(cells: Sequence[Cell], jobs: int) -> Iterator[tuple[Cell, dict[str, Any] | BaseException]]:
    """Measure in processes of one thread each; give what comes, and the error of what fails, as it comes."""
    os.environ.update(THREADS)
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(measure, cell): cell for cell in cells}
        for future in as_completed(waiting):
            yield waiting[future], future.exception() or future.result()


def fill(cells: Sequence[Cell], jobs: int, file: Path) -> None:
    """Append the results of the cells to the file, saying how far it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with file.open("a", encoding="utf-8") as out:
        for count, (cell, result) in enumerate(run(cells, jobs), start=1):
            if isinstance(result, BaseException):
                what = f"failed, {type(result).__name__}: {result}"
            else:
                out.write(json.dumps(result) + "\n")
                out.flush()
                scores = (f"{name} {result[name]:.4f}" for name in TASKS[cell.task].measures)
                what = f"{', '.join(scores)}, fitted in {result['fit']:.0f} s"
            spent = (time.monotonic() - start) / 60
            name = f"{cell.task}, {TASKS[cell.task].rows[cell.fit.row]}, seed {cell.fit.seed}"
            print(f"[{count}/{len(cells)}] {name}: {what}; {spent:.0f} min so far", flush=True)
