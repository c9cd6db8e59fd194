"""Series as they were observed: lines that break at gaps, points, and a rug of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from tsssm.data import Panel
from tsssm.plots.axes import COLORS, ends, new_axes, observed, on_axis, pieces, set_time, tidy

# More points than this are drawn as a line alone; single ones between gaps stay points.
MANY = 150


def plot_series(
    panel: Panel,
    series: int = 0,
    channel: str | None = None,
    *,
    gap: float | None = None,
    ax: Axes | None = None,
    color: str = COLORS[0],
    label: str | None = None,
    rug: bool = True,
) -> Axes:
    """Draw one channel of a series: a line where observations are close, nothing through a gap.

    Parameters
    ----------
    panel : Panel
    series : int, default 0
        Its place in the panel.
    channel : str, optional
        May be left out where the panel has one.
    gap : float, optional
        A step longer than this, in the panel's encoded time (seconds for datetimes), is left open. By default four
        times the median step of what is drawn.
    ax : Axes, optional
        By default those of a new figure.
    color, label : str
        Of the line.
    rug : bool, default True
        Whether a tick at the bottom marks each observation.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the panel has several channels and none is named.

    Examples
    --------
    >>> from tsssm.data.synthetic import noisy_sines
    >>> from tsssm.plots import plot_series
    >>> plot_series(noisy_sines(2, random_state=0)[0], 1).get_ylabel()
    'x'
    """
    ax = new_axes(ax)
    times, values = observed(panel, series, channel)
    x = on_axis(panel, times)
    points = len(times) <= MANY
    for piece in pieces(times, gap):
        alone = piece.stop - piece.start == 1
        ax.plot(x[piece], values[piece], "o-" if points or alone else "-", color=color, ms=3, lw=1.2, label=label)
        label = None
    if rug:
        # in axes coordinates vertically, so that ticks stay at the bottom whatever the values are
        ax.plot(
            x, np.full(len(x), 0.0), "|", color=color, ms=8, mew=0.6, transform=ax.get_xaxis_transform(), clip_on=False
        )
    ax.margins(y=0.1)
    set_time(ax, panel)
    ax.set_ylabel(channel or panel.channels[0])
    return tidy(ax)


def plot_events(
    panel: Panel, series: int = 0, channels: Sequence[str] | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw when each channel of a series was observed: one line of ticks a channel.

    Parameters
    ----------
    panel : Panel
    series : int, default 0
        Its place in the panel.
    channels : list of str, optional
        From top to bottom; by default all that were observed.
    ax : Axes, optional
        By default those of a new figure.

    Returns
    -------
    Axes

    Examples
    --------
    >>> from tsssm.data.synthetic import damped_oscillators
    >>> from tsssm.plots import plot_events
    >>> [text.get_text() for text in plot_events(damped_oscillators(1, random_state=0)[0]).get_yticklabels()]
    ['position', 'velocity']
    """
    one = panel[series]
    if channels is None:
        channels = [name for name, seen in zip(one.channels, np.isfinite(one.values).any(0), strict=True) if seen]
    ax = new_axes(ax)
    for line, name in enumerate(channels):
        x = on_axis(panel, observed(one, 0, name)[0])
        ax.plot(x, np.full(len(x), line), "|", color=COLORS[0], ms=7, mew=0.9)
    ax.set_yticks(range(len(channels)), channels, fontsize="small")
    set_time(ax, panel)
    ax.set_ylim(max(len(channels), 1) - 0.5, -0.5)
    ax.grid(axis="y", color="#e5e7eb", lw=0.6)
    ax.set_axisbelow(True)
    return tidy(ax)


def plot_channels(
    panel: Panel,
    series: int = 0,
    channels: Sequence[str] | None = None,
    *,
    gap: float | None = None,
    axes: Any = None,
) -> np.ndarray:
    """Draw channels of a series one under another on the same time axis, each with its rug of events.

    Parameters
    ----------
    panel : Panel
    series : int, default 0
        Its place in the panel.
    channels : list of str, optional
        From top to bottom; by default all that were observed.
    gap : float, optional
        As in `plot_series`.
    axes : array of Axes, optional
        One a channel; by default those of a new figure.

    Returns
    -------
    ndarray of Axes

    Examples
    --------
    >>> from tsssm.data.synthetic import damped_oscillators
    >>> from tsssm.plots import plot_channels
    >>> plot_channels(damped_oscillators(1, random_state=0)[0]).shape
    (2,)
    """
    one = panel[series]
    if channels is None:
        channels = [name for name, seen in zip(one.channels, np.isfinite(one.values).any(0), strict=True) if seen]
    if axes is None:
        size = (8, 0.6 + 1.1 * len(channels))
        axes = plt.subplots(len(channels), sharex=True, squeeze=False, figsize=size, layout="constrained")[1][:, 0]
    for i, name in enumerate(channels):
        plot_series(one, 0, name, gap=gap, ax=axes[i], color=COLORS[i % len(COLORS)])
        axes[i].set_ylabel(name, rotation=0, ha="right", va="center")
        if i < len(channels) - 1:
            axes[i].set_xlabel("")
    return np.asarray(axes)


def plot_interval(
    interval: Panel,
    series: int = 0,
    channel: str | None = None,
    *,
    gap: float | None = None,
    ax: Axes | None = None,
    color: str = COLORS[1],
    label: str | None = None,
) -> Axes:
    """Draw an interval as a band; it breaks at gaps as lines do.

    Parameters
    ----------
    interval : Panel
        What `predict_interval` gives: channels "x[lower]" and "x[upper]" for each channel "x".
    series, channel, gap, ax, color, label
        As in `plot_series`.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm.data import Panel
    >>> from tsssm.plots import plot_interval
    >>> panel = Panel.from_array(np.array([[[1.0, 2.0], [1.5, 2.5]]]), channels=("x[lower]", "x[upper]"))
    >>> len(plot_interval(panel).collections)
    1
    """
    ax = new_axes(ax)
    times, low, high = ends(interval, series, channel)
    x = on_axis(interval, times)
    for piece in pieces(times, gap):
        if piece.stop - piece.start == 1:
            # a band of no width would not be seen
            ax.vlines(x[piece], low[piece], high[piece], color=color, alpha=0.25, lw=3, label=label)
        else:
            ax.fill_between(x[piece], low[piece], high[piece], color=color, alpha=0.2, lw=0, label=label)
        label = None
    return tidy(ax)
