"""Targets with rows of their own: which series they belong to, when they are asked, and what stands at those rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from tsssm.data import Panel, as_panel
from tsssm.data.frames import is_long, show
from tsssm.errors import explain
from tsssm.estimators.horizon import times_asked
from tsssm.estimators.queries import merged, owners
from tsssm.estimators.roles import channel_numbers


def split_channels(X: Any, target: Sequence[str]) -> tuple[Panel, Panel]:
    """The panel without the channels of a target, and those channels on the rows where one of them has a value."""
    panel = as_panel(X)
    names = [panel.channels[j] for j in channel_numbers(panel, target, "target")]
    rest = [name for name in panel.channels if name not in names]
    if not rest:
        came = f"all channels of X are targets: {', '.join(names)}"
        raise ValueError(explain("X must hold channels beside `target`", came, "Leave the inputs out of `target`"))
    rows = panel.select(names)
    return panel.select(rest), rows.rows(np.isfinite(rows.values).any(1))


def is_rows(y: Any) -> bool:
    """Whether targets come as rows with times: a panel or a long table."""
    return isinstance(y, Panel) or is_long(y)


def by_row(panel: Panel, y: np.ndarray) -> np.ndarray:
    """An array of targets by row of the panel, (rows, ...): (n,) is the same at all rows of a series, (n, l, ...) not."""
    check_consistent_length(panel, y)
    if y.ndim == 1:
        return np.repeat(y, panel.lengths)
    if (panel.lengths == y.shape[1]).all():
        return y.reshape(-1, *y.shape[2:])
    raise ValueError(
        explain(
            "an array y must have a column for each row of the series",
            f"y has shape {y.shape}, and the series have {panel.lengths.min()} to {panel.lengths.max()} rows",
            "Pass series of unequal length, or targets at other times, as a Panel or long table",
        )
    )


def aligned(rows: Panel, panel: Panel) -> Panel:
    """The series of `rows` in the order of those of `panel`, by id; series that are not among them have no rows."""
    if np.array_equal(rows.ids, panel.ids):
        return rows
    ids, own = panel.ids.tolist(), rows.ids.tolist()
    unknown = [id for id in own if id not in set(ids)]
    if unknown or len(set(ids)) < len(ids) or len(set(own)) < len(own):
        came = f"{show(unknown[0])} is not in X" if unknown else "the ids differ, and some come twice"
        do = "Take y from the same series as X, in the same order"
        raise ValueError(explain("the series of y must be those of X", came, do))
    place = {id: i for i, id in enumerate(own)}
    lengths = np.array([rows.lengths[place[id]] if id in place else 0 for id in ids], dtype=np.int64)
    picked = rows[np.array([place[id] for id in ids if id in place], dtype=np.int64)]
    return replace(picked, offsets=np.concatenate([[0], np.cumsum(lengths)]), ids=panel.ids, static=None)


def encoded(rows: Panel, panel: Panel) -> np.ndarray:
    """Times of rows (m,) on the clock of another panel."""
    if rows.clock == panel.clock or not rows.n_rows:
        return rows.times
    try:
        return panel.clock.encode(rows.stamps())
    except (TypeError, ValueError) as error:
        came = f"X has {panel.clock.kind} times and the targets {rows.clock.kind} times: {error}"
        raise ValueError(explain("targets must be on a clock of the kind of X", came, "Convert one of them")) from error


def rows_of(times: Any, panel: Panel) -> Panel:
    """The rows asked, from a panel or long table of them, an array of times for all series, or a dict of such by id."""
    if is_long(times):
        # other columns, such as labels, need not be numbers
        own = {"id", "time"} <= set(times.columns)
        times = Panel.from_frame(times, "id", "time", []) if own else Panel.from_sktime(times[[]])
    if isinstance(times, Panel):
        return aligned(times, panel)
    asked = times_asked(times, panel)
    offsets = np.concatenate([[0], np.cumsum([len(own) for own in asked])]).astype(np.int64)
    every = np.concatenate([np.empty(0), *asked])
    return replace(panel, times=every, values=np.empty((len(every), 0)), offsets=offsets, channels=(), ticks=None)


def on_rows(rows: Panel, panel: Panel) -> bool:
    """Whether targets stand at the rows of the panel, all of them."""
    return np.array_equal(rows.offsets, panel.offsets) and np.array_equal(encoded(rows, panel), panel.times)


def joined(panel: Panel, rows: Panel, later: float, near: float) -> tuple[Panel, np.ndarray]:
    """The panel with silent rows where targets are asked, and the row of it behind each of `rows`, (m,).

    Parameters
    ----------
    panel : Panel
        Inputs.
    rows : Panel
        Rows of the targets, of the same series.
    later : float
        How much later than its time a target is asked, in the unit of the clock.
    near : float
        A time asked so close to a row of the panel is that of the row: sums of times are off by rounding.
    """
    times, own = encoded(rows, panel) + later, panel.times
    asked = []
    for i in range(len(panel)):
        wish = times[rows.offsets[i] : rows.offsets[i + 1]]
        here = own[panel.offsets[i] : panel.offsets[i + 1]]
        if near and len(here) and len(wish):
            place = np.searchsorted(here, wish - near).clip(max=len(here) - 1)
            wish = np.where(np.abs(here[place] - wish) <= near, here[place], wish)
        asked.append(wish)
    every = merged(panel, asked, 0.0).panel
    place = [
        every.offsets[i] + np.searchsorted(every.times[every.offsets[i] : every.offsets[i + 1]], wish)
        for i, wish in enumerate(asked)
    ]
    return every, np.concatenate(place).astype(np.int64)


def refuse_apart(panel: Panel, rows: Panel) -> None:
    """Refuse targets of which a series has none within the time span of its inputs: the clocks do not fit."""
    seen, times = np.isfinite(panel.values).any(1), encoded(rows, panel)
    first, last = np.full(len(panel), np.inf), np.full(len(panel), -np.inf)
    np.minimum.at(first, owners(panel)[seen], panel.times[seen])
    np.maximum.at(last, owners(panel)[seen], panel.times[seen])
    owner, known = owners(rows), np.isfinite(rows.values).any(1)
    inside = known & (times >= first[owner]) & (times <= last[owner])
    some = np.bincount(owner[known], minlength=len(panel)) > 0
    bad = some & (last > first) & (np.bincount(owner[inside], minlength=len(panel)) == 0)
    if bad.any():
        i = int(bad.argmax())
        mine = times[known & (owner == i)]
        a, b, c, d = panel.stamps(np.array([mine.min(), mine.max(), first[i], last[i]]))
        came = f"series {show(panel.ids[i])} has targets from {a} to {b} and inputs from {c} to {d}"
        do = "Check the units and zones of both clocks; a number long after the inputs is for SSMRegressor"
        raise ValueError(explain("targets must lie within the time span of the inputs", came, do))
