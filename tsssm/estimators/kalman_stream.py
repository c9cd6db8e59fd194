"""KalmanStream: forecasts of one series that grows, from nothing but a mean and a covariance."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tsssm.data import Panel
from tsssm.data.stream import Stream, filled, flattened
from tsssm.dynamics.kalman import Belief
from tsssm.errors import explain
from tsssm.estimators.answers import check_coverage, check_levels
from tsssm.estimators.horizon import Origins, asked_times
from tsssm.estimators.queries import Query, wide
from tsssm.estimators.structure import Told
from tsssm.models.entries import Entries

if TYPE_CHECKING:
    from tsssm.estimators.kalman_forecaster import KalmanForecaster


class Carry(NamedTuple):
    """What is kept of c channels: beliefs (c, n), and misfits and counts (c,), which tell the scale of the series.

    A channel with count 0 has not begun.
    """

    mean: Tensor
    cov: Tensor
    misfit: Tensor
    count: Tensor


class KalmanStream(Stream):
    """Forecasts of one series that grows; see `KalmanForecaster.stream`.

    What came is kept as a mean and a covariance of the state of each channel. Beside them lie the last `context` times,
    whose typical gap is what a number of steps is counted in.
    """

    def __init__(self, estimator: KalmanForecaster, tolerance: Any = None):
        super().__init__(len(estimator.channels_), estimator.clock_kind_, tolerance)
        # a later fit of the estimator changes nothing here
        self._estimator, self._times_seen = copy.copy(estimator), np.empty(0)
        c, n = len(estimator.channels_), 2 * estimator.model_.pairs
        none = {"dtype": torch.float64}
        self._carry = Carry(
            torch.zeros(c, n, **none), torch.zeros(c, n, n, **none), torch.zeros(c, **none), torch.zeros(c, **none)
        )

    def predict(self, at: Any = None) -> Panel:
        """Forecast all channels.

        Parameters
        ----------
        at : optional
            Steps, durations ahead or absolute times, as the `horizon` of `KalmanForecaster`, whose own is asked if not
            given.

        Returns
        -------
        Panel
            One series of the rows asked.

        Raises
        ------
        ValueError
            Where nothing has come yet, or what is asked lies in the past.
        """
        query, found = self._ask(at)
        return query.answer(self._estimator.scaling_.inverse(found.mean), self._estimator.channels_)

    def predict_quantiles(self, at: Any = None, quantiles: Sequence[float] = (0.05, 0.5, 0.95)) -> Panel:
        """Quantiles at the times asked, as `KalmanForecaster.predict_quantiles`."""
        levels = check_levels(quantiles)
        return self._wide(at, levels, [f"{level:g}" for level in levels])

    def predict_interval(self, at: Any = None, coverage: float = 0.9) -> Panel:
        """Intervals at the times asked, as `KalmanForecaster.predict_interval`."""
        beyond = (1 - check_coverage(coverage)) / 2
        return self._wide(at, np.array([beyond, 1 - beyond]), ["lower", "upper"])

    def _wide(self, at: Any, levels: np.ndarray, labels: list[str]) -> Panel:
        (query, found), est = self._ask(at), self._estimator
        return wide(query, found.quantiles(levels), est.scaling_, est.channels_, labels)

    @torch.no_grad()
    def _ask(self, at: Any) -> tuple[Query, Told]:
        est, (times, values) = self._estimator, self._held()
        carry, seen = self._after(times, values)
        if not len(seen):
            raise ValueError(explain("a stream must have rows to forecast from", "none has come", "Call update first"))
        past = self._panel(seen)
        last, gap = seen[-1:], np.median(np.diff(seen)) if len(seen) > 1 else est.time_scale_
        (asked,) = asked_times(est.horizon if at is None else at, past, Origins(last, np.array([gap])))
        query = Query(self._panel(asked), np.ones(len(asked), bool))
        nothing = np.full((len(asked), len(est.channels_)), np.nan)
        entries = self._entries(np.diff(asked, prepend=last), nothing, carry)
        pairs, found = est.model_.filter(entries, Belief(carry.mean, carry.cov))
        scale = est.model_.scale(entries, found, carry[2:])
        parts = est.model_.observed(entries, pairs, found.mean, found.cov, scale)
        return query, Told(*(part.T.numpy() for part in (*parts, scale.freedom)))

    def _absorb(self, times: np.ndarray, values: np.ndarray) -> None:
        self._carry, self._times_seen = self._after(times, values)

    @torch.no_grad()
    def _after(self, times: np.ndarray, values: np.ndarray) -> tuple[Carry, np.ndarray]:
        """The carry after more rows, and the last times; rows that show nothing leave no trace."""
        est, model = self._estimator, self._estimator.model_
        kept = np.isfinite(est.scaling_.transform(values)).any(1)
        times, values = times[kept], values[kept]
        if not len(times):
            return self._carry, self._times_seen
        before = self._times_seen[-1:] if len(self._times_seen) else times[:1]
        entries = self._entries(np.diff(times, prepend=before), values, self._carry)
        _, found = model.filter(entries, Belief(self._carry.mean, self._carry.cov))
        misfit = torch.where(entries.seen, found.error**2 / found.spread, 0).sum(1)
        carry = Carry(
            found.mean[:, -1], found.cov[:, -1], self._carry.misfit + misfit, self._carry.count + entries.seen.sum(1)
        )
        return carry, np.concatenate([self._times_seen, times])[-est.context :]

    def _entries(self, gap: np.ndarray, values: np.ndarray, carry: Carry) -> Entries:
        """Rows that follow a carry, each channel a sequence; numbers are rounded as those of a `Source` are."""
        est, (l, c) = self._estimator, values.shape
        y = torch.from_numpy(est.scaling_.transform(values).astype(np.float32)).double().T
        gaps = torch.from_numpy((gap / est.time_scale_).astype(np.float32)).double().expand(c, l)
        begins = torch.zeros(c, l, dtype=torch.bool)
        begins[:, 0] = carry.count == 0
        place = torch.arange(c * l)
        return Entries(torch.arange(c)[:, None].expand(c, l), gaps, y.nan_to_num(), ~y.isnan(), begins, place, place)

    def _panel(self, times: np.ndarray) -> Panel:
        est, values = self._estimator, np.full((len(times), len(self._estimator.channels_)), np.nan)
        return Panel(times, values, np.array([0, len(times)]), np.array([0]), est.channels_, None, self._arrivals.clock)

    def _kept(self) -> dict[str, Tensor]:
        return {"times": torch.from_numpy(self._times_seen.copy()), **flattened(self._carry, "carry")}

    def _restore(self, kept: Mapping[str, Tensor]) -> None:
        carry = filled(self._carry, "carry", kept)
        self._times_seen, self._carry = kept["times"].numpy().copy(), carry
