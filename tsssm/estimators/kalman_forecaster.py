"""KalmanForecaster: level, trend, cycles and their exact uncertainty at any time."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from tsssm.data import Batch, Panel, Source
from tsssm.data.calendar import Calendar
from tsssm.errors import explain
from tsssm.estimators.horizon import span_of, times_asked
from tsssm.estimators.kalman_stream import KalmanStream
from tsssm.estimators.model_forecaster import ModelForecaster
from tsssm.estimators.queries import Query, merged, observed_rows
from tsssm.estimators.structure import Told, components_of, start_of, told
from tsssm.models.paths import sample_future
from tsssm.models.structural import Structural

# with fewer series their spreads tell nothing of how spreads differ
ENOUGH_SERIES = 10


class KalmanForecaster(ModelForecaster):
    """Forecast, filter and smooth series as level, trend and cycles under noise, in continuous time.

    Parameters
    ----------
    horizon : int, duration, list, array, dict or Panel, default 12
        What `predict` answers where it is given no horizon, as in `SSMForecaster`.
    periods : list of durations, optional
        Seasons, each two waves that change slowly: texts such as "24h" for datetimes, numbers in the unit of the times
        otherwise. By default, for datetimes, those of day, week and year that series run through twice.
    cycles : int, default 1
        Number of damped oscillators whose periods are learned.
    context : int, default 1000
        Most rows that are fitted in one piece; longer series are fitted in several. Answers come from all rows.
    epochs : int, optional
        Passes over the data; as many as make about 200 steps if not given.
    lr : float, default 0.1
    batch_size : int, default 512
        Most pieces of series in one step.
    random_state, verbose
        As in `SSMClassifier`.

    Attributes
    ----------
    model_ : Structural
    history_ : History
    components_ : DataFrame
        A row for each part of each channel: `spread` in the unit of the channel, `decay` (when it falls to 1/e) and
        `period` in the unit of the clock.

    Notes
    -----
    All channels have a model of their own, and series share it; the initial level is free, and with 10 series or more
    each has a scale of its own for all its variances, which is integrated out: answers are Student's t distributions.
    Gaps and missing entries need no care: the likelihood, answers and their spreads are exact for any times, on the CPU
    in float64. Source: see `tsssm.models.Structural`.

    Examples
    --------
    >>> from tsssm import KalmanForecaster
    >>> from tsssm.data.synthetic import noisy_sines
    >>> panel, _ = noisy_sines(20, random_state=0)
    >>> model = KalmanForecaster(horizon=3, epochs=5).fit(panel)
    >>> model.predict_interval(panel).channels
    ('x[lower]', 'x[upper]')
    >>> model.smooth(panel, times=[0.25, 0.5]).channels
    ('x[mean]', 'x[std]')
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "cycles": [Interval(Integral, 0, 8, closed="both")],
        "context": [Interval(Integral, 2, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left"), None],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    _steps = 200

    def __init__(
        self,
        horizon: Any = 12,
        periods: Sequence[Any] | None = None,
        cycles: int = 1,
        context: int = 1000,
        epochs: int | None = None,
        lr: float = 0.1,
        batch_size: int = 512,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.horizon = horizon
        self.periods = periods
        self.cycles = cycles
        self.context = context
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.random_state = random_state
        self.verbose = verbose

    def _learn_panel(self, panel: Panel, y: Any) -> None:
        super()._learn_panel(panel, y)
        self.components_ = components_of(self.model_, self.channels_, self.scaling_, self.time_scale_)

    def _model(self, source: Source, panel: Panel) -> Structural:
        return Structural(start_of(source, self.cycles, self._seasons(panel)), len(panel) < ENOUGH_SERIES)

    def _seasons(self, panel: Panel) -> list[float]:
        """Periods of the seasons in time scales."""
        if self.periods is None:
            return [seconds / self.time_scale_ for seconds in Calendar.fit(panel).periods]
        spans = [span_of(period, panel) for period in self.periods]
        if not all(span > 0 for span in spans):
            must = "`periods` must be positive durations"
            raise ValueError(explain(must, f"{self.periods!r} came", "Pass, say, ['24h'], or numbers for plain times"))
        return [span / self.time_scale_ for span in spans]

    def _within(self, X: Any, times: Any) -> Query:
        panel = observed_rows(self._fitted_panel(X))
        own = np.split(panel.times, panel.offsets[1:-1])
        return merged(panel, own if times is None else times_asked(times, panel), 0.0)

    def _told(self, query: Query, whole: bool = False) -> Told:
        """Answers at the rows asked, in scaled units."""
        return told(self._batches(query), query, lambda batch: self.model_.predict(batch, whole))

    def _center(self, query: Query) -> np.ndarray:
        return self._told(query).mean

    def _quantiles(self, query: Query, levels: np.ndarray) -> np.ndarray:
        return self._told(query).quantiles(levels)

    def _draw(self, batch: Batch, n: int, seed: int | None) -> Tensor:
        return sample_future(self.model_, batch, n, np.random.default_rng(seed))

    def filter(self, X: Any, times: Any = None) -> Panel:
        """What is known of the signal at each time from the rows up to it: mean and standard deviation.

        Parameters
        ----------
        X : Panel or what `as_panel` takes
        times : array, dict of arrays by id, Panel or long table, optional
            Absolute times, past or future, for all series or each; the rows of X that show something if not given.

        Returns
        -------
        Panel
            Of the rows asked, in channels "glucose[mean]" and "glucose[std]"; Student's t distributions, whose standard
            deviation may be infinite, have half the width of their central 68.3 % instead. The signal is what is observed
            without the noise of observations, whose spread is in `components_`.
        """
        return self._states(self._within(X, times), whole=False)

    def smooth(self, X: Any, times: Any = None) -> Panel:
        """What is known of the signal at each time from all rows, earlier and later; as `filter`."""
        return self._states(self._within(X, times), whole=True)

    def _states(self, query: Query, whole: bool) -> Panel:
        found = self._told(query, whole)
        mean, std = self.scaling_.inverse(found.mean), found.std() * self.scaling_.scale
        channels = tuple(f"{name}[{part}]" for name in self.channels_ for part in ("mean", "std"))
        std = np.where(np.isnan(mean), np.nan, std)
        return query.answer(np.stack([mean, std], -1).reshape(len(mean), -1), channels)

    def stream(self, tolerance: Any = None) -> KalmanStream:
        """Give a series that grows as observations arrive and can be forecast at any moment, in constant memory.

        What comes at most `tolerance` late is merged into the last row, as described in `SSMClassifier.stream`.
        """
        check_is_fitted(self, "model_")
        return KalmanStream(self, tolerance)
