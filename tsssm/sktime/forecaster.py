"""SSMForecaster for sktime."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.special import ndtri
from sktime.datatypes import get_cutoff
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon

from tsssm import estimators
from tsssm.data import Panel
from tsssm.errors import explain
from tsssm.estimators.answers import MEDIAN, values_at
from tsssm.heads.rows import LEVELS
from tsssm.sktime.common import ScikitMixin, SeriesDoorMixin
from tsssm.sktime.distribution import Piecewise
from tsssm.sktime.frames import numbers_in, panel_of, plain
from tsssm.sktime.history import History
from tsssm.sktime.horizon import changing, check_horizon, index_asked, refuse_missing, stamps_asked

# rows inside the history that are asked at once, each of which is a series of its own
AT_ONCE = 256


class SSMForecaster(ScikitMixin, SeriesDoorMixin, BaseForecaster):
    """`tsssm.SSMForecaster` for sktime: one model of all series, columns and levels, each series on its own clock.

    Parameters
    ----------
    horizon : int or duration, default 12
        How far ahead is trained for where `fit` is given no `fh`: steps of each series' own typical gap, or a duration.
    layer, d_model, depth, dropout, head, context, periods, epochs, lr, batch_size, members, n_jobs, device, random_state, \
verbose
        As in `tsssm.SSMForecaster`.

    Attributes
    ----------
    estimator_ : tsssm.SSMForecaster
        What was fitted.
    covariates_ : list of int
        Places of the columns of X that are inputs: a column that never changes in training only names rows.

    Raises
    ------
    ValueError, TypeError
        For float times, repeated stamps, steps ahead where no frequency is known, an empty horizon, one before what is
        known of a series, and covariates that lack rows of the horizon.

    Notes
    -----
    Stamps may be irregular. Horizons are absolute stamps, durations after the cutoff (timedeltas), or steps, where the
    horizon or all series have one frequency. sktime knows a single cutoff, the latest stamp of all series. Where series
    are to be asked at stamps of their own, pass a horizon that holds them all, and X with a row for each stamp of each
    series (a column of zeros will do, in `fit` too): the rows of X in the horizon and after the end of their series are
    answered.

    A horizon inside the history is answered from the rows before each stamp. `update` adds rows without training, and of
    each series the last 2 `context` rows are kept, never all data. After `pretrain` on a panel, `fit` keeps the weights
    and takes the series for what forecasts start from; another `pretrain` trains on. Quantiles, intervals, variances
    and distributions are those of one law, split-conformal at the levels of `tsssm.heads.rows.LEVELS`.

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from tsssm.sktime import SSMForecaster
    >>> model = SSMForecaster(epochs=1, random_state=0).fit(load_airline(), fh=[1, 2, 3])
    >>> model.predict().index
    PeriodIndex(['1961-01', '1961-02', '1961-03'], dtype='period[M]', name='Period')
    """

    _config: ClassVar[dict[str, Any]] = {"remember_data": False}
    # sktime's own methods read both, whatever the configuration
    _y = None
    _X = None
    _tags: ClassVar[dict[str, Any]] = {
        "authors": ["the tsssm developers"],
        "maintainers": ["the tsssm developers"],
        "python_dependencies": ["torch", "skpro"],
        "y_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "X_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "requires-fh-in-fit": False,
        "X-y-must-have-same-index": False,
        "capability:multivariate": True,
        "capability:exogenous": True,
        "capability:missing_values": True,
        "capability:unequal_length": True,
        "capability:insample": True,
        "capability:pred_int": True,
        "capability:pred_int:insample": True,
        "capability:update": True,
        "capability:pretrain": True,
        "pretrain:fitted_params": ["estimator_", "covariates_"],
        "capability:non_contiguous_X": True,
        "capability:categorical_in_X": False,
        "capability:random_state": True,
        "property:randomness": "derandomized",
    }

    def __init__(
        self,
        horizon: Any = 12,
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
        n_jobs: int | None = None,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.horizon = horizon
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
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        super().__init__()

    def _check_fh(self, fh: Any, pred_int: bool = False) -> ForecastingHorizon | None:
        check_horizon(fh, self._cutoff)
        return super()._check_fh(fh, pred_int)

    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: ForecastingHorizon | None) -> SSMForecaster:
        if self._state != "pretrained":
            self.covariates_ = changing(X)
        history = History.of(y, self._inputs(X))
        if self._state != "pretrained":
            self.estimator_ = self._trained(history, fh)
        elif tuple(history.frame.columns) != self.estimator_.channels_:
            targets, known = len(self.estimator_.targets_), len(self.estimator_.known)
            came = f"{y.shape[1]} and {len(history.known)} came, and {targets} and {known} were pretrained with"
            do = "Pass series of that form, or a fresh forecaster"
            raise ValueError(explain("a pretrained model needs its numbers of targets and covariates", came, do))
        self._history = history.tail(2 * self.context)
        return self

    def _inputs(self, X: pd.DataFrame | None) -> pd.DataFrame | None:
        """The covariates that are inputs."""
        return None if X is None or not self.covariates_ else X.iloc[:, self.covariates_]

    def _trained(self, history: History, fh: ForecastingHorizon | None) -> estimators.SSMForecaster:
        params = self.get_params(deep=False)
        panel = history.panel()
        params["horizon"] = self._horizon(history, panel, fh)
        return estimators.SSMForecaster(known=history.known, **params).fit(panel)

    def _horizon(self, history: History, panel: Panel, fh: ForecastingHorizon | None) -> Any:
        """How far ahead is trained for: from the typical end of a series to the last stamp asked."""
        if fh is None:
            return self.horizon
        stamps = stamps_asked(fh, get_cutoff(history.frame, return_index=True), history.frame.index)
        ends = panel.times[panel.offsets[1:] - 1]
        lead = float(panel.clock.encode(plain(stamps[-1:]))[0] - np.median(ends))
        if lead <= 0:
            return self.horizon
        return [pd.Timedelta(lead, "s") if panel.clock.resolution else lead]

    def _update(self, y: pd.DataFrame, X: pd.DataFrame | None = None, update_params: bool = True) -> SSMForecaster:
        self._history = self._history.then(History.of(y, self._inputs(X))).tail(2 * self.context)
        return self

    def _pretrain(self, y: pd.DataFrame, X: Any = None, fh: ForecastingHorizon | None = None) -> SSMForecaster:
        self.covariates_ = changing(X)
        self.estimator_ = self._trained(History.of(y, self._inputs(X)), fh)
        return self

    def _pretrain_update(self, y: pd.DataFrame, X: Any = None, fh: ForecastingHorizon | None = None) -> SSMForecaster:
        panel = History.of(y, self._inputs(X)).panel()
        self.estimator_ = copy.deepcopy(self.estimator_).set_params(warm_start=True).fit(panel)
        return self

    def _answer(self, fh: ForecastingHorizon, X: pd.DataFrame | None) -> tuple[pd.Index, np.ndarray]:
        """Index of the rows asked (r,), and their quantiles (r, t, levels)."""
        history = self._history
        seen, last = history.rows, history.last()
        stamps = stamps_asked(fh, self.cutoff, history.frame.index)
        counted = fh.is_relative and not isinstance(fh.to_pandas(), pd.TimedeltaIndex)
        index = index_asked(stamps, counted, seen, last, X).set_names(history.frame.index.names)
        owner, times = numbers_in(seen.names, index), index.get_level_values(-1)
        history.refuse_before(owner, times)
        known = np.empty((len(index), 0))
        if history.known:
            refuse_missing(index, X)
            known = self._inputs(X).loc[index].to_numpy(dtype=np.float64)
        out = np.empty((len(index), len(self.estimator_.targets_), len(LEVELS)))
        ahead = np.asarray(times > last[owner])
        if ahead.any():
            out[ahead] = self._asked(history.panel(), owner[ahead], times[ahead], known[ahead])
        past = np.flatnonzero(~ahead)
        for rows in np.split(past, range(AT_ONCE, len(past), AT_ONCE)) if len(past) else []:
            panel = history.before(owner[rows], times[rows])
            out[rows] = self._asked(panel, np.arange(len(rows)), times[rows], known[rows])
        return index, out

    def _asked(self, panel: Panel, owner: np.ndarray, times: pd.Index, known: np.ndarray) -> np.ndarray:
        """Quantiles (r, t, levels) at times (r,) of the series `owner` (r,), with the covariates there."""
        estimator, stamps = self.estimator_, plain(times)
        order = np.lexsort((panel.clock.encode(stamps), owner))
        if known.shape[1]:
            horizon: Any = panel_of(known, owner, times, list(estimator.known))
        else:
            series, first = np.unique(owner[order], return_index=True)
            ends = np.append(first[1:], len(order))
            horizon = {own: stamps[order[a:b]] for own, a, b in zip(series.tolist(), first, ends, strict=True)}
        _, answer, _ = estimator._ask(panel, horizon)
        numbers = estimator._numbers(estimator.targets_)
        quantiles = estimator.calibration_.calibrated(*answer)
        quantiles = np.moveaxis(estimator.scaling_.inverse(np.moveaxis(quantiles, -1, 0), numbers), 0, -1)
        # answers come series by series in the order of time
        out = np.empty_like(quantiles)
        out[order] = quantiles
        return out

    def _predict(self, fh: ForecastingHorizon, X: pd.DataFrame | None) -> pd.DataFrame:
        index, quantiles = self._answer(fh, X)
        return pd.DataFrame(quantiles[..., MEDIAN], index=index, columns=self._get_columns())

    def _predict_quantiles(self, fh: ForecastingHorizon, X: Any, alpha: list[float]) -> pd.DataFrame:
        index, quantiles = self._answer(fh, X)
        values = values_at(ndtri(np.array(alpha)), quantiles).reshape(len(index), -1)
        return pd.DataFrame(values, index=index, columns=self._get_columns("predict_quantiles", alpha=alpha))

    def _predict_var(self, fh: ForecastingHorizon, X: Any = None, cov: bool = False) -> pd.DataFrame:
        return self._predict_proba(fh, X).var()

    def _predict_proba(self, fh: ForecastingHorizon, X: Any, marginal: bool = True) -> Piecewise:
        index, quantiles = self._answer(fh, X)
        return Piecewise(quantiles, index=index, columns=pd.Index(self._get_columns()))

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Settings that fit in moments, for sktime's checks."""
        small = {"horizon": 3, "d_model": 4, "depth": 1, "epochs": 1, "random_state": 0}
        return [small, {**small, "horizon": 2, "head": "gaussian", "dropout": 0.1}]
