"""One fit of one row of a task, and the line of the file of results that it becomes."""

from __future__ import annotations

from typing import NamedTuple

import torch

import tsssm
from benchmarks.accuracy.registry import TASKS
from benchmarks.accuracy.task import Fit
from benchmarks.resume import Record

KEY = ("task", "row", "seed", "setting")


class Cell(NamedTuple):
    """A fit of a task, and what names its result in the file."""

    task: str
    fit: Fit

    @property
    def key(self) -> tuple:
        """What names the result."""
        return self.task, self.fit.row, self.fit.seed, "small" if self.fit.small else "full"

    @property
    def title(self) -> str:
        """How the lines of progress call it."""
        return f"{self.task}, {TASKS[self.task].rows[self.fit.row]}, seed {self.fit.seed}"


def measure(cell: Cell) -> Record:
    """Fit, judge, and give the line of the file."""
    names = dict(zip(KEY, cell.key, strict=True))
    return {**names, **TASKS[cell.task].measure(cell.fit), "tsssm": tsssm.__version__}


def warm() -> None:
    """Take one thread in a new process."""
    torch.set_num_threads(1)


def summary(record: Record) -> str:
    """What a line of progress says of a result."""
    scores = (f"{name} {record[name]:.4f}" for name in TASKS[record["task"]].measures)
    return f"{', '.join(scores)}, fitted in {record['fit']:.0f} s"
