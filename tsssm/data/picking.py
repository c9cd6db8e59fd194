"""Parts and unions of panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tsssm.errors import explain

if TYPE_CHECKING:
    from tsssm.data.panel import Panel


def pick(panel: Panel, key: Any) -> Panel:
    """Give the series that an int, slice, mask or index array names."""
    key = _first_axis(key)
    if isinstance(key, slice) and key.step in (None, 1):
        start, stop, _ = key.indices(len(panel))
        return _slice(panel, start, max(start, stop))
    if isinstance(key, (int, np.integer)) and not isinstance(key, (bool, np.bool_)):
        i = _in_range(np.array([key]), len(panel))[0]
        return _slice(panel, int(i), int(i) + 1)
    index = np.arange(len(panel))[key] if isinstance(key, slice) else _as_index(key, len(panel))
    lengths = panel.lengths[index]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.arange(offsets[-1]) + np.repeat(panel.offsets[:-1][index] - offsets[:-1], lengths)
    static = None if panel.static is None else panel.static.take(index)
    return _trusted(panel, rows, offsets, panel.ids[index], static)


def keep_rows(panel: Panel, mask: np.ndarray) -> Panel:
    """Give all series with only the rows where the mask is True."""
    if mask.dtype != bool or mask.shape != (panel.n_rows,):
        came = f"got {mask.dtype} of shape {mask.shape} for {panel.n_rows} rows"
        raise ValueError(explain("the mask must be boolean with one entry for each row", came, "Mend the mask"))
    kept = np.concatenate([[0], np.cumsum(mask)]).astype(np.int64)
    return _trusted(panel, mask, kept[panel.offsets], panel.ids, panel.static)


def select(panel: Panel, channels: list[str]) -> Panel:
    """Give the named channels."""
    unknown = [name for name in channels if name not in panel.channels]
    if unknown:
        came = f"got {unknown[0]!r}, and the panel has {', '.join(panel.channels)}"
        raise ValueError(explain("channels must be among those of the panel", came, "Mend the name"))
    columns = [panel.channels.index(name) for name in channels]
    return panel.with_values(panel.values[:, columns], channels)


def stretches(panel: Panel, begin: np.ndarray, end: np.ndarray, names: list[str], owners: list[int]) -> Panel:
    """Give stretches of rows, which may overlap, as series of their own, with the statics of their owners."""
    counts = end - begin
    offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
    rows = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], counts)
    static = None if panel.static is None else panel.static.iloc[owners].set_axis(names)
    return _trusted(panel, rows, offsets, np.array(names, dtype=object), static)


def concat(panels: list[Panel]) -> Panel:
    """Put the series of several panels one after the other, on a clock that holds all their times."""
    if not panels:
        raise ValueError(explain("concat must get a panel", "an empty list came", "Pass at least one"))
    first = panels[0]
    clock = first.clock
    for panel in panels[1:]:
        clock = clock.common(panel.clock)
        if panel.channels != first.channels:
            came = f"got {first.channels} and {panel.channels}"
            raise ValueError(explain("panels must have the same channels", came, "Use select or with_values"))
    read = [(p.times, p.ticks) if p.clock == clock else clock.read(p.stamps()) for p in panels]
    times = np.concatenate([t for t, _ in read])
    exact = any(k is not None for _, k in read)
    ticks = np.concatenate([clock.steps(t) if k is None else k for t, k in read]) if exact else None
    return type(first)(
        times,
        np.concatenate([p.values for p in panels]),
        np.concatenate([[0], np.cumsum(np.concatenate([p.lengths for p in panels]))]).astype(np.int64),
        _join_ids([p.ids for p in panels]),
        first.channels,
        _join_static([p.static for p in panels]),
        clock,
        ticks,
        first.names,
    )


def _join_ids(ids: list[np.ndarray]) -> np.ndarray:
    # NumPy would turn the numbers among texts into texts.
    kinds = {i.dtype.kind for i in ids}
    return np.concatenate(ids if len(kinds) == 1 else [i.astype(object) for i in ids])


def _join_static(tables: list[pd.DataFrame | None]) -> pd.DataFrame | None:
    given = [table for table in tables if table is not None]
    if not given:
        return None
    if len(given) < len(tables) or any(set(table.columns) != set(given[0].columns) for table in given):
        came = "some panels have none, or other columns"
        raise ValueError(explain("panels must have the same static features", came, "Add or drop columns of `static`"))
    return pd.concat(given)


def _slice(panel: Panel, start: int, stop: int) -> Panel:
    begin, end = panel.offsets[start], panel.offsets[stop]
    static = None if panel.static is None else panel.static.iloc[start:stop]
    offsets = panel.offsets[start : stop + 1] - begin
    return _trusted(panel, slice(int(begin), int(end)), offsets, panel.ids[start:stop], static)


def _trusted(panel: Panel, rows: Any, offsets: np.ndarray, ids: np.ndarray, static: Any) -> Panel:
    """Build from parts of a checked panel without checking every row again."""
    part = object.__new__(type(panel))
    part.__dict__.update(
        vars(panel),
        times=panel.times[rows],
        values=panel.values[rows],
        offsets=offsets,
        ids=ids,
        static=static,
        ticks=None if panel.ticks is None else panel.ticks[rows],
    )
    return part


def _first_axis(key: Any) -> Any:
    if not isinstance(key, tuple):
        return key
    rest = key[1:]
    if key and all(k is Ellipsis or (isinstance(k, slice) and k == slice(None)) for k in rest):
        return key[0]
    came = f"got the key {key!r}"
    raise IndexError(explain("a panel is indexed by series alone", came, "Use select(channels) or rows(mask) as well"))


def _as_index(key: Any, n: int) -> np.ndarray:
    index = np.asarray(key)
    if index.dtype == bool:
        if index.shape != (n,):
            came = f"its shape is {index.shape} for {n} series"
            raise IndexError(explain("a mask must have one entry for each series", came, "Mend the mask"))
        return np.flatnonzero(index)
    if index.size == 0:
        return np.empty(0, dtype=np.int64)
    if index.ndim != 1 or index.dtype.kind not in "iu":
        came = f"got {index.dtype} of shape {index.shape}"
        do = "Use np.flatnonzero(np.isin(panel.ids, wanted)) to find series by id"
        raise IndexError(explain("a panel is indexed by positions or a mask", came, do))
    return _in_range(index, n)


def _in_range(index: np.ndarray, n: int) -> np.ndarray:
    bad = (index < -n) | (index >= n)
    if bad.any():
        raise IndexError(explain("positions must exist", f"got {index[bad][0]} for {n} series", "Mend the index"))
    return np.where(index < 0, index + n, index)
