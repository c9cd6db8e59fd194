"""Mean ranks with their critical difference, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.ranks import critical_difference, mean_ranks


def rank_picture(scores: np.ndarray, names: Sequence[str], ax: Any, alpha: float = 0.05) -> None:
    """Draw mean ranks; a bar joins models that lie closer than the critical difference of Nemenyi's test.

    Parameters
    ----------
    scores : ndarray, (sets, models)
        Higher is better.
    names : sequence of str
        Of the models.
    ax : Axes
        Emptied of its own frame.
    alpha : float, default 0.05
        Level of the test.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().subplots()
    >>> rank_picture(np.random.default_rng(0).random((9, 3)), ["a", "b", "c"], ax)
    >>> len(ax.texts)
    4
    """
    ranks, width = mean_ranks(scores), critical_difference(scores.shape[1], len(scores), alpha)
    order, level = np.argsort(ranks), 0
    ax.set(xlim=(1 - 0.1, len(names) + 0.1), ylim=(-len(names) - 1.5, 1), yticks=[])
    ax.spines[["left", "right", "bottom"]].set_visible(False)
    ax.xaxis.tick_top()
    for place, model in enumerate(order, start=1):
        ax.plot([ranks[model]] * 2, [0.6, -place], color="0.4", lw=1)
        ax.text(ranks[model] + 0.03, -place, f"{names[model]}  {ranks[model]:.2f}", va="center")
    ax.text(1, -len(names) - 1.2, f"critical difference {width:.2f}, {len(scores)} sets", color="0.4")
    reached = -1
    for first in range(len(order)):
        last = int(np.searchsorted(ranks[order], ranks[order[first]] + width, side="right")) - 1
        if last > max(first, reached):
            ax.plot(ranks[order[[first, last]]], [0.5 - 0.15 * level] * 2, color="k", lw=3)
            reached, level = last, level + 1
