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
    order, k = np.argsort(ranks), len(names)
    bars = alike(ranks[order], width)
    under = -0.5 - 0.35 * len(bars)
    rows = -(-k // 2)
    ax.set(xlim=(0.95, k + 0.05), ylim=(under - 0.7 * rows, 1.6), xticks=range(1, k + 1), yticks=[])
    ax.spines[["left", "right", "bottom"]].set_visible(False)
    ax.spines["top"].set_position(("data", 0))
    ax.xaxis.tick_top()
    for place, model in enumerate(order):
        # the better half is named on the left and the others on the right, so that no line crosses a name
        left = place < rows
        y = under - 0.7 * (place if left else k - 1 - place)
        end, gap = (0.95, -0.05) if left else (k + 0.05, 0.05)
        ax.plot([ranks[model]] * 2 + [end], [0, y, y], color="0.4", lw=1, clip_on=False)
        name = f"{names[model]}  {ranks[model]:.2f}" if left else f"{ranks[model]:.2f}  {names[model]}"
        ax.text(end + gap, y, name, va="center", ha="right" if left else "left")
    for level, (first, last) in enumerate(bars):
        # a little longer than the lines that it joins
        ends = ranks[order[first]] - 0.03, ranks[order[last]] + 0.03
        ax.plot(ends, [-0.35 - 0.35 * level] * 2, color="k", lw=4, solid_capstyle="butt")
    ax.errorbar(1 + width / 2, 1.2, xerr=width / 2, color="k", capsize=4, lw=1.5)
    ax.text(1 + width + 0.1, 1.2, f"critical difference {width:.2f}, {len(scores)} sets", va="center")


def alike(ranks: np.ndarray, width: float) -> list[tuple[int, int]]:
    """Longest runs of increasing ranks that lie within `width`, of two or more, as their first and last places.

    Examples
    --------
    >>> alike(np.array([1.0, 1.5, 2.2, 4.0]), 1.0)
    [(0, 1), (1, 2)]
    """
    last = np.searchsorted(ranks, ranks + width, side="right") - 1
    return [(i, int(j)) for i, j in enumerate(last) if j > max(i, last[i - 1] if i else 0)]
