"""SSMForecaster: what follows in each series."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import ndtri
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tsssm.data import Panel
from tsssm.data.windows import AskAhead, join, small_spreads, tile_windows
from tsssm.errors import explain
from tsssm.estimators.answers import MEDIAN, check_coverage, check_levels, mean_of, values_at
from tsssm.estimators.horizon import asked_times, is_relative, origins, periods_of
from tsssm.estimators.judging import ENOUGH_SERIES, TO_JUDGE, calibration_of, copula_of, judge, split
from tsssm.estimators.members import Plan
from tsssm.estimators.queries import (
    Answer,
    Query,
    as_array,
    ask_rows,
    collected,
    is_table,
    merged,
    observed_rows,
    owners,
    tail,
    wide,
)
from tsssm.estimators.roles import channel_numbers, pick_head, refuse_unknown_future, repeated, with_future
from tsssm.estimators.rows import RowEstimator
from tsssm.estimators.window_stream import ForecastStream
from tsssm.models.relative import Ahead, Frame


class SSMForecaster(RowEstimator):
    """Forecast many series with one continuous-time state space model, each on its own clock.

    Parameters
    ----------
    horizon : int, duration, list, array, dict or Panel, default 12
        How far ahead is trained for, and asked where `predict` is given no horizon. An int counts steps of each
        series' own typical gap. A duration (a number in the unit of the times, or a timedelta or text such as "6h"
        for datetimes) asks for all steps up to that far ahead. A list holds durations. An array or DatetimeIndex holds
        absolute times for all series, a dict maps ids to any of these, and a Panel or long table holds the rows asked,
        with known covariates filled in.
    target : list of str, optional
        Channels to forecast; all but the known ones if not given.
    known : sequence of str, default ()
        Channels that are known ahead. They must be filled in the rows asked: as later rows of X, or in a horizon that
        is a Panel, where NaN is one that was not observed.
    layer, d_model, depth
        The backbone, as in `SSMClassifier`.
    dropout : float, default 0
        As in `SSMClassifier`. Windows drawn anew at each step are many, and leave little to overfit.
    head : {"quantile", "gaussian", "student_t"}, default "quantile"
        Family of the predictive distributions.
    context : int, default 512
        Most rows of a series that are looked at.
    periods : "calendar" or sequence of durations, default "calendar"
        Lengths of seasons. What a series showed whole periods before, and its means over the last two periods, are inputs
        that answers can be drawn to. With datetimes "calendar" takes day, week and year where the series run through
        them twice, in at least four gaps; other times have none of these. Durations are those of a horizon.
    epochs, lr, batch_size, members, warm_start, n_jobs, device, random_state, verbose
        As in `SSMClassifier`; a batch holds up to `batch_size` stretches of series.

    Attributes
    ----------
    targets_ : tuple of str
        Channels that are forecast.
    periods_ : tuple of float
        Lengths of seasons, in the unit of the panel's clock.
    calibration_ : Calibration
        Held-out errors, by lead time, behind `predict_interval`.
    copula_ : Copula
        Dependence of errors between lead times and channels, behind `sample_paths`.

    Notes
    -----
    A tenth of the series, or of fewer than 50 series the last seventh (at most 1,000 rows) of each, is kept from the
    training; it decides when to stop, and calibrates intervals and the dependence of errors.

    Values enter relative to the level and spread that a series has shown so far, and a forecast is relative to the
    last value: y = x_last + sum_k g_k (m_k - x_last) + s h, where the m_k are the mean so far and, for each period P, the
    values at t - kP and t - (k + 1)P and the means over the last two periods, of which k is the smallest that reaches
    what was seen. With datetimes, the time of day, week and year are inputs where
    the series run through them twice. Channels never observed in training are forecast as NaN. A series without any
    row is forecast from the latest time seen in X.

    Examples
    --------
    >>> from tsssm import SSMForecaster
    >>> from tsssm.data.synthetic import noisy_sines
    >>> panel, _ = noisy_sines(20, random_state=0)
    >>> SSMForecaster(horizon=3, epochs=1, random_state=0).fit(panel).predict().lengths[:2]
    array([3, 3])
    """

    def __init__(
        self,
        horizon: Any = 12,
        target: Sequence[str] | None = None,
        known: Sequence[str] = (),
        layer: Any = "s5",
        d_model: int = 64,
        depth: int = 2,
        dropout: float = 0.0,
        head: str = "quantile",
        context: int = 512,
        periods: Any = "calendar",
        epochs: int | None = None,
        lr: float = 0.002,
        batch_size: int = 16,
        members: int = 1,
        warm_start: bool = False,
        n_jobs: int | None = None,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.horizon = horizon
        self.target = target
        self.known = known
        self.layer = layer
        self.d_model = d_model
        self.depth = depth
        self.dropout = dropout
        self.head = head
        self.context = context
        self.periods = periods
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.members = members
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _learn(self, X: Any, y: Any) -> None:
        super()._learn(X, None)
        windows, task = self._held_out
        del self._held_out
        judged = judge(self, windows, task, self._numbers(self.targets_))
        # what comes later in the same series is not quite like what came before: intervals are not narrowed for it
        self.calibration_ = calibration_of(judged, least=0.0 if len(self.tail_) >= ENOUGH_SERIES else 1.0)
        self.copula_ = copula_of(judged, np.random.default_rng(0))

    def _plan(self, panel: Panel, y: Any) -> Plan:
        known = channel_numbers(panel, self.known, "known")
        others = [name for j, name in enumerate(panel.channels) if j not in known]
        targets = channel_numbers(panel, others if self.target is None else self.target, "target", taken=known)
        self.targets_ = tuple(panel.channels[j] for j in targets)
        make_head = pick_head(self.head)
        panel = observed_rows(panel)
        self._learn_inputs(panel)
        source, rng = self._source(panel), self._generator()
        start = origins(panel, self._seen(panel), self.time_scale_)
        lead = self._leads(panel, start)
        self.tail_ = tail(panel, start.time, self.context)
        train, judges = split(source, self.context, rng)
        task = AskAhead(lead, targets, known)
        self._held_out = (judges, AskAhead(lead, targets, known, cuts=8, cold=0.0, late=0.5, blind=0.0))
        if not self._goes_on():
            self.periods_ = periods_of(self.periods, panel, self.calendar_, self.time_scale_)
        periods = tuple(period / self.time_scale_ for period in self.periods_)
        frame = Frame(panel.shape[1], targets, known, source.static.shape[1], self.calendar_.n_features, periods)
        floor = torch.from_numpy(small_spreads(tile_windows(source, self.context))).float()
        backbone, d_model = self._backbone(), self.d_model

        def make() -> Ahead:
            return Ahead(frame, floor, d_model, backbone(), make_head(d_model, len(targets)))

        numbers = len(train) + rng.permutation(len(judges))[:TO_JUDGE]
        return Plan(
            make, task, join([train, judges]), repeated(len(train), self.batch_size, self.epochs), judge=numbers
        )

    def _seen(self, panel: Panel) -> np.ndarray:
        """Rows in which a channel was observed that is not known ahead."""
        return np.isfinite(np.delete(panel.values, self._numbers(self.known), 1)).any(1)

    def _leads(self, panel: Panel, start: Any) -> np.ndarray:
        """How far ahead each training series is asked, in time scales."""
        asked = asked_times(self.horizon, panel, start)
        lead = np.array([times[-1] - start.time[i] if len(times) else 0.0 for i, times in enumerate(asked)])
        self.lead_ = float(lead.max())
        return (lead if is_relative(self.horizon, panel) else np.full(len(lead), self.lead_)) / self.time_scale_

    def _ask(self, X: Any, horizon: Any) -> tuple[Query, Answer, np.ndarray]:
        """The rows asked, the answers there, and the time since the end of the series (r,) in time scales."""
        check_is_fitted(self, "models_")
        panel = self.tail_ if X is None else observed_rows(self._panel(X))
        seen = self._seen(panel)
        start = origins(panel, seen, self.time_scale_)
        panel = tail(panel, start.time, self.context)
        start = origins(panel, self._seen(panel), self.time_scale_)
        horizon = self.horizon if horizon is None else horizon
        if self.known:
            panel, horizon = with_future(panel, horizon, start, self._numbers(self.known))
        asked = asked_times(horizon, panel, start)
        query = merged(panel, asked, 1e-6 * self.time_scale_)
        if self.known and not isinstance(horizon, (Panel, pd.DataFrame)):
            refuse_unknown_future(query, self.known)
        lead = (query.panel.times - start.time[owners(query.panel)])[query.asked]
        # typical gaps of a tail differ a little from those of the whole series
        if len(lead) and lead.max() > self.lead_ * 1.1:
            warnings.warn(
                f"Asked {lead.max() / self.lead_:.3g} times as far ahead as the model was trained for.", stacklevel=3
            )
        wanted = np.zeros((query.panel.n_rows, len(self.channels_)), bool)
        wanted[np.ix_(query.asked, self._numbers(self.targets_))] = True
        source = self._source(query.panel)
        answer = collected(self, source, ask_rows(source, wanted), len(wanted))
        return query, answer.rows(query.asked), lead / self.time_scale_

    def predict(self, X: Any = None, horizon: Any = None, statistic: str = "median") -> Panel | np.ndarray:
        """Forecast the targets at the times asked.

        Parameters
        ----------
        X : Panel or what `as_panel` takes, optional
            Series to continue, of the training panel or others; the training panel if not given.
        horizon : optional
            As in the constructor, whose horizon is asked if not given.
        statistic : {"median", "mean"}, default "median"
            Which number stands for the predictive distribution.

        Returns
        -------
        Panel or ndarray
            The series of X with the rows asked and the channels `targets_`; for X an array, an array (n, rows) or
            (n, rows, targets) where all series are asked as many rows.

        Raises
        ------
        ValueError
            Where X has other channels or another clock than the training panel, or the horizon lies in the past.
        """
        if statistic not in ("median", "mean"):
            must = "`statistic` must be 'median' or 'mean'"
            raise ValueError(explain(must, f"{statistic!r} came", "Check the spelling"))
        query, (quantiles, _), _ = self._ask(X, horizon)
        point = quantiles[..., MEDIAN] if statistic == "median" else mean_of(quantiles)
        out = query.answer(self.scaling_.inverse(point, self._numbers(self.targets_)), self.targets_)
        return as_array(out, np.asarray(X).ndim) if is_table(X) and len(np.unique(out.lengths)) == 1 else out

    def predict_quantiles(
        self, X: Any = None, horizon: Any = None, quantiles: Sequence[float] = (0.05, 0.5, 0.95)
    ) -> Panel:
        """Quantiles of the targets at the times asked, in channels named like "glucose[0.05]"."""
        levels = check_levels(quantiles)
        query, answer, _ = self._ask(X, horizon)
        values = values_at(ndtri(levels), answer.quantiles)
        return wide(query, values, self.scaling_, self.targets_, [f"{level:g}" for level in levels])

    def predict_interval(self, X: Any = None, horizon: Any = None, coverage: float = 0.9) -> Panel:
        """Intervals that hold the truth with a probability of `coverage`, in "glucose[lower]" and "glucose[upper]".

        Split-conformal: widened or narrowed until they cover that share of held-out data at such lead times.
        """
        coverage = check_coverage(coverage)
        query, answer, _ = self._ask(X, horizon)
        values = self.calibration_.interval(*answer, coverage)
        return wide(query, values, self.scaling_, self.targets_, ["lower", "upper"])

    def sample_paths(self, X: Any = None, horizon: Any = None, n: int = 100, random_state: Any = None) -> np.ndarray:
        """Sample joint futures, (n, rows, targets), on the rows that `predict` answers with.

        A Gaussian copula joins the predictive distributions; errors are the more alike the closer their times.
        """
        query, (answer, _), lead = self._ask(X, horizon)
        rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
        out = np.empty((n, *answer.shape[:2]))
        for rows in np.split(np.arange(len(lead)), np.cumsum(query.panel.rows(query.asked).lengths)[:-1]):
            z = self.copula_.sample(lead[rows], n, rng)
            out[:, rows] = np.moveaxis(values_at(np.moveaxis(z, 0, -1), answer[rows]), -1, 0)
        return self.scaling_.inverse(out, self._numbers(self.targets_))

    def stream(self, static: Any = None, tolerance: Any = None) -> ForecastStream:
        """Give a series that grows as observations arrive and can be forecast at any moment, from `context` rows.

        `static` are its static features, where the training panel had some; what comes at most `tolerance` late is
        merged into the last row, as described in `SSMClassifier.stream`.
        """
        check_is_fitted(self, "copula_")
        return ForecastStream(self, static, tolerance)
