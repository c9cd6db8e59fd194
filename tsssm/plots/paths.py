"""Pictures of what stochastic layers do: sample paths of states, their noise over time, and the drift between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from tsssm.data import Panel
from tsssm.diagnostics import StatePaths, state_paths
from tsssm.errors import explain
from tsssm.plots.axes import COLORS, GREY, legend_above, on_axis, set_time, tidy

# points of the drift field on each side
GRID = 15


def plot_paths(
    estimator: Any, X: Panel, series: int = 0, states: Sequence[int] = (0, 1), n: int = 30, axes: Any = None
) -> np.ndarray:
    """Draw sample paths of states behind a series, the noise that moves them, and the drift field of the first two.

    The field is that of the last row shown, the other states held at their means there; dots are where the paths end. The
    size of the noise is per square root of the unit of time: of a state, of log z for `GeometricSDE`, and as a share of the
    state for `LinearNoiseSDE`.

    Parameters
    ----------
    estimator : fitted estimator
        What `diagnostics.state_paths` takes.
    X : Panel
    series : int, default 0
    states : sequence of int, default (0, 1)
        Which states to draw, one or more.
    n : int, default 30
        Paths.
    axes : sequence of three Axes, optional
        By default those of a new figure.

    Raises
    ------
    ValueError
        Where there is no stochastic layer, or no such state.

    Examples
    --------
    >>> from tsssm import LatentSDEForecaster
    >>> from tsssm.data.synthetic import noisy_sines
    >>> from tsssm.plots import plot_paths
    >>> panel, _ = noisy_sines(20, random_state=0)
    >>> model = LatentSDEForecaster(3, d_state=2, epochs=1, random_state=0).fit(panel)
    >>> plot_paths(model, panel, series=3)[1].get_ylabel()
    'noise'
    """
    found = state_paths(estimator, X, series, n)
    d = found.states.shape[2]
    if not len(states) or not all(0 <= state < d for state in states):
        must, do = f"`states` must be numbers from 0 to {d - 1}", "Pass, say, states=(0,)"
        raise ValueError(explain(must, f"{tuple(states)} came", do))
    if axes is None:
        axes = plt.subplot_mosaic("AC;BC", figsize=(10, 4.5), width_ratios=(1.6, 1), layout="constrained")[1]
        axes["A"].sharex(axes["B"])
        axes["A"].tick_params(labelbottom=False)
        axes = [axes[name] for name in "ABC"]
    paths, noise, field = axes
    times = on_axis(X, found.times)
    for i, state in enumerate(states):
        color = COLORS[i % len(COLORS)]
        paths.plot(times, found.states[..., state].T, color=color, lw=0.6, alpha=0.35)
        paths.plot(times, found.states[..., state].mean(0), color=color, lw=1.8, label=f"state {state}")
        noise.plot(times, found.noise[:, state], color=color, lw=1.4)
    paths.set_ylabel("states")
    legend_above(paths)
    noise.set(ylabel="noise", ylim=(0, 1.1 * float(found.noise[:, list(states)].max())))
    set_time(noise, X)
    _draw_field(field, found, states)
    return np.array([tidy(ax) for ax in axes])


def _draw_field(ax: Axes, found: StatePaths, states: Sequence[int]) -> None:
    """Arrows of the drift over the range of two states, or its curve over that of one."""
    ends = found.states[:, -1]
    ranges = [_range(found.states[..., state]) for state in states[:2]]
    if len(states) == 1:
        x = np.repeat(ends.mean(0)[None], 200, 0)
        x[:, states[0]] = np.linspace(*ranges[0], 200)
        ax.axhline(0, color=GREY, lw=0.8, zorder=0)
        ax.plot(x[:, states[0]], found.drift(x)[:, states[0]], color=COLORS[0], lw=1.4)
        ax.set(xlabel=f"state {states[0]}", ylabel="drift")
        return
    i, j = states[:2]
    across, up = np.meshgrid(*(np.linspace(*each, GRID) for each in ranges))
    x = np.broadcast_to(ends.mean(0), (GRID, GRID, ends.shape[1])).copy()
    x[..., i], x[..., j] = across, up
    drift = found.drift(x)
    ax.quiver(across, up, drift[..., i], drift[..., j], color=GREY, angles="xy", width=0.004)
    ax.plot(ends[:, i], ends[:, j], "o", color=COLORS[0], ms=3, alpha=0.7, mew=0)
    ax.set(xlabel=f"state {i}", ylabel=f"state {j}")
    ax.set_title("drift", loc="left", fontsize="medium")


def _range(values: np.ndarray) -> tuple[float, float]:
    """What the values span, with a margin, and never a point."""
    low, high = float(values.min()), float(values.max())
    margin = 0.1 * (high - low) or 1.0
    return low - margin, high + margin
