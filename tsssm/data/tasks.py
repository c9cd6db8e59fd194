"""Tasks: which rows of a series a model sees, and which it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tsssm.data.batch import Question, Source
from tsssm.errors import explain

Task = Callable[[Source, np.ndarray, np.random.Generator], Question]
"""From a source, the numbers of some series and a random generator to a question about them."""


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The integers starts[i], ..., starts[i] + counts[i] - 1 of all i, one after another."""
    ends = np.cumsum(counts)
    return np.repeat(starts - ends + counts, counts) + np.arange(ends[-1] if len(ends) else 0)


def show_all(source: Source, series: np.ndarray, rng: np.random.Generator | None = None) -> Question:
    """Show everything, ask for nothing row by row: labels of series are the question."""
    counts = source.lengths[series]
    return Question(ranges(source.offsets[series], counts), counts, series)


def show_rows(source: Source, series: np.ndarray, rng: np.random.Generator | None = None) -> Question:
    """Show everything, and all rows, also those without any value: a model goes through them."""
    return replace(show_all(source, series, rng), blank=True)


def ask_target(source: Source, series: np.ndarray, rng: np.random.Generator | None = None) -> Question:
    """Show everything and ask for the row-by-row target, which is not among the channels."""
    question = show_all(source, series, rng)
    return Question(question.rows, question.counts, series, wanted=source.asked[question.rows])


@dataclass(frozen=True)
class HideLast:
    """Cut each series at a random row and ask for what follows within the horizon: forecasting.

    Parameters
    ----------
    horizon : float, in time scales
        How far ahead of the last row shown is asked.
    context : int
        Most rows shown before the cut.
    channels : tuple of int
        Channels that are forecast. The others are shown beyond the cut where they are `known`.
    known : tuple of int
        Channels whose future is known.

    Raises
    ------
    ValueError
        Where a channel is forecast and known at once: the answer would be shown.
    """

    horizon: float
    context: int
    channels: tuple[int, ...]
    known: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        both = sorted(set(self.channels) & set(self.known))
        if both:
            raise ValueError(
                explain(
                    "`channels` and `known` must share no channel",
                    f"both hold {', '.join(map(str, both))}",
                    "Forecast a channel or give its future, not both",
                )
            )

    def __call__(self, source: Source, series: np.ndarray, rng: np.random.Generator) -> Question:
        starts, stops, cuts = source.offsets[series], source.offsets[series + 1], np.empty(len(series), np.int64)
        ends = np.empty_like(cuts)
        for i, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            # at least one row to see; after a single row nothing is left to ask
            cuts[i] = rng.integers(min(start + 1, stop), max(stop, start + 2)) if stop > start else start
            last = source.times[cuts[i] - 1] if cuts[i] > start else -np.inf
            ends[i] = cuts[i] + np.searchsorted(source.times[cuts[i] : stop], last + self.horizon, side="right")
        first = np.maximum(starts, cuts - self.context)
        counts = ends - first
        rows = ranges(first, counts)
        ahead = rows >= np.repeat(cuts, counts)
        return self.question(source, rows, counts, series, ahead)

    def question(
        self, source: Source, rows: np.ndarray, counts: np.ndarray, series: np.ndarray, ahead: np.ndarray
    ) -> Question:
        """Hide the rows `ahead` in all channels that are not known, and ask for the forecast ones."""
        hidden = np.repeat(ahead[:, None], source.seen.shape[1], 1)
        hidden[:, list(self.known)] = False
        wanted = np.zeros_like(hidden)
        wanted[:, list(self.channels)] = (source.seen[rows] & ahead[:, None])[:, list(self.channels)]
        return Question(rows, counts, series, hidden, wanted)


@dataclass(frozen=True)
class HidePoints:
    """Hide observed entries at random and ask for them: imputation and interpolation.

    Half of the series lose single entries, the other half whole stretches of time in a channel, since real gaps come
    in both kinds.

    Parameters
    ----------
    context : int
        Most rows of a series in one question.
    low, high : float
        Range of the share of entries hidden in a series.
    """

    context: int
    low: float = 0.1
    high: float = 0.7

    def __call__(self, source: Source, series: np.ndarray, rng: np.random.Generator) -> Question:
        lengths = source.lengths[series]
        counts = np.minimum(lengths, self.context)
        rows = ranges(source.offsets[series] + rng.integers(0, lengths - counts + 1), counts)
        share = np.repeat(rng.uniform(self.low, self.high, len(series)), counts)[:, None]
        width = source.seen.shape[1]
        points = rng.random((len(rows), width)) < share
        centre = np.repeat(rng.random((len(series), width)), counts, axis=0)
        where = (np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)) / np.repeat(counts, counts)
        stretch = np.abs((where[:, None] - centre + 0.5) % 1 - 0.5) < share / 2
        whole = np.repeat(rng.random(len(series)) < 0.5, counts)[:, None]
        hidden = np.where(whole, stretch, points) & source.seen[rows]
        return Question(rows, counts, series, hidden, hidden)
