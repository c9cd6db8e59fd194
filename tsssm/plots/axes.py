"""What all plots share: axes, colours, the time axis of a panel, and lines that break at gaps."""

from __future__ import annotations

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter

from tsssm.data import Panel
from tsssm.errors import explain

# Okabe and Ito's palette without yellow: told apart by colour-blind readers, too.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
GREY = "#6b7280"
# A stretch of so many median gaps without an observation is a gap.
LONG = 4.0
# seconds in the largest unit that a timedelta axis of some length is read in
UNITS = ((172_800.0, 86_400.0, "days"), (7_200.0, 3_600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))


def new_axes(ax: Axes | None) -> Axes:
    """Give the axes, or those of a new figure."""
    return plt.subplots(figsize=(8, 3), layout="constrained")[1] if ax is None else ax


def legend_above(ax: Axes) -> None:
    """Put the legend in a line above the axes, where it hides no data."""
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=5, borderaxespad=0.2)


def tidy(ax: Axes) -> Axes:
    """Take away the frame where it says nothing."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def on_axis(panel: Panel, times: np.ndarray) -> np.ndarray:
    """Give encoded times as matplotlib reads them: datetimes in local time, timedeltas in a fitting unit, numbers."""
    if panel.clock.kind == "datetime":
        stamps = panel.clock.stamps(times)
        return (stamps if stamps.tz is None else stamps.tz_localize(None)).to_numpy()
    if panel.clock.kind == "timedelta":
        return times / time_unit(panel)[0]
    return times + panel.clock.origin


def time_unit(panel: Panel) -> tuple[float, str]:
    """Give the unit of a timedelta axis in seconds, and its name."""
    span = float(np.ptp(panel.times)) if panel.n_rows else 0.0
    return next((size, name) for least, size, name in UNITS if span >= least)


def set_time(ax: Axes, panel: Panel) -> None:
    """Name the time axis, and write dates without repeating what does not change."""
    name = panel.names[1]
    ax.set_xlabel(f"{name} [{time_unit(panel)[1]}]" if panel.clock.kind == "timedelta" else name)
    if panel.clock.kind == "datetime" and panel.n_rows:
        ax.xaxis.set_major_formatter(ConciseDateFormatter(ax.xaxis.get_major_locator()))


def observed(panel: Panel, series: int, channel: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Give encoded times and values of what one series observed in a channel, by default in the only one."""
    if channel is None:
        if len(panel.channels) != 1:
            came = f"the panel has {len(panel.channels)}: {', '.join(panel.channels[:6])}"
            raise ValueError(explain("`channel` must be named where there are several", came, "Pass one of them"))
        channel = panel.channels[0]
    one = panel[series].select(channel)
    seen = np.isfinite(one.values[:, 0])
    return one.times[seen], one.values[seen, 0]


def ends(interval: Panel, series: int, channel: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give encoded times and both ends of the interval of one channel of a series, by default of the only one."""
    names = [name.removesuffix("[lower]") for name in interval.channels if name.endswith("[lower]")]
    if channel is None and len(names) == 1:
        channel = names[0]
    if channel not in names:
        came = f"got {channel!r}, and the panel has {', '.join(interval.channels[:6])}"
        raise ValueError(explain("an interval has channels such as 'x[lower]' and 'x[upper]'", came, "Name one as 'x'"))
    times, low = observed(interval, series, f"{channel}[lower]")
    return times, low, observed(interval, series, f"{channel}[upper]")[1]


def long_gap(times: np.ndarray) -> float:
    """Give the time above which a step between observations is a gap: `LONG` times their median."""
    steps = np.diff(times)
    return LONG * float(np.median(steps)) if len(steps) else np.inf


def pieces(times: np.ndarray, gap: float | None) -> list[slice]:
    """Cut increasing times where a step is longer than `gap` (by default `long_gap`)."""
    if not len(times):
        return []
    limit = long_gap(times) if gap is None else gap
    cuts = [0, *(np.flatnonzero(np.diff(times) > limit) + 1).tolist(), len(times)]
    return [slice(start, stop) for start, stop in pairwise(cuts)]
