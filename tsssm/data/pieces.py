"""Pieces of long series with a lead-in, and the task of asking for a target that has rows of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsssm.data.batch import Question, Source
from tsssm.data.tasks import ranges
from tsssm.data.windows import Windows


def lead_in(source: Source, context: int | None = None) -> Windows:
    """Windows of at most `context` rows that overlap by half, of which each answers what the one before does not.

    So a row is answered from at least half a context of rows before it, or from all there are. Without a context
    each series is one window.
    """
    lengths, begin = source.lengths, source.offsets[:-1]
    context = max(2, int(lengths.max(initial=2)) if context is None else context)
    stride = context // 2
    tiles = 1 + np.maximum(0, -(-(lengths - context) // stride))
    series = np.repeat(np.arange(len(lengths)), tiles)
    place = np.arange(len(series)) - np.repeat(np.cumsum(tiles) - tiles, tiles)
    stop = begin[series] + np.minimum(context + place * stride, lengths[series])
    earliest = np.where(place == 0, begin[series], begin[series] + context + (place - 1) * stride)
    return Windows(source, series, begin[series], earliest, stop, stop, stop, context)


@dataclass(frozen=True)
class AskTargets:
    """Show all rows of windows and ask for the targets that each is to answer.

    Parameters
    ----------
    apart : bool
        Whether a target is asked of a silent row of its own, even where a row shown stands at the same time: right
        behind that row. Then all targets are read off the state alike, wherever their clock puts them.
    moving : bool, default False
        Whether windows that do not begin a series are moved at random, by up to half a context either way: of a few long
        records no two passes then show the same pieces. Only where no window is held out, whose targets others would ask.
    """

    apart: bool
    moving: bool = False

    def __call__(self, windows: Windows, numbers: np.ndarray, rng: np.random.Generator | None = None) -> Question:
        begin, counts, earliest = windows.offsets[numbers], windows.lengths[numbers], windows.earliest[numbers]
        if self.moving and rng is not None:
            move = _moves(windows, numbers, rng)
            begin, earliest = begin + move, earliest + move
        rows = ranges(begin, counts)
        mine = rows >= np.repeat(earliest, counts)
        wanted = windows.source.asked[rows] & mine[:, None]
        if not self.apart:
            return Question(rows, counts, numbers, wanted=wanted)
        asked = wanted.any(1)
        copies = 1 + (asked & windows.seen[rows].any(1))
        place = np.repeat(np.arange(len(rows)), copies)
        wanted = wanted[place] & np.append(place[1:] != place[:-1], True)[:, None]
        hidden = np.repeat(wanted.any(1)[:, None], windows.seen.shape[1], 1)
        owner = np.repeat(np.arange(len(numbers)), counts)
        counts = np.bincount(owner, copies, minlength=len(numbers)).astype(np.int64)
        return Question(rows[place], counts, numbers, hidden, wanted)


def _moves(windows: Windows, numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """By how many rows each window is moved: none of those that begin a series, and none beyond its ends."""
    begin, series = windows.offsets[numbers], windows.series[numbers]
    first, end = windows.source.offsets[series], windows.source.offsets[series + 1]
    if (begin == first).all():
        return np.zeros_like(begin)
    far = windows.context // 2
    move = rng.integers(-far, far + 1, len(begin)).clip(first - begin, end - begin - windows.lengths[numbers])
    return np.where(begin == first, 0, move)
