"""One fit of one row on one task in one alignment: what is measured, and what names the result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import tsssm
from benchmarks.resume import Record
from benchmarks.sequences.classical import CLASSICAL
from benchmarks.sequences.rows import ROWS, make
from benchmarks.sequences.tasks import TASKS, Problem, Sides, Task
from tsssm.data.rotations import RotationForm, rotation_errors
from tsssm.data.synthetic import tactile

KEY = ("setting", "task", "alignment", "row", "seed")
TITLES = ROWS | {row: title for row, (title, _) in CLASSICAL.items()}


class Setting(NamedTuple):
    """How much work a fit is: records, steps of training, parameters of the layers, seeds."""

    amount: str
    steps: int
    parameters: int
    seeds: int


SETTINGS = {"small": Setting("small", 600, 20_000, 1), "full": Setting("full", 3000, 60_000, 3)}
BATCH = 8


@dataclass(frozen=True)
class Cell:
    """A row of the table on a task: with targets asked at their times, or at the ends of their chunks."""

    setting: str
    task: str
    alignment: str
    row: str
    seed: int
    data: Path | None

    @property
    def key(self) -> tuple:
        """What names the result in the file."""
        return self.setting, self.task, self.alignment, self.row, self.seed

    @property
    def title(self) -> str:
        """How the lines of progress call it."""
        when = "" if TASKS[self.task].later is None else f", asked at the {self.alignment}"
        return f"{TASKS[self.task].title}{when}, {TITLES[self.row]}, seed {self.seed}"


def settings(problem: Problem, task: Task, alignment: str, steps: int) -> dict[str, Any]:
    """Arguments of a regressor, the same for all rows of a task."""
    rows = problem.train.X.lengths + (0 if task.later is None else problem.train.y.lengths)
    windows = int(np.maximum(1, -(-(rows - task.context) // (task.context // 2)) + 1).sum())
    return {
        "context": task.context,
        "batch_size": BATCH,
        "epochs": max(2, round(steps / max(1, windows / BATCH))),
        # simulations of exact records are neither noisy nor many-valued
        "dropout": 0.0 if task.later is None else 0.1,
        "straight": task.later is None,
        "rotation": task.rotation,
        "lookahead": task.later if alignment == "end" else None,
    }


def measure(cell: Cell) -> Record:
    """Fit, judge; times are those of the processor, so that others on the machine matter little."""
    torch.set_num_threads(1)
    setting, task = SETTINGS[cell.setting], TASKS[cell.task]
    problem = task.problem(cell.data, setting.amount, cell.seed)
    start, more = time.process_time(), {}
    if cell.row in CLASSICAL:
        found = CLASSICAL[cell.row][1](problem, task, cell.seed)
        fitted = time.process_time()
    else:
        arguments = settings(problem, task, cell.alignment, setting.steps)
        model = make(cell.row, task.chunk, setting.parameters, random_state=cell.seed, **arguments)
        model.fit(*problem.train)
        fitted = time.process_time()
        found = model.predict(problem.test.X, problem.test.y).values
        epochs = len(model.history_[0].train)
        more = {
            "epoch": (fitted - start) / epochs,
            "parameters": sum(p.numel() for p in model.models_[0].parameters()),
            "width": model.d_model,
        }
    seconds = {"fit": fitted - start, "predict": time.process_time() - fitted}
    errors = judge(found, problem.test, task)
    return dict(zip(KEY, cell.key, strict=True)) | errors | seconds | more | {"tsssm": tsssm.__version__}


def judge(found: np.ndarray, test: Sides, task: Task) -> dict[str, float]:
    """Root mean square error over all rows and channels and the first half of the rows; of rotations angle, tilt, heading."""
    if task.rotation is None:
        square = (found - test.y.values) ** 2 * task.factor**2
        # the second half of Silverbox's test goes beyond the sizes that were fitted to
        parts = {"rmse": square, "early": square[: len(square) // 2]}
        return {name: float(np.sqrt(np.nanmean(part))) for name, part in parts.items()}
    form = RotationForm.of(test.y.channels)
    errors = rotation_errors(form.matrices(found), form.matrices(test.y.values))
    rms = {name: float(np.sqrt(np.mean(error**2))) for name, error in errors.items()}
    return {"rmse": rms["rotation"], "tilt": rms["tilt"], "heading": rms["heading"]}


def warm() -> None:
    """Fit once in a new process, so that no time of a result is one of compiling or importing."""
    torch.set_num_threads(1)
    X, y = tactile(8, 2.0, random_state=0)
    make("s4d-selective", 0.2, 4_000, epochs=1, random_state=0).fit(X, y).predict(X, y)


def summary(record: Record) -> str:
    """What a line of progress says of a result."""
    return f"{record['rmse']:.4g} {TASKS[record['task']].unit}, {record['fit'] + record['predict']:.1f} s"
