"""KalmanForecaster: level, trend, cycles and their exact uncertainty at any time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from tsssm.data import Batch, Panel, Scaling, Source
from tsssm.data.calendar import Calendar
from tsssm.data.tasks import show_all
from tsssm.data.windows import tile_windows
from tsssm.errors import explain
from tsssm.estimators.answers import check_coverage, check_levels
from tsssm.estimators.base import by_length, median_gap
from tsssm.estimators.door import PanelEstimator
from tsssm.estimators.horizon import Origins, asked_times, origins, span_of, times_asked
from tsssm.estimators.kalman_stream import KalmanStream
from tsssm.estimators.queries import Query, as_array, ask_rows, is_table, merged, observed_rows, tail, wide
from tsssm.estimators.structure import Told, components_of, start_of, told
from tsssm.models.paths import sample_future
from tsssm.models.structural import Structural
from tsssm.training import Training
from tsssm.training.loop import bucketed

# with fewer series their spreads tell nothing of how spreads differ
ENOUGH_SERIES = 10
# of the optimizer in a fit, and rows of a batch
STEPS, ROWS = 200, 20_000


class KalmanForecaster(PanelEstimator):
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
        panel = observed_rows(panel)
        self.time_scale_, self.scaling_ = median_gap(panel), Scaling.fit(panel, np.inf)
        start = self._origins(panel)
        asked_times(self.horizon, panel, start)
        self.tail_ = tail(panel, start.time, self.context)
        source = self._source(panel)
        self.model_ = Structural(start_of(source, self.cycles, self._seasons(panel)), len(panel) < ENOUGH_SERIES)
        windows = tile_windows(source, self.context)
        everything = (windows, np.arange(len(windows)))
        rng = check_random_state(self.random_state)
        batches = len(bucketed(windows.lengths, everything[1], self.batch_size, ROWS, np.random.default_rng(0)))
        training = Training(
            epochs=self.epochs or -(-STEPS // max(1, batches)),
            lr=self.lr,
            batch_size=self.batch_size,
            batch_rows=ROWS,
            random_state=int(rng.randint(2**31 - 1)),
            verbose=self.verbose,
        )
        self.history_ = training.run(self.model_, show_all, everything, (windows, everything[1][:0]))
        self.components_ = components_of(self.model_, self.channels_, self.scaling_, self.time_scale_)

    def _seasons(self, panel: Panel) -> list[float]:
        """Periods of the seasons in time scales."""
        if self.periods is None:
            return [seconds / self.time_scale_ for seconds in Calendar.fit(panel).periods]
        spans = [span_of(period, panel) for period in self.periods]
        if not all(span > 0 for span in spans):
            must = "`periods` must be positive durations"
            raise ValueError(explain(must, f"{self.periods!r} came", "Pass, say, ['24h'], or numbers for plain times"))
        return [span / self.time_scale_ for span in spans]

    def _source(self, panel: Panel) -> Source:
        return Source(panel, self.scaling_, self.time_scale_)

    def _origins(self, panel: Panel) -> Origins:
        """Ends of series, and their typical gaps over the last `context` rows."""
        last = origins(panel, np.ones(panel.n_rows, bool), self.time_scale_).time
        panel = tail(panel, last, self.context)
        return origins(panel, np.ones(panel.n_rows, bool), self.time_scale_)

    def _asked(self, X: Any, horizon: Any) -> Query:
        check_is_fitted(self, "model_")
        panel = self.tail_ if X is None else observed_rows(self._panel(X))
        asked = asked_times(self.horizon if horizon is None else horizon, panel, self._origins(panel))
        return merged(panel, asked, 1e-6 * self.time_scale_)

    def _within(self, X: Any, times: Any) -> Query:
        panel = observed_rows(self._fitted_panel(X))
        own = np.split(panel.times, panel.offsets[1:-1])
        return merged(panel, own if times is None else times_asked(times, panel), 0.0)

    def _told(self, query: Query, whole: bool = False) -> Told:
        """Answers at the rows asked, in scaled units."""
        return told(self._batches(query), query, lambda batch: self.model_.predict(batch, whole))

    def _batches(self, query: Query) -> Iterator[Batch]:
        source = self._source(query.panel)
        ask = ask_rows(source, np.repeat(query.asked[:, None], len(self.channels_), 1))
        for series in by_length(source.lengths):
            yield source.batch(ask(series)).to("cpu", torch.float64)

    def predict(self, X: Any = None, horizon: Any = None) -> Panel | np.ndarray:
        """Forecast all channels at the times asked: the mean, which is the median too.

        Parameters
        ----------
        X : Panel or what `as_panel` takes, optional
            Series to continue, of the training panel or others; the ends of the training panel if not given.
        horizon : optional
            As in the constructor, whose horizon is asked if not given.

        Returns
        -------
        Panel or ndarray
            As `SSMForecaster.predict` gives.

        Raises
        ------
        ValueError
            Where X has other channels or another clock than the training panel, or the horizon lies in the past.
        """
        query = self._asked(X, horizon)
        out = query.answer(self.scaling_.inverse(self._told(query).mean), self.channels_)
        return as_array(out, np.asarray(X).ndim) if is_table(X) and len(np.unique(out.lengths)) == 1 else out

    def predict_quantiles(
        self, X: Any = None, horizon: Any = None, quantiles: Sequence[float] = (0.05, 0.5, 0.95)
    ) -> Panel:
        """Quantiles of what would be observed at the times asked, in channels named like "glucose[0.05]"."""
        levels, query = check_levels(quantiles), self._asked(X, horizon)
        values = self._told(query).quantiles(levels)
        return wide(query, values, self.scaling_, self.channels_, [f"{level:g}" for level in levels])

    def predict_interval(self, X: Any = None, horizon: Any = None, coverage: float = 0.9) -> Panel:
        """Intervals that hold what would be observed with a probability of `coverage`, if the model holds.

        In channels "glucose[lower]" and "glucose[upper]".
        """
        beyond = (1 - check_coverage(coverage)) / 2
        query = self._asked(X, horizon)
        values = self._told(query).quantiles(np.array([beyond, 1 - beyond]))
        return wide(query, values, self.scaling_, self.channels_, ["lower", "upper"])

    def sample_paths(self, X: Any = None, horizon: Any = None, n: int = 100, random_state: Any = None) -> np.ndarray:
        """Sample joint futures of what would be observed, (n, rows, channels), on the rows that `predict` answers with."""
        query = self._asked(X, horizon)
        rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
        out = np.empty((n, query.panel.n_rows + 1, len(self.channels_)))
        for batch in self._batches(query):
            paths = sample_future(self.model_, batch, n, rng).flatten(1, 2)
            out[:, batch.rows.numpy()] = paths[:, batch.place].numpy()
        return self.scaling_.inverse(out[:, :-1][:, query.asked])

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
