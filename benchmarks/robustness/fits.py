"""One fit of one row on one set: what is measured, and what names the result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import tsssm
from benchmarks.resume import Record
from benchmarks.robustness.rows import NEURAL, ROWS, make
from benchmarks.robustness.sets import problem
from tsssm.data import Panel

KEY = ("setting", "set", "rate", "seed", "row")


class Setting(NamedTuple):
    """How much work a fit is: rows of the longest series, about how many steps of training, seeds."""

    longest: int
    steps: int | None
    seeds: int


# "full" leaves the series and the training of the estimators as they are
SETTINGS = {"small": Setting(100, 150, 3), "full": Setting(100_000, None, 5)}


@dataclass(frozen=True)
class Cell:
    """One fit: a set, the share of values dropped, the seed of split, dropping and model, a row of the table."""

    setting: str
    path: Path
    rate: float
    seed: int
    row: str

    @property
    def key(self) -> tuple:
        """What names the result in the file."""
        return self.setting, self.path.stem, self.rate, self.seed, self.row

    @property
    def title(self) -> str:
        """How the lines of progress call it."""
        return f"{self.path.stem}, {self.rate:g} dropped, seed {self.seed}, {ROWS[self.row]}"


def measure(cell: Cell) -> Record:
    """Fit, judge; times are those of the processor, so that others on the machine matter little."""
    torch.set_num_threads(1)
    setting = SETTINGS[cell.setting]
    train, y, test, z = problem(cell.path, cell.rate, cell.seed, setting.longest)
    model = make(cell.row, train, cell.seed, setting.steps)
    start = time.process_time()
    model.fit(train, y)
    fitted = time.process_time()
    if cell.row in NEURAL:
        probability = model.predict_proba(test)
        finite, answer = bool(np.isfinite(probability).all()), model.classes_[probability.argmax(1)]
    else:
        finite, answer = True, model.predict(test)
    seconds = {"fit": fitted - start, "predict": time.process_time() - fitted}
    accuracy = {"accuracy": float((answer == z).mean()), "finite": finite}
    return dict(zip(KEY, cell.key, strict=True)) | accuracy | seconds | {"tsssm": tsssm.__version__}


def warm(rows: list[str]) -> None:
    """Fit each row once in a new process, so that no time of a result is one of compiling or importing."""
    torch.set_num_threads(1)
    values = np.random.default_rng(0).normal(size=(12, 20, 2))
    panel, y = Panel.from_array(values), np.arange(12) % 2
    for row in rows:
        make(row, panel, 0, 1).fit(panel, y).predict(panel)


def summary(record: Record) -> str:
    """What a line of progress says of a result."""
    broken = "" if record["finite"] else ", NOT FINITE"
    return f"{record['accuracy']:.3f}{broken}, {record['fit'] + record['predict']:.1f} s"


def work(cell: Cell) -> float:
    """Expected cost of a cell beside others: a row costs the same in all networks, others next to nothing."""
    return 1.0 if cell.row in NEURAL else 0.1
