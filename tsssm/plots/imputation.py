"""Imputations beside what was observed around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tsssm.data import Panel
from tsssm.plots.axes import COLORS, GREY, ends, legend_above, new_axes, observed, on_axis, set_time, tidy


@dataclass(frozen=True, eq=False)
class ImputationDisplay:
    """Observations, what was put in where nothing was observed, and its interval.

    Parameters
    ----------
    panel : Panel
        As observed, n series.
    completed : Panel
        n series with values also where `panel` has none, at the same or at more times.
    interval : Panel, optional
        What `predict_interval` gives, with channels such as "x[lower]" and "x[upper]".
    truth : Panel, optional
        Values that were hidden.
    coverage : float, optional
        Of the interval, for the legend.

    Examples
    --------
    >>> from tsssm.data.synthetic import damped_oscillators
    >>> from tsssm.plots import ImputationDisplay
    >>> panel, complete = damped_oscillators(1, random_state=0)
    >>> ImputationDisplay.from_predictions(panel, complete).plot(channel="velocity").get_ylabel()
    'velocity'
    """

    panel: Panel
    completed: Panel
    interval: Panel | None = None
    truth: Panel | None = None
    coverage: float | None = None

    @classmethod
    def from_predictions(
        cls,
        panel: Panel,
        completed: Panel,
        interval: Panel | None = None,
        truth: Panel | None = None,
        coverage: float | None = None,
    ) -> ImputationDisplay:
        """Take what an imputer gave."""
        return cls(panel, completed, interval, truth, coverage)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Panel, times: Any = None, coverage: float = 0.9, truth: Panel | None = None
    ) -> ImputationDisplay:
        """Ask a fitted imputer for the series of X at `times`; by default at their own rows."""
        times = X if times is None else times
        interval = estimator.predict_interval(X, times=times, coverage=coverage)
        return cls(X, estimator.predict(X, times=times), interval, truth, coverage)

    def plot(self, series: int = 0, channel: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Draw one channel of a series: filled points were observed, open ones put in.

        Parameters
        ----------
        series : int, default 0
        channel : str, optional
            May be left out where the panel has one.
        ax : Axes, optional
            By default those of a new figure.
        """
        ax = new_axes(ax)
        times, values = observed(self.completed, series, channel)
        x = on_axis(self.completed, times)
        if self.interval is not None:
            when, low, high = ends(self.interval, series, channel)
            share = "interval" if self.coverage is None else f"{self.coverage:.0%} interval"
            edge = on_axis(self.interval, when)
            ax.fill_between(edge, low, high, color=COLORS[1], alpha=0.2, lw=0, label=share)
        # one line through all: it is the model that joins the points here, and says how sure it is
        ax.plot(x, values, "-", color=COLORS[1], lw=1.2)
        seen, known = observed(self.panel, series, channel)
        put_in = ~np.isin(times, seen)
        ax.plot(x[put_in], values[put_in], "o", color=COLORS[1], mfc="white", ms=4, label="put in")
        ax.plot(on_axis(self.panel, seen), known, "o", color=GREY, ms=4, label="observed")
        if self.truth is not None:
            when, what = observed(self.truth, series, channel)
            ax.plot(on_axis(self.truth, when), what, "x", color=COLORS[0], ms=5, label="hidden truth")
        set_time(ax, self.panel)
        ax.set_ylabel(channel or self.panel.channels[0])
        legend_above(ax)
        return tidy(ax)
