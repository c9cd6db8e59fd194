"""ForecastStream: forecasts of one series that grows, from the last rows of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tsssm.data import Panel
from tsssm.data.stream import Stream, one_row
from tsssm.errors import explain
from tsssm.estimators.queries import observed_rows, tail

if TYPE_CHECKING:
    from tsssm.estimators.forecaster import SSMForecaster


class ForecastStream(Stream):
    """Forecasts of one series that grows; see `SSMForecaster.stream`.

    A forecaster looks at the last `context` rows of a series, so that its answer to a long one is not a function of any
    state that runs on from the start: the stream keeps those rows, and a forecast runs through them.
    """

    def __init__(self, estimator: SSMForecaster, static: Any = None, tolerance: Any = None):
        super().__init__(len(estimator.channels_), estimator.clock_kind_, tolerance)
        # a later fit of the estimator changes nothing here
        self._estimator, self._static = copy.copy(estimator), one_row(static)
        estimator.encoder_.transform(self._static, 1)
        self._tail_times, self._tail_values = np.empty(0), np.empty((0, self._arrivals.channels))

    def predict(self, at: Any = None, statistic: str = "median") -> Panel:
        """Forecast the targets.

        Parameters
        ----------
        at : optional
            Steps, durations ahead or absolute times, as the `horizon` of `SSMForecaster`, whose own is asked if not
            given.
        statistic : {"median", "mean"}, default "median"
            Which number stands for the predictive distribution.

        Returns
        -------
        Panel
            One series of the rows asked.

        Raises
        ------
        ValueError
            Where nothing has come yet, or what is asked lies in the past.
        """
        return self._estimator.predict(self._panel(), at, statistic)

    def predict_quantiles(self, at: Any = None, quantiles: Sequence[float] = (0.05, 0.5, 0.95)) -> Panel:
        """Quantiles of the targets at the times asked, as `SSMForecaster.predict_quantiles`."""
        return self._estimator.predict_quantiles(self._panel(), at, quantiles)

    def predict_interval(self, at: Any = None, coverage: float = 0.9) -> Panel:
        """Intervals at the times asked, as `SSMForecaster.predict_interval`."""
        return self._estimator.predict_interval(self._panel(), at, coverage)

    def sample_paths(self, at: Any = None, n: int = 100, random_state: Any = None) -> np.ndarray:
        """Joint futures (n, rows, targets) at the times asked, as `SSMForecaster.sample_paths`."""
        return self._estimator.sample_paths(self._panel(), at, n, random_state)

    def _absorb(self, times: np.ndarray, values: np.ndarray) -> None:
        self._tail_times = np.concatenate([self._tail_times, times])
        self._tail_values = np.concatenate([self._tail_values, values])
        kept = self._last_rows(self._tail_times, self._tail_values)
        self._tail_times, self._tail_values = kept.times, kept.values

    def _last_rows(self, times: np.ndarray, values: np.ndarray) -> Panel:
        """The rows that a forecast looks at, the future of channels that are known ahead among them."""
        est, clock, offsets = self._estimator, self._arrivals.clock, np.array([0, len(times)])
        panel = observed_rows(Panel(times, values, offsets, np.array([0]), est.channels_, self._static, clock))
        seen = est._seen(panel)
        last = panel.times[seen][-1:] if seen.any() else np.array([-np.inf])
        return tail(panel, last, est.context)

    def _panel(self) -> Panel:
        times, values = self._held()
        times = np.concatenate([self._tail_times, times])
        values = np.concatenate([self._tail_values, values])
        if not np.isfinite(values).any():
            raise ValueError(explain("a stream must have rows to forecast from", "none has come", "Call update first"))
        return self._last_rows(times, values)

    def _kept(self) -> dict[str, torch.Tensor]:
        times, values = self._tail_times.copy(), self._tail_values.copy()
        return {"times": torch.from_numpy(times), "values": torch.from_numpy(values)}

    def _restore(self, kept: Mapping[str, torch.Tensor]) -> None:
        missing = [name for name in ("times", "values") if name not in kept]
        if missing or kept["values"].shape != (len(kept["times"]), self._arrivals.channels):
            came = f"{missing[0]} is missing" if missing else f"values have the shape {tuple(kept['values'].shape)}"
            must = "the state must be that of a stream of this estimator"
            raise ValueError(explain(must, came, "Load it into a stream of the estimator that it came from"))
        self._tail_times, self._tail_values = (kept[name].numpy().copy() for name in ("times", "values"))
