"""One row of the table on one set: what is drawn, how it is judged, and what names the result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import tsssm
from benchmarks.generation.sets import LENGTH, Problem, problem
from benchmarks.resume import Record
from tsssm import KoopmanVAE
from tsssm.metrics import (
    autocorrelation_distance,
    context_frechet_distance,
    cross_correlation_distance,
    discriminative_score,
    marginal_distance,
    memorisation,
    predictive_score,
    predictive_score_multichannel,
)

SCORES = {
    "discriminative": discriminative_score,
    "predictive": predictive_score,
    "predictive_multichannel": predictive_score_multichannel,
}
KEY = ("setting", "set", "rate", "protocol", "seed", "row")
ROWS = {
    "real": "real series, another draw",
    "copies": "copies of training series",
    "rows": "rows of real series in random order",
    "linear": 'KoopmanVAE(prior="linear")',
    "soft": 'KoopmanVAE(prior="soft")',
    "information": 'KoopmanVAE(regularizer="information")',
    "cde": 'KoopmanVAE(layer="neuralcde")',
}
PARAMETERS = {
    "linear": {},
    "soft": {"prior": "soft"},
    "information": {"regularizer": "information"},
    "cde": {"layer": "neuralcde"},
}


class Setting(NamedTuple):
    """How much work a row is: windows, epochs or those of the estimator, repeats and steps of the scores, seeds.

    Steps are those of the `SCORES`; one of no steps is left out.
    """

    most: int | None
    epochs: int | None
    repeats: int
    steps: tuple[int, int, int]
    seeds: int


SETTINGS = {
    "full": Setting(None, 600, 10, (2000, 5000, 5000), 3),
    "default": Setting(None, None, 10, (2000, 5000, 0), 3),
    "quick": Setting(4000, 60, 3, (2000, 5000, 5000), 1),
    "small": Setting(200, 2, 2, (50, 50, 50), 1),
}


@dataclass(frozen=True)
class Cell:
    """A row of the table: a set, the share of rows dropped, the protocol, the seed, the generator."""

    setting: str
    set: str
    folder: Path
    rate: float
    protocol: str
    seed: int
    row: str

    @property
    def key(self) -> tuple:
        """What names the result in the file."""
        return self.setting, self.set, self.rate, self.protocol, self.seed, self.row

    @property
    def title(self) -> str:
        """How the lines of progress call it."""
        return f"{self.set}, {self.rate:g} dropped, {self.protocol}, seed {self.seed}, {ROWS[self.row]}"


def measure(cell: Cell) -> Record:
    """Fit, draw as many series as are judged by, judge; times are those of the processor."""
    torch.set_num_threads(1)
    setting = SETTINGS[cell.setting]
    data = problem(cell.set, cell.folder, cell.rate, cell.protocol == "overlapping", setting.most)
    start = time.process_time()
    judge, drawn, fitted = draw(cell, data, setting)
    names = dict(zip(KEY, cell.key, strict=True))
    found = {"fit": fitted - start, "sample": time.process_time() - fitted}
    return names | found | judged(judge, drawn, data, setting, cell.seed) | {"tsssm": tsssm.__version__}


def draw(cell: Cell, data: Problem, setting: Setting) -> tuple[np.ndarray, np.ndarray, float]:
    """Real series to judge by, generated ones, and when the fit was done."""
    judge, rng, n = data.judge, np.random.default_rng(cell.seed), len(data.judge)
    if cell.row == "real":
        # two halves of the same series: what no generator can be expected to beat
        order = rng.permutation(n)
        return judge[order[: n // 2]], judge[order[n // 2 :]], time.process_time()
    if cell.row == "copies":
        return judge, data.whole[rng.integers(len(data.whole), size=n)], time.process_time()
    if cell.row == "rows":
        rows = data.whole.reshape(-1, data.whole.shape[2])
        return judge, rows[rng.integers(len(rows), size=(n, LENGTH))], time.process_time()
    model = KoopmanVAE(epochs=setting.epochs, random_state=cell.seed, **PARAMETERS[cell.row]).fit(data.panel)
    fitted = time.process_time()
    drawn = model.sample(n, times=np.arange(LENGTH, dtype=np.float64), random_state=cell.seed)
    return judge, drawn.values.reshape(n, LENGTH, -1), fitted


def judged(real: np.ndarray, drawn: np.ndarray, data: Problem, setting: Setting, seed: int) -> Record:
    """All scores and distances by name."""
    scores = {
        name: score(real, drawn, setting.repeats, steps, seed)
        for (name, score), steps in zip(SCORES.items(), setting.steps, strict=True)
        if steps
    }
    found = {name: each.mean for name, each in scores.items()} | {"discriminative_sd": scores["discriminative"].std}
    if data.new is not None:
        near = memorisation(data.whole, data.new, drawn)
        found |= {"nearest": near.distance, "close": near.close}
    return found | {
        "frechet": context_frechet_distance(real, drawn),
        "marginal": marginal_distance(real, drawn),
        "autocorrelation": autocorrelation_distance(real, drawn),
        "cross_correlation": cross_correlation_distance(real, drawn),
    }


def warm() -> None:
    """Fit once in a new process, so that no time of a result is one of compiling or importing."""
    torch.set_num_threads(1)
    KoopmanVAE(epochs=1, d_latent=4).fit(np.random.default_rng(0).normal(size=(12, LENGTH, 2))).sample(2)


def summary(record: Record) -> str:
    """What a line of progress says of a result."""
    scores = f"discriminative {record['discriminative']:.3f}, predictive {record['predictive']:.3f}"
    return f"{scores}, fitted in {record['fit']:.0f} s"


def work(cell: Cell) -> float:
    """Expected cost of a cell beside others."""
    size = {"Sines": 2.7, "Stocks": 1.0, "Energy": 8.0, "MuJoCo": 1.5}[cell.set]
    return size * (1.0 if cell.row in PARAMETERS else 0.3)
