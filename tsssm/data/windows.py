"""Windows: stretches of long series as pieces of their own, and the task of forecasting from many cuts of each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tsssm.data.batch import Batch, Question, Source
from tsssm.data.tasks import ranges

COLUMNS = ("series", "first", "earliest", "low", "high", "stop")
"""Fields of `Windows` with a number for each window."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Stretches of the series of a source, which a task and the training loop take for series.

    Rows are counted through the whole source. In forecasting a cut is the first row not shown.

    Parameters
    ----------
    source : Source
    series : ndarray of int, (w,)
        Series of each window.
    first : ndarray of int, (w,)
        First row that may be shown.
    earliest : ndarray of int, (w,)
        First row that may be asked.
    low, high : ndarray of int, (w,)
        Range of the cuts, both included.
    stop : ndarray of int, (w,)
        First row that may not be asked.
    context : int
        Most rows shown before a cut.
    """

    source: Source
    series: np.ndarray
    first: np.ndarray
    earliest: np.ndarray
    low: np.ndarray
    high: np.ndarray
    stop: np.ndarray
    context: int

    def __len__(self) -> int:
        return len(self.series)

    @property
    def offsets(self) -> np.ndarray:
        """First row of each window at its longest."""
        return np.maximum(self.first, self.high - self.context)

    @property
    def lengths(self) -> np.ndarray:
        """Most rows shown of each window."""
        return self.high - self.offsets

    @property
    def seen(self) -> np.ndarray:
        """What is observed in each row of the source."""
        return self.source.seen

    def batch(self, question: Question) -> Batch:
        """A batch of the source; the question names windows for series."""
        return self.source.batch(replace(question, series=self.series[question.series]))

    def pick(self, keep: np.ndarray) -> Windows:
        """Some of the windows."""
        return replace(self, **{name: getattr(self, name)[keep] for name in COLUMNS})


def cut_windows(source: Source, first: np.ndarray, stop: np.ndarray, context: int) -> Windows:
    """Windows whose cuts fill the rows after `first` up to `stop` of each series (n,), half a context in each.

    Context may reach back before `first`. A series of a single row has its cut in front of it: it is asked from
    nothing. Series without rows have no window.
    """
    begin = source.offsets[:-1]
    low = np.minimum(np.maximum(first, begin + 1), stop - 1)
    tiles = np.where(stop > first, -(-(stop - low) // max(1, context // 2)), 0)
    series = np.repeat(np.arange(len(first)), tiles)
    place = np.arange(len(series)) - np.repeat(np.cumsum(tiles) - tiles, tiles)
    span = (stop - low)[series]
    cut_low = low[series] + place * span // tiles[series]
    cut_high = low[series] + (place + 1) * span // tiles[series] - 1
    return Windows(source, series, begin[series], first[series], cut_low, cut_high, stop[series], context)


def tile_windows(source: Source, context: int) -> Windows:
    """Windows that fill the rows of each series side by side, about `context` rows each."""
    lengths = source.lengths
    tiles = -(-lengths // context)
    series = np.repeat(np.arange(len(lengths)), tiles)
    place = np.arange(len(series)) - np.repeat(np.cumsum(tiles) - tiles, tiles)
    begin = source.offsets[:-1][series]
    first = begin + place * lengths[series] // tiles[series]
    high = begin + (place + 1) * lengths[series] // tiles[series]
    return Windows(source, series, first, first, high, high, high, context)


def cover(source: Source, context: int) -> tuple[Windows, np.ndarray]:
    """Overlapping windows over whole series, and for each row of the source the window that answers it.

    A window holds `context` observed rows and answers between its first and last quarter; those at the ends of a
    series answer up to the ends. Rows that show nothing do not count, so that asking more moves no window.
    """
    observed, stride = source.seen.any(1), max(1, context // 2)
    parts, answering, count = [], np.zeros(len(observed), np.int64), 0
    for i, (begin, end) in enumerate(zip(source.offsets[:-1], source.offsets[1:], strict=True)):
        if begin == end:
            continue
        here = begin + np.flatnonzero(observed[begin:end])
        tiles = 1 + max(0, -(-(len(here) - context) // stride))
        first, last = np.arange(tiles) * stride, np.minimum(np.arange(tiles) * stride + context, len(here)) - 1
        start = np.full(tiles, begin) if tiles == 1 else np.r_[begin, here[first[1:]]]
        stop = np.full(tiles, end) if tiles == 1 else np.r_[here[last[:-1]] + 1, end]
        place = np.cumsum(observed[begin:end]) - observed[begin:end]
        answering[begin:end] = count + np.clip((place - context // 4) // stride, 0, tiles - 1)
        parts.append((np.full(tiles, i), start, stop))
        count += tiles
    series, start, stop = (
        (np.concatenate(column) for column in zip(*parts, strict=True)) if parts else [observed[:0]] * 3
    )
    return Windows(source, series, start, start, stop, stop, stop, len(observed)), answering


@dataclass(frozen=True, eq=False)
class AskAhead:
    """Ask, at several cuts along a window, for the rows that follow within the horizon.

    The rows asked after a cut come as silent copies between the rows shown, so that one run along the series serves
    all cuts: a silent row leaves no trace, and time goes back after it.

    Parameters
    ----------
    horizon : ndarray, (n,), in time scales
        How far ahead of the last row shown is asked, for each series of the source; the next row always is.
    channels : tuple of int
        Channels that are forecast.
    known : tuple of int
        Channels whose future is known. They are shown in the rows asked, which then do leave a trace: a window has a
        single cut.
    blind : float
        Share of windows that lack some of the `known` entries in the rows asked, so that their absence has a meaning.
    most : int
        Most rows asked after one cut.
    cuts : int, optional
        Most cuts of a window. By default as many as ask for half the rows shown.
    cold : float
        Share of windows that are also asked from nothing.
    late : float
        Share of a window before which there is no cut: forecasts from little are rarely asked.
    """

    horizon: np.ndarray
    channels: tuple[int, ...]
    known: tuple[int, ...] = ()
    most: int = 24
    cuts: int | None = None
    cold: float = 0.05
    late: float = 0.125
    blind: float = 0.1

    def __call__(self, windows: Windows, numbers: np.ndarray, rng: np.random.Generator) -> Question:
        pieces: list[np.ndarray] = []
        ahead: list[np.ndarray] = []
        counts = np.empty(len(numbers), np.int64)
        for i, window in enumerate(numbers):
            rows, asked = self._window(windows, int(window), rng)
            pieces.append(rows)
            ahead.append(asked)
            counts[i] = len(rows)
        rows, asked = np.concatenate(pieces), np.concatenate(ahead)
        seen = windows.seen[rows]
        hidden = np.repeat(asked[:, None], seen.shape[1], 1)
        hidden[:, list(self.known)] = False
        if self.known and self.blind:
            share = np.repeat(np.where(rng.random(len(numbers)) < self.blind, rng.random(len(numbers)), 0.0), counts)
            lost = rng.random((len(rows), len(self.known))) < share[:, None]
            hidden[:, list(self.known)] = lost & asked[:, None]
        wanted = np.zeros_like(hidden)
        wanted[:, list(self.channels)] = (seen & asked[:, None])[:, list(self.channels)]
        return Question(rows, counts, numbers, hidden, wanted)

    def _window(self, windows: Windows, i: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows of one window in the order of the run, and which of them are asked."""
        source, stop = windows.source, int(windows.stop[i])
        horizon = self.horizon[windows.series[i]]
        first, high = int(windows.first[i]), int(windows.high[i])
        end = int(rng.integers(min(high, max(int(windows.low[i]), first + int(self.late * (high - first)))), high + 1))
        begin = max(first, end - windows.context)
        if self.known and rng.random() < self.cold:
            begin = end
        after = len(self._after(source, end, begin, stop, horizon, rng))
        least = max(int(windows.earliest[i]), begin + int(self.late * (end - begin)) + 1)
        count = 1 if self.known else max(1, (end - begin) // (2 * after))
        more = rng.integers(min(least, end), end + 1, size=(count if self.cuts is None else min(count, self.cuts)) - 1)
        if not self.known and begin >= windows.earliest[i] and rng.random() < self.cold:
            more = np.append(more, begin)
        parts, asked, shown = [], [], begin
        for cut in np.unique(np.append(more, end)):
            parts.append(np.arange(shown, cut))
            asked.append(np.zeros(cut - shown, bool))
            parts.append(self._after(source, int(cut), begin, stop, horizon, rng))
            asked.append(np.ones(len(parts[-1]), bool))
            shown = cut
        return np.concatenate(parts), np.concatenate(asked)

    def _after(
        self, source: Source, cut: int, begin: int, stop: int, horizon: float, rng: np.random.Generator
    ) -> np.ndarray:
        """Rows asked after a cut: at most `most` of those within the horizon, and at least the next."""
        since = source.times[cut - 1] if cut > begin else source.times[min(cut, stop - 1)]
        # rounding must not lose a row that lies exactly at the horizon
        reach = since + horizon * (1 + 1e-9)
        count = max(1, int(np.searchsorted(source.times[cut:stop], reach, side="right")))
        count = min(count, stop - cut)
        if count <= self.most or self.known:
            return np.arange(cut, cut + count)
        return cut + np.sort(rng.choice(count, self.most, replace=False))


def join(parts: list[Windows]) -> Windows:
    """Windows of one source behind each other."""
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS]
    series, first, earliest, low, high, stop = columns
    return Windows(parts[0].source, series, first, earliest, low, high, stop, parts[0].context)


def small_spreads(windows: Windows) -> np.ndarray:
    """A small but usual standard deviation of each channel within a window, (c,): the 5 % quantile, at most 1."""
    source, out = windows.source, np.ones(windows.seen.shape[1])
    rows = ranges(windows.offsets, windows.lengths)
    owner = np.repeat(np.arange(len(windows)), windows.lengths)
    for channel in range(len(out)):
        kept = windows.seen[rows, channel]
        x, of = source.values[rows[kept], channel].numpy().astype(np.float64), owner[kept]
        count = np.bincount(of, minlength=1)
        mean = np.bincount(of, x) / np.maximum(count, 1) if len(x) else count
        deviation = np.sqrt(np.bincount(of, (x - mean[of]) ** 2) / np.maximum(count, 1)) if len(x) else np.zeros(1)
        deviation = deviation[deviation > 0]
        if len(deviation):
            out[channel] = np.clip(np.quantile(deviation, 0.05), 1e-6, 1.0)
    return out
