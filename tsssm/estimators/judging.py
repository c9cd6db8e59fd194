"""Judging: what is held out of a fit, and how the fitted answers do there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsssm.data import Source
from tsssm.data.tasks import Task
from tsssm.data.windows import Windows, cut_windows
from tsssm.estimators.answers import Copula, scores_of
from tsssm.estimators.conformal import Calibration

if TYPE_CHECKING:
    from tsssm.estimators.base import Estimator

# with fewer series the last stretch of each is held out instead of some series
ENOUGH_SERIES = 50
# most rows of a last stretch
LONGEST_STRETCH = 1000
# most windows that decide when a fit stops, and most that calibrate intervals
TO_JUDGE, TO_CALIBRATE = 96, 300


def split(source: Source, context: int, rng: np.random.Generator) -> tuple[Windows, Windows]:
    """Windows to train on, and held-out ones: a tenth of many series, or the last seventh or so of each of a few."""
    begin, end, lengths = source.offsets[:-1], source.offsets[1:], source.lengths
    if len(lengths) >= ENOUGH_SERIES:
        chosen = np.zeros(len(lengths), bool)
        chosen[rng.permutation(len(lengths))[: min(len(lengths) // 10, 1000)]] = True
        first = np.where(chosen, begin, end)
    else:
        stretch = np.where(lengths < 5, 0, np.clip(np.rint(0.15 * lengths).astype(np.int64), 1, LONGEST_STRETCH))
        first = end - stretch
    held = cut_windows(source, first, end, context)
    held = held.pick(np.sort(rng.permutation(len(held))[:TO_CALIBRATE]))
    return cut_windows(source, begin, first, context), held


class Judged(NamedTuple):
    """Held-out answers: quantiles (r, t, levels), truths with NaN for none and leads (r, t).

    `ahead` (r,) is the time since the row last shown, and `origin` (r,) a number of that row.
    """

    quantiles: np.ndarray
    truth: np.ndarray
    lead: np.ndarray
    ahead: np.ndarray
    origin: np.ndarray


def judge(estimator: Estimator, windows: Windows, task: Task, targets: list[int]) -> Judged:
    """Ask a task's questions of windows and set the answers beside what was observed."""
    rng, parts, count = np.random.default_rng(12345), [], 0
    if not len(windows):
        none = np.empty((0, len(targets)))
        return Judged(np.empty((*none.shape, 1)), none, none, np.empty(0), np.empty(0))
    times = windows.source.times
    for _, batch, answer in estimator._answers(windows, lambda numbers: task(windows, numbers, rng)):
        rows, place = batch.rows.cpu().numpy(), batch.place.cpu().numpy()
        wanted = batch.wanted.flatten(0, 1).cpu().numpy()[place][:, targets]
        truth = batch.target.flatten(0, 1).cpu().numpy()[place][:, targets]
        quantiles = answer["quantiles"].reshape(-1, *answer["quantiles"].shape[2:])[place]
        asked = wanted.any(1)
        start = batch.grid.reset.flatten().cpu().numpy()[place]
        # rows asked between the same two rows shown share an origin, the row shown before them
        shown = np.maximum.accumulate(np.where(asked & ~start, 0, np.arange(len(rows))))
        ahead = np.maximum(times[rows] - times[rows[shown]], 0.0)
        lead = answer["lead"].reshape(-1, len(targets))[place]
        truth = np.where(wanted, truth, np.nan)
        parts.append(Judged(quantiles[asked], truth[asked], lead[asked], ahead[asked], shown[asked] + count))
        count += len(rows)
    return Judged(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def calibration_of(judged: Judged, least: float = 0.0) -> Calibration:
    """The calibration of intervals from held-out answers; `least` is that of `Calibration`."""
    kept = [np.isfinite(truth) for truth in judged.truth.T]
    return Calibration(
        [judged.quantiles[rows, j] for j, rows in enumerate(kept)],
        [judged.truth[rows, j] for j, rows in enumerate(kept)],
        [judged.lead[rows, j] for j, rows in enumerate(kept)],
        least,
    )


def copula_of(judged: Judged, rng: np.random.Generator) -> Copula:
    """The dependence of errors from held-out answers."""
    z = np.full(judged.truth.shape, np.nan)
    for j, truth in enumerate(judged.truth.T):
        kept = np.isfinite(truth)
        z[kept, j] = scores_of(truth[kept], judged.quantiles[kept, j])
    return Copula.fit(z, judged.ahead, judged.origin, rng)
