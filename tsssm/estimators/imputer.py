"""SSMImputer: what was not observed in each series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from scipy.special import ndtri
from sklearn.base import TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from tsssm.data import HidePoints, Panel
from tsssm.data.windows import cover, small_spreads, tile_windows
from tsssm.errors import explain
from tsssm.estimators.answers import MEDIAN, check_coverage, check_levels, values_at
from tsssm.estimators.horizon import times_asked
from tsssm.estimators.judging import TO_CALIBRATE, TO_JUDGE, calibration_of, judge
from tsssm.estimators.members import Plan
from tsssm.estimators.queries import Answer, Query, as_array, ask_rows, collected, is_table, merged, observed_rows, wide
from tsssm.estimators.roles import pick_head, repeated
from tsssm.estimators.rows import RowEstimator
from tsssm.heads.rows import LEVELS
from tsssm.models.relative import Between, Frame

STEPS = 300
# with fewer windows all are trained on: a tenth of them would judge by chance
ENOUGH_WINDOWS = 20


class SSMImputer(TransformerMixin, RowEstimator):
    """Fill the gaps of series, or tell their values at any time, by state spaces run along time and against it.

    Parameters
    ----------
    layer, d_model, depth, dropout
        The backbone, as in `SSMClassifier`; every layer is run in both directions.
    head : {"quantile", "gaussian", "student_t"}, default "quantile"
        Family of the predictive distributions.
    context : int, default 256
        Most observed rows of a series that are looked at together.
    epochs, lr, batch_size, members, warm_start, n_jobs, device, random_state, verbose
        As in `SSMClassifier`; a batch holds up to `batch_size` stretches of series.

    Attributes
    ----------
    calibration_ : Calibration
        Errors at hidden entries, by the distance to what was seen, behind `predict_interval`.

    Notes
    -----
    Training hides observed entries at random, single ones and stretches, and asks for them. An answer is relative to
    the straight line between the values seen last and next. A tenth of the stretches of series, where there are 20 or
    more, decides when to stop and calibrates intervals; with fewer, intervals are calibrated on the training data.
    Observed entries are given back as they are; channels never observed in training stay NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm import SSMImputer
    >>> X = np.sin(np.arange(200.0)).reshape(10, 20)
    >>> X[:, 7] = np.nan
    >>> bool(np.isfinite(SSMImputer(epochs=1, random_state=0).fit_transform(X)).all())
    True
    """

    def __init__(
        self,
        layer: Any = "s5",
        d_model: int = 64,
        depth: int = 2,
        dropout: float = 0.1,
        head: str = "quantile",
        context: int = 256,
        epochs: int | None = None,
        lr: float = 0.002,
        batch_size: int = 32,
        members: int = 1,
        warm_start: bool = False,
        n_jobs: int | None = None,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.layer = layer
        self.d_model = d_model
        self.depth = depth
        self.dropout = dropout
        self.head = head
        self.context = context
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
        windows, task, least = self._held_out
        del self._held_out
        self.calibration_ = calibration_of(judge(self, windows, task, list(range(len(self.channels_)))), least)

    def _plan(self, panel: Panel, y: Any) -> Plan:
        make_head, panel = pick_head(self.head), observed_rows(panel)
        self._learn_inputs(panel)
        source = self._source(panel)
        rng = self._generator()
        windows, task = tile_windows(source, self.context), HidePoints(self.context)
        order = rng.permutation(len(windows))
        held = order[: min(len(order) // 10, TO_CALIBRATE) if len(order) >= ENOUGH_WINDOWS else 0]
        train = np.setdiff1d(order, held)
        # errors on the training data are too small to narrow intervals by
        least = 0.0 if len(held) else 1.0
        self._held_out = (windows.pick(np.sort(held if len(held) else train[:TO_CALIBRATE])), task, least)
        channels, backbone, d_model = panel.shape[1], self._backbone(both_ways=True), self.d_model
        frame = Frame(channels, tuple(range(channels)), (), source.static.shape[1], self.calendar_.n_features)
        floor = torch.from_numpy(small_spreads(windows)).float()

        def make() -> Between:
            return Between(frame, floor, d_model, backbone(), make_head(d_model, channels))

        numbers = train[repeated(len(train), self.batch_size, self.epochs)]
        return Plan(make, task, windows, numbers, judge=held[:TO_JUDGE], steps=STEPS)

    def _completed(self, panel: Panel, wanted: np.ndarray) -> Answer:
        """Answers for the entries `wanted` (rows, c) of a panel; NaN in rows without any."""
        source = self._source(panel)
        windows, answering = cover(source, self.context)
        if not len(windows):
            return Answer(np.empty((0, panel.shape[1], len(LEVELS))), np.empty((0, panel.shape[1])))
        return collected(self, windows, ask_rows(windows, wanted, answering), panel.n_rows)

    def transform(self, X: Any) -> Any:
        """Fill what is NaN with the median of its predictive distribution.

        Parameters
        ----------
        X : Panel or what `as_panel` takes

        Returns
        -------
        Panel or ndarray
            Of the shape of X where X is an array or a table of one series a row, else a Panel.

        Raises
        ------
        ValueError
            Where X has other channels or another clock than the training panel.
        """
        panel = self._fitted_panel(X)
        missing = np.isnan(panel.values)
        values = np.asarray(panel.values, dtype=np.float64).copy()
        if missing.any():
            answer = self._completed(panel, missing)
            values[missing] = self.scaling_.inverse(answer.quantiles[..., MEDIAN])[missing]
        filled = panel.with_values(values)
        return as_array(filled, np.asarray(X).ndim) if is_table(X) else filled

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of what `transform` gives: those of the columns of a table, or the channels."""
        check_is_fitted(self, "models_")
        if input_features is None and self.n_features_in_ == len(self.channels_):
            return np.asarray(self.channels_, dtype=object)
        return _check_feature_names_in(self, input_features)

    def _ask(self, X: Any, times: Any) -> tuple[Query, Answer]:
        check_is_fitted(self, "models_")
        panel = observed_rows(self._panel(X))
        query = merged(panel, times_asked(times, panel), 0.0)
        wanted = query.asked[:, None] & np.isnan(query.panel.values)
        answer = self._completed(query.panel, wanted).rows(query.asked)
        # an observed entry is certain: all its quantiles are the value
        known = self.scaling_.transform(query.panel.values[query.asked])
        return query, Answer(np.where(np.isnan(known)[..., None], answer.quantiles, known[..., None]), answer.lead)

    def predict(self, X: Any, times: Any = None) -> Any:
        """Values of all channels at any times: the median where nothing was observed.

        Parameters
        ----------
        X : Panel or what `as_panel` takes
            What was observed.
        times : array, dict of arrays by id, Panel or long table, optional
            Absolute times, for all series or each; the rows of X, as `transform` gives them, if not given.

        Returns
        -------
        Panel
            The series of X with the rows asked.
        """
        if times is None:
            return self.transform(X)
        query, answer = self._ask(X, times)
        return query.answer(self.scaling_.inverse(answer.quantiles[..., MEDIAN]), query.panel.channels)

    def stream(self) -> NoReturn:
        """Refuse: what is missing is told by what comes later, too.

        Raises
        ------
        ValueError
            Always.
        """
        must, came = "a stream needs a model that looks back only", "that of an imputer looks at later rows too"
        raise ValueError(explain(must, came, "Use SSMForecaster, or call transform on the series so far"))

    def predict_quantiles(self, X: Any, times: Any, quantiles: Sequence[float] = (0.05, 0.5, 0.95)) -> Panel:
        """Quantiles at any times, in channels named like "glucose[0.05]"."""
        levels = check_levels(quantiles)
        query, answer = self._ask(X, times)
        values = values_at(ndtri(levels), answer.quantiles)
        return wide(query, values, self.scaling_, self.channels_, [f"{level:g}" for level in levels])

    def predict_interval(self, X: Any, times: Any, coverage: float = 0.9) -> Panel:
        """Intervals that hold the truth with a probability of `coverage`, in "glucose[lower]" and "glucose[upper]"."""
        coverage = check_coverage(coverage)
        query, answer = self._ask(X, times)
        values = self.calibration_.interval(*answer, coverage)
        return wide(query, values, self.scaling_, self.channels_, ["lower", "upper"])
