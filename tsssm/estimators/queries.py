"""Queries: a panel with the rows that are asked, and the answers row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tsssm.data import Panel, Scaling, Source
from tsssm.data.arrays import is_series_list
from tsssm.data.batch import Question
from tsssm.data.frames import is_long
from tsssm.data.tasks import ranges
from tsssm.data.windows import Windows

if TYPE_CHECKING:
    from tsssm.estimators.base import Estimator


class Query(NamedTuple):
    """A panel that holds what is shown and what is asked, and which of its rows are asked."""

    panel: Panel
    asked: np.ndarray

    def answer(self, values: np.ndarray, channels: tuple[str, ...]) -> Panel:
        """A panel of the asked rows with other channels; values (asked rows, channels)."""
        rows = self.panel.rows(self.asked)
        return rows.with_values(values, channels)


def is_table(X: Any) -> bool:
    """Whether X is an array or a table with one row a series, so that answers should be an array as well."""
    return not (X is None or isinstance(X, Panel) or is_long(X) or is_series_list(X))


def as_array(panel: Panel, ndim: int) -> np.ndarray:
    """Values of series of one length as (n, l), or (n, l, c) where there are several channels or `ndim` is 3."""
    values = panel.values.reshape(len(panel), -1, len(panel.channels))
    return values[:, :, 0] if ndim == 2 and values.shape[2] == 1 else values


def observed_rows(panel: Panel) -> Panel:
    """The panel without rows that show nothing."""
    return panel.rows(np.isfinite(panel.values).any(1))


def owners(panel: Panel) -> np.ndarray:
    """Number of the series of each row, (rows,)."""
    return np.repeat(np.arange(len(panel)), panel.lengths)


def tail(panel: Panel, last: np.ndarray, context: int) -> Panel:
    """The `context` last rows of each series up to the times `last` (n,), and what comes after them."""
    past = panel.times <= last[owners(panel)]
    begin = np.add.reduceat(np.r_[past, False].astype(np.int64), panel.offsets[:-1]) if len(panel) else past
    begin = np.where(panel.lengths > 0, begin, 0) - context
    place = np.arange(panel.n_rows) - np.repeat(panel.offsets[:-1], panel.lengths)
    return panel.rows(place >= begin[owners(panel)])


def merged(panel: Panel, times: list[np.ndarray], near: float) -> Query:
    """The panel with rows at the times asked of each series; a time `near` to one of its rows stands for that row."""
    parts, asked = [], []
    for i, wish in enumerate(times):
        own = panel.times[panel.offsets[i] : panel.offsets[i + 1]]
        if len(own) and len(wish):
            place = np.clip(np.searchsorted(own, wish), 1, len(own) - 1) if len(own) > 1 else np.zeros(len(wish), int)
            place = np.where(np.abs(own[place - 1] - wish) < np.abs(own[place] - wish), place - 1, place)
            wish = np.unique(np.where(np.abs(own[place] - wish) <= near, own[place], wish))
        every = np.union1d(own, wish)
        parts.append(every)
        asked.append(np.isin(every, wish))
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    values = np.full((offsets[-1], panel.shape[1]), np.nan)
    kept = [np.isin(part, panel.times[panel.offsets[i] : panel.offsets[i + 1]]) for i, part in enumerate(parts)]
    values[np.concatenate(kept)] = panel.values
    every = replace(panel, times=np.concatenate(parts), values=values, offsets=offsets, ticks=None)
    return Query(every, np.concatenate(asked))


class Answer(NamedTuple):
    """Quantiles (r, t, levels) in scaled units, and how far each is from what was seen (r, t), in time scales."""

    quantiles: np.ndarray
    lead: np.ndarray

    def rows(self, kept: np.ndarray) -> Answer:
        """Some of the rows."""
        return Answer(self.quantiles[kept], self.lead[kept])


def ask_rows(source: Source | Windows, wanted: np.ndarray, answering: np.ndarray | None = None) -> Callable:
    """Questions that show all there is and ask for the entries `wanted` (rows, c).

    Where windows overlap, `answering` (rows,) is the window that a row is asked of.
    """

    def ask(numbers: np.ndarray) -> Question:
        counts = source.lengths[numbers]
        rows = ranges(source.offsets[numbers], counts)
        mine = wanted[rows]
        if answering is not None:
            mine = mine & (answering[rows] == np.repeat(numbers, counts))[:, None]
        return Question(rows, counts, numbers, wanted=mine)

    return ask


def collected(estimator: Estimator, source: Source | Windows, ask: Callable, rows: int) -> Answer:
    """Answers of all batches by row of the source; NaN in rows that nobody asked."""
    out: Answer | None = None
    for _, batch, answer in estimator._answers(source, ask):
        place, number = batch.place.cpu().numpy(), batch.rows.cpu().numpy()
        asked = batch.wanted.flatten(0, 1).any(1).cpu().numpy()[place]
        found = [part.reshape(-1, *part.shape[2:])[place[asked]] for part in (answer["quantiles"], answer["lead"])]
        if out is None:
            # one row more for the blank row that stands for series without any
            out = Answer(*(np.full((rows + 1, *part.shape[1:]), np.nan) for part in found))
        for column, part in zip(out, found, strict=True):
            column[number[asked]] = part
    return Answer(np.empty((0, 0, 0)), np.empty((0, 0))) if out is None else out.rows(np.arange(rows))


def wide(query: Query, values: np.ndarray, scaling: Scaling, names: Sequence[str], labels: Sequence[str]) -> Panel:
    """A panel of several numbers for each target; values (r, t, k) in scaled units."""
    numbers = [query.panel.channels.index(name) for name in names]
    values = np.stack([scaling.inverse(values[..., k], numbers) for k in range(len(labels))], -1)
    channels = tuple(f"{name}[{label}]" for name in names for label in labels)
    return query.answer(values.reshape(len(values), -1), channels)
