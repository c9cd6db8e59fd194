"""Forecasts beside what was known before them and what came after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tsssm.data import Panel
from tsssm.plots.axes import COLORS, GREY, legend_above, new_axes, observed, on_axis, pieces, set_time, tidy
from tsssm.plots.series import plot_interval, plot_series


@dataclass(frozen=True, eq=False)
class ForecastDisplay:
    """Past, forecast with its interval, and what came true, of the series of a panel.

    Parameters
    ----------
    past : Panel
        What was known, n series.
    forecast : Panel
        n series of the channels forecast, at later times.
    interval : Panel, optional
        What `predict_interval` gives, with channels such as "x[lower]" and "x[upper]".
    truth : Panel, optional
        What came.
    coverage : float, optional
        Of the interval, for the legend.

    Examples
    --------
    >>> from tsssm.data.synthetic import noisy_sines
    >>> from tsssm.plots import ForecastDisplay
    >>> panel, _ = noisy_sines(2, random_state=0)
    >>> past, truth = panel.rows(panel.times < 6), panel.rows(panel.times >= 6)
    >>> ForecastDisplay.from_predictions(past, truth.with_values(truth.values * 0)).plot(1).get_ylabel()
    'x'
    """

    past: Panel
    forecast: Panel
    interval: Panel | None = None
    truth: Panel | None = None
    coverage: float | None = None

    @classmethod
    def from_predictions(
        cls,
        past: Panel,
        forecast: Panel,
        interval: Panel | None = None,
        truth: Panel | None = None,
        coverage: float | None = None,
    ) -> ForecastDisplay:
        """Take what a forecaster gave."""
        return cls(past, forecast, interval, truth, coverage)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Panel, horizon: Any = None, coverage: float = 0.9, truth: Panel | None = None
    ) -> ForecastDisplay:
        """Ask a fitted forecaster for the `horizon` after X; by default that of its `fit`."""
        interval = estimator.predict_interval(X, horizon, coverage=coverage)
        return cls(X, estimator.predict(X, horizon), interval, truth, coverage)

    def plot(
        self,
        series: int = 0,
        channel: str | None = None,
        *,
        context: float | None = None,
        gap: float | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw one channel of a series.

        Parameters
        ----------
        series : int, default 0
        channel : str, optional
            May be left out where one is forecast.
        context : float, optional
            How much of the past to draw before the forecast starts, in encoded time (seconds for datetimes).
        gap : float, optional
            As in `plot_series`, for all parts.
        ax : Axes, optional
            By default those of a new figure.
        """
        ax = new_axes(ax)
        channel = channel or (self.forecast.channels[0] if len(self.forecast.channels) == 1 else None)
        times, values = observed(self.forecast, series, channel)
        past = self.past[series]
        if context is not None and len(times):
            past = past.rows(past.times >= times[0] - context)
        plot_series(past, 0, channel, gap=gap, ax=ax, color=GREY, label="known", rug=False)
        if self.interval is not None:
            share = "interval" if self.coverage is None else f"{self.coverage:.0%} interval"
            plot_interval(self.interval, series, channel, gap=gap, ax=ax, label=share)
        x = on_axis(self.forecast, times)
        for number, piece in enumerate(pieces(times, gap)):
            ax.plot(x[piece], values[piece], "-", color=COLORS[1], lw=1.8, label=None if number else "forecast")
        alone = np.array([piece.start for piece in pieces(times, gap) if piece.stop - piece.start == 1], dtype=int)
        ax.plot(x[alone], values[alone], "_", color=COLORS[1], ms=7, mew=1.8)
        if self.truth is not None:
            when, what = observed(self.truth, series, channel)
            ax.plot(on_axis(self.truth, when), what, "o", color=COLORS[0], ms=3, label="came true")
        set_time(ax, self.past)
        legend_above(ax)
        return tidy(ax)
