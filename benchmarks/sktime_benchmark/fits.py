"""One fit of one model on one task: what is measured, and what names the result."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import torch

import tsssm
from benchmarks.resume import Record
from benchmarks.sktime_benchmark import classifiers, forecasters
from benchmarks.sktime_benchmark.scores import score
from benchmarks.sktime_benchmark.tasks import FORECASTS

KEY = ("task", "model", "seed", "version")


class Cell(NamedTuple):
    """One fit: a model on a task, from one seed."""

    folder: Path
    task: str
    model: str
    seed: int


def measure(cell: Cell) -> Record:
    """Fit and judge."""
    torch.set_num_threads(1)
    start = time.process_time()
    if cell.task in FORECASTS:
        task = FORECASTS[cell.task](cell.folder)
        scores = score(task, forecasters.MODELS[cell.model](task, cell.seed))
    else:
        data = classifiers.read_set(cell.folder, cell.task)
        scores = {"accuracy": float((classifiers.MODELS[cell.model](data, cell.seed) == data[3]).mean())}
    seconds = time.process_time() - start
    key = {"task": cell.task, "model": cell.model, "seed": cell.seed, "version": tsssm.__version__}
    return {**key, "scores": scores, "seconds": seconds}


def warm() -> None:
    """Nothing: seconds are those of the process, and imports are behind when they start."""
