"""Windows of a backtest: many cuts of long series, each a series of its own with a past and a future."""

from __future__ import annotations

import numpy as np

from tsssm.data import Panel
from tsssm.data.picking import stretches


def thin(panel: Panel, share: float, random_state: int = 0) -> Panel:
    """Keep each row with probability `share`: what is left lies at irregular times."""
    return panel.rows(np.random.default_rng(random_state).random(panel.n_rows) < share)


def backtest(
    panel: Panel,
    context: float,
    horizon: float,
    every: float,
    start: float | None = None,
    fresh: float | None = None,
) -> tuple[Panel, Panel]:
    """Cut each series at regular times into what was known and what came.

    Parameters
    ----------
    panel : Panel
    context, horizon : float
        How much of the past is kept and how far ahead is asked, in encoded time (seconds for datetimes).
    every : float
        Time between the cuts of a series.
    start : float, optional
        Encoded time of the first cut; by default one context after the first row of each series.
    fresh : float, optional
        A cut with nothing observed this shortly before it is left out; by default the horizon.

    Returns
    -------
    past, future : Panel
        One series a cut, named "id/number", with rows in (cut - context, cut] and (cut, cut + horizon].

    Examples
    --------
    >>> from tsssm.data import Panel
    >>> from tsssm.demo.windows import backtest
    >>> past, future = backtest(Panel.from_array([[1.0, 2.0, 3.0, 4.0, 5.0]]), 2.0, 1.0, every=1.0)
    >>> future.ids.tolist(), future.values[:, 0].tolist()
    (['0/0', '0/1'], [4.0, 5.0])
    """
    fresh = horizon if fresh is None else fresh
    bounds, names, owners = [], [], []
    for i, (times, _) in enumerate(panel):
        if not len(times):
            continue
        first = times[0] + context if start is None else start
        cuts = np.arange(first, times[-1], every)
        edges = np.searchsorted(times, [cuts - context, cuts, cuts + horizon], side="right").T
        newest = times[np.maximum(edges[:, 1] - 1, 0)]
        kept = (edges[:, 1] > edges[:, 0]) & (edges[:, 2] > edges[:, 1]) & (newest > cuts - fresh)
        bounds.append(edges[kept] + panel.offsets[i])
        names += [f"{panel.ids[i]}/{number}" for number in range(kept.sum())]
        owners += [i] * int(kept.sum())
    edges = np.concatenate([np.empty((0, 3), np.int64), *bounds]).astype(np.int64)
    return tuple(stretches(panel, edges[:, k], edges[:, k + 1], names, owners) for k in (0, 1))
