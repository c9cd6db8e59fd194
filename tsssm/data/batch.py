"""From a panel to batches: flat tensors made once, rows laid end to end without padding."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from tsssm.data.panel import Panel
from tsssm.data.scaling import Scaling
from tsssm.grid import Grid


@dataclass(frozen=True, eq=False)
class Batch:
    """A partly observed signal on a time grid, and what is asked of it.

    Shapes: b rows of l places hold k series end to end; c channels.

    Parameters
    ----------
    values : Tensor, (b, l, c)
        Scaled values, 0 where not `observed`.
    observed : Tensor of bool, (b, l, c)
        What the model may see.
    grid : Grid
        Gaps, padding, series starts.
    static : Tensor, (k, s)
        Covariates of each series, in the order of the series along the batch.
    order : Tensor of int, (k,)
        Which series of the question each series along the batch is.
    rows : Tensor of int, (r,)
        Row of the source behind each row of the batch that is not padding.
    place : Tensor of int, (r,)
        Flat place in b * l of each of them.
    target : Tensor, (b, l, t), or None
        What is to be completed or predicted row by row, 0 where not `wanted`.
    wanted : Tensor of bool, (b, l, t), or None
        Entries of `target` that count. Where targets are the channels themselves, `observed` and `wanted` never
        overlap, so a target cannot leak.
    label : Tensor, (k, ...) or None
        Class or numbers of each series, where those are the question.
    calendar : Tensor, (b, l, p), or None
        What each row's own time tells, of silent rows as well: it is known of any time, past or future.
    """

    values: Tensor
    observed: Tensor
    grid: Grid
    static: Tensor
    order: Tensor
    rows: Tensor
    place: Tensor
    target: Tensor | None = None
    wanted: Tensor | None = None
    label: Tensor | None = None
    calendar: Tensor | None = None

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Batch:
        """The batch on another device, its numbers in another precision."""
        moved = {
            name: part.to(device=device, dtype=dtype if part.is_floating_point() else None)
            for name, part in vars(self).items()
            if isinstance(part, Tensor)
        }
        return replace(self, grid=self.grid.to(device, dtype), **moved)


@dataclass(frozen=True, eq=False)
class Question:
    """Which rows of which series go into a batch, and what is hidden there and asked.

    Parameters
    ----------
    rows : ndarray of int, (r,)
        Rows of the source, series after series.
    counts : ndarray of int, (k,)
        How many of them belong to each series.
    series : ndarray of int, (k,)
        Number of each series in the source; one series may come several times, cut in several places.
    hidden : ndarray of bool, (r, c) or None
        Entries the model must not see.
    wanted : ndarray of bool, (r, t) or None
        Entries it is asked for.
    blank : bool
        Whether rows that show nothing and ask nothing stay.
    """

    rows: np.ndarray
    counts: np.ndarray
    series: np.ndarray
    hidden: np.ndarray | None = None
    wanted: np.ndarray | None = None
    blank: bool = False


class Source:
    """A panel as flat tensors, scaled once, from which batches are cut.

    Parameters
    ----------
    panel : Panel
    scaling : Scaling
        Learned on the training panel.
    time_scale : float
        Length of one time scale in the panel's unit of time.
    static : ndarray, (n, s), optional
    label : ndarray, (n, ...), optional
        Class numbers (int64) or numbers.
    target : ndarray, (rows, t), optional
        Row-by-row targets, NaN where there is none; the scaled values themselves if not given.
    calendar : ndarray, (rows, p), optional
        Features of each row's time.
    """

    def __init__(
        self,
        panel: Panel,
        scaling: Scaling,
        time_scale: float,
        static: np.ndarray | None = None,
        label: np.ndarray | None = None,
        target: np.ndarray | None = None,
        calendar: np.ndarray | None = None,
    ):
        # one blank row at the end stands for a series without any row: it shows nothing and can still be asked
        blank = np.full((1, panel.values.shape[1]), np.nan)
        scaled = np.concatenate([scaling.transform(panel.values), blank])
        self.seen = np.isfinite(scaled)
        self.values = torch.from_numpy(np.where(self.seen, scaled, 0.0).astype(np.float32))
        self.times = np.append(panel.times / time_scale, 0.0)
        self.offsets = panel.offsets
        self.lengths = np.diff(panel.offsets)
        self.static = torch.zeros(len(panel), 0) if static is None else torch.from_numpy(static.astype(np.float32))
        self.label = None if label is None else torch.from_numpy(label)
        self.calendar = None
        if calendar is not None:
            padded = np.concatenate([calendar, np.zeros((1, calendar.shape[1]))])
            self.calendar = torch.from_numpy(padded.astype(np.float32))
        if target is None:
            self.asked, self.target = self.seen, self.values
        else:
            target = np.concatenate([target, np.full((1, target.shape[1]), np.nan)])
            self.asked = np.isfinite(target)
            self.target = torch.from_numpy(np.where(self.asked, target, 0.0).astype(np.float32))

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, question: Question) -> Batch:
        """Lay the rows of a question end to end on a grid. Rows that show and ask nothing are left out, unless it keeps them."""
        rows, counts, wanted = question.rows, question.counts, question.wanted
        shown = self.seen[rows] if question.hidden is None else self.seen[rows] & ~question.hidden
        keep = shown.any(1) if wanted is None else shown.any(1) | wanted.any(1)
        if not (question.blank or keep.all()):
            owner = np.repeat(np.arange(len(counts)), counts)
            counts = np.bincount(owner[keep], minlength=len(counts))
            rows, shown = rows[keep], shown[keep]
            wanted = None if wanted is None else wanted[keep]
        if (counts == 0).any():
            gaps = np.cumsum(counts)[counts == 0]
            rows, shown = np.insert(rows, gaps, len(self.times) - 1), np.insert(shown, gaps, False, axis=0)
            wanted = None if wanted is None else np.insert(wanted, gaps, False, axis=0)
            counts = np.maximum(counts, 1)
        place, shape, starts = lay_out(counts)
        index, where = torch.from_numpy(rows), torch.from_numpy(place)
        mask = torch.from_numpy(shown)
        spread = partial(_spread, where=None if (counts == shape[1]).all() else where, shape=shape)
        values = self.values.index_select(0, index)
        order = np.argsort(starts)
        series = torch.from_numpy(question.series[order])
        asked = None if wanted is None else torch.from_numpy(wanted)
        return Batch(
            # values are 0 where nothing was observed: only what is hidden has to go
            values=spread(values if question.hidden is None else values * mask),
            observed=spread(mask),
            grid=self._grid(rows, counts, place, shape, shown.any(1)),
            target=None if asked is None else spread(self.target[index] * asked),
            wanted=None if asked is None else spread(asked),
            static=self.static[series],
            label=None if self.label is None else self.label[series],
            calendar=None if self.calendar is None else spread(self.calendar[index]),
            order=torch.from_numpy(order),
            rows=index,
            place=where,
        )

    def _grid(
        self, rows: np.ndarray, counts: np.ndarray, place: np.ndarray, shape: tuple[int, int], active: np.ndarray
    ) -> Grid:
        """The clock of rows at these flat places."""
        starts = np.cumsum(counts) - counts
        gap = np.ones(len(rows))
        np.subtract(self.times[rows[1:]], self.times[rows[:-1]], out=gap[1:])
        gap[starts] = 1.0
        dt = np.zeros(shape[0] * shape[1], np.float32)
        masks = np.zeros((3, shape[0] * shape[1]), bool)
        dt[place], masks[0, place], masks[2, place] = gap, True, active
        masks[1, place[starts]] = True
        parts = [torch.from_numpy(part.reshape(shape)) for part in (dt, *masks)]
        return Grid(*parts)


def lay_out(counts: np.ndarray) -> tuple[np.ndarray, tuple[int, int], np.ndarray]:
    """Place series of these lengths end to end in rows as long as the longest: best fit, longest first.

    Returns the flat place of each row, the shape (b, l) and the flat place where each series starts. Series of one
    length fill their rows exactly; mixed lengths leave a few per cent of padding.
    """
    width = max(1, int(counts.max(initial=1)))
    if (counts == width).all():
        starts = np.arange(len(counts)) * width
        return np.arange(len(counts) * width), (len(counts), width), starts
    starts = np.empty(len(counts), np.int64)
    spaces: list[tuple[int, int]] = []
    used = 0
    for series in np.argsort(-counts, kind="stable"):
        count = int(counts[series])
        fit = bisect.bisect_left(spaces, (count, -1))
        if fit < len(spaces):
            space, row = spaces.pop(fit)
        else:
            space, row, used = width, used, used + 1
        starts[series] = row * width + width - space
        if space > count:
            bisect.insort(spaces, (space - count, row))
    ends = np.cumsum(counts)
    return np.repeat(starts - ends + counts, counts) + np.arange(ends[-1]), (used, width), starts


def _spread(rows: Tensor, where: Tensor | None, shape: tuple[int, int]) -> Tensor:
    """Rows (r, c) at their flat places in a batch (b, l, c), zero elsewhere; None where they fill it in order."""
    if where is None:
        return rows.view(*shape, -1)
    out = rows.new_zeros(shape[0] * shape[1], rows.shape[1])
    out[where] = rows
    return out.view(*shape, -1)
