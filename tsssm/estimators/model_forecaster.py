"""ModelForecaster: what forecasters share whose model is the law of whole series."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from tsssm.data import Batch, Panel, Scaling, Source, Task
from tsssm.data.tasks import show_all
from tsssm.data.windows import Windows, tile_windows
from tsssm.estimators.answers import check_coverage, check_levels
from tsssm.estimators.base import by_length, median_gap
from tsssm.estimators.door import PanelEstimator
from tsssm.estimators.horizon import Origins, asked_times, origins
from tsssm.estimators.queries import Query, as_array, ask_rows, is_table, merged, observed_rows, tail, wide
from tsssm.models import Model
from tsssm.training import Training
from tsssm.training.loop import bucketed

# rows of a batch
ROWS = 20_000


class ModelForecaster(PanelEstimator):
    """Base of the forecasters that fit one model to everything shown, by its likelihood or a bound of it.

    A kind makes the `_model`, and says what it knows of the rows asked: `_center`, `_quantiles` and `_draw`.

    Attributes
    ----------
    time_scale_ : float
        The median gap of the training data, in the unit of the panel's clock.
    scaling_ : Scaling
    model_ : Model
    history_ : History
    """

    _steps: ClassVar[int]
    """About how many steps of the optimizer are taken where `epochs` is not given."""

    @abstractmethod
    def _model(self, source: Source, panel: Panel) -> Model:
        """A fresh model for the training panel."""

    @abstractmethod
    def _center(self, query: Query) -> np.ndarray:
        """Point forecasts (r, c) of the rows asked, in scaled units."""

    @abstractmethod
    def _quantiles(self, query: Query, levels: np.ndarray) -> np.ndarray:
        """Quantiles (r, c, levels) of what would be observed in the rows asked, in scaled units."""

    @abstractmethod
    def _draw(self, batch: Batch, n: int, seed: int | None) -> Tensor:
        """Joint futures (n, b, l, c) of the series of a batch, in scaled units; the same noise for all without a seed."""

    def _shown(self, panel: Panel) -> Panel:
        """The rows that a forecast looks at: all of them, if a kind says no other."""
        return panel

    def _questions(self, source: Source, panel: Panel) -> tuple[Windows, Task]:
        """Pieces of the training series and what they are asked: nothing but to explain them, if a kind says no other."""
        return tile_windows(source, self.context), show_all

    def _learn_panel(self, panel: Panel, y: Any) -> None:
        panel = observed_rows(panel)
        self.time_scale_, self.scaling_ = median_gap(panel), Scaling.fit(panel, np.inf)
        start = self._origins(panel)
        asked_times(self.horizon, panel, start)
        self.tail_ = tail(panel, start.time, self.context)
        source = self._source(panel)
        windows, task = self._questions(source, panel)
        everything = (windows, np.arange(len(windows)))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        batches = len(bucketed(windows.lengths, everything[1], self.batch_size, ROWS, np.random.default_rng(0)))
        training = Training(
            epochs=self.epochs or -(-self._steps // max(1, batches)),
            lr=self.lr,
            batch_size=self.batch_size,
            batch_rows=ROWS,
            random_state=seed,
            verbose=self.verbose,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model_ = self._model(source, panel)
            self.history_ = training.run(self.model_, task, everything, (windows, everything[1][:0]))
        # an answer must not depend on what else is in its batch
        self.model_.double()

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
        return merged(self._shown(panel), asked, 1e-6 * self.time_scale_)

    def _batches(self, query: Query) -> Iterator[Batch]:
        source = self._source(query.panel)
        ask = ask_rows(source, np.repeat(query.asked[:, None], len(self.channels_), 1))
        for series in by_length(source.lengths):
            yield source.batch(ask(series)).to("cpu", torch.float64)

    def _paths(self, query: Query, n: int, seed: int | None) -> np.ndarray:
        """Joint futures (n, r, c) of the rows asked, in scaled units."""
        # the row after the last is the blank one that stands for series without any
        number = np.append(np.where(query.asked, np.cumsum(query.asked) - 1, -1), -1)
        out = np.empty((n, int(query.asked.sum()), len(self.channels_)))
        for k, batch in enumerate(self._batches(query)):
            rows = number[batch.rows.numpy()]
            own = None if seed is None else seed + k
            paths = self._draw(batch, n, own).flatten(1, 2)[:, batch.place[rows >= 0]]
            out[:, rows[rows >= 0]] = paths.numpy()
        return out

    def predict(self, X: Any = None, horizon: Any = None) -> Panel | np.ndarray:
        """Forecast all channels at the times asked: the median of what would be observed.

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
        out = query.answer(self.scaling_.inverse(self._center(query)), self.channels_)
        return as_array(out, np.asarray(X).ndim) if is_table(X) and len(np.unique(out.lengths)) == 1 else out

    def predict_quantiles(
        self, X: Any = None, horizon: Any = None, quantiles: Sequence[float] = (0.05, 0.5, 0.95)
    ) -> Panel:
        """Quantiles of what would be observed at the times asked, in channels named like "glucose[0.05]"."""
        levels, query = check_levels(quantiles), self._asked(X, horizon)
        values = self._quantiles(query, levels)
        return wide(query, values, self.scaling_, self.channels_, [f"{level:g}" for level in levels])

    def predict_interval(self, X: Any = None, horizon: Any = None, coverage: float = 0.9) -> Panel:
        """Intervals that hold what would be observed with a probability of `coverage`, if the model holds.

        In channels "glucose[lower]" and "glucose[upper]".
        """
        beyond = (1 - check_coverage(coverage)) / 2
        query = self._asked(X, horizon)
        values = self._quantiles(query, np.array([beyond, 1 - beyond]))
        return wide(query, values, self.scaling_, self.channels_, ["lower", "upper"])

    def sample_paths(self, X: Any = None, horizon: Any = None, n: int = 100, random_state: Any = None) -> np.ndarray:
        """Sample joint futures of what would be observed, (n, rows, channels), on the rows that `predict` answers with."""
        query = self._asked(X, horizon)
        return self.scaling_.inverse(self._paths(query, n, check_random_state(random_state).randint(2**31 - 1)))
