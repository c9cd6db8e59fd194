"""SequenceEstimator: what answers at the rows of a series, or at times on a clock of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval
from torch import Tensor

from tsssm.data import Batch, Panel, Source
from tsssm.data.pieces import AskTargets, lead_in
from tsssm.errors import explain
from tsssm.estimators.base import ROWS_AT_ONCE, Estimator
from tsssm.estimators.horizon import span_of
from tsssm.estimators.members import ENOUGH_TO_JUDGE, Plan
from tsssm.estimators.targets import joined, on_rows, refuse_apart, rows_of, split_channels
from tsssm.heads import Head
from tsssm.models import Model, SequenceModel


class SequenceEstimator(Estimator):
    """Base of the sequence estimators: a kind reads its targets, names its head and says what answers mean.

    Attributes
    ----------
    on_rows_ : bool
        Whether the targets stood at the rows of X, so that a row answers for itself. Otherwise each target was read
        off the state at its own time.
    lookahead_ : float
        How much later than its time a target is asked, in the unit of the clock.
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **Estimator._parameter_constraints,
        "bidirectional": ["boolean"],
        "target": [str, list, tuple, None],
        "context": [Interval(Integral, 2, None, closed="left"), None],
    }

    # parameters of the concrete estimators, beside those of `Estimator`
    bidirectional: bool
    target: Sequence[str] | None
    lookahead: Any
    context: int | None

    @abstractmethod
    def _read_targets(self, panel: Panel, y: Any) -> tuple[Panel, np.ndarray]:
        """Rows of the targets, of the series of the panel, and scaled targets or numbers of classes (m, t)."""

    @abstractmethod
    def _head(self) -> Callable[[], Head]:
        """A maker of heads for what `_read_targets` learned."""

    def _learn(self, X: Any, y: Any) -> None:
        X, y = self._split(X, y)
        super()._learn(X, y)

    def _split(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Inputs and targets, where those are channels of X."""
        if self.target is None:
            return X, y
        if y is not None:
            came = "both came"
            raise ValueError(explain("targets must be y or channels named in `target`", came, "Leave one of them out"))
        return split_channels(X, self.target)

    def _plan(self, panel: Panel, y: Any) -> Plan:
        rows, numbers = self._read_targets(panel, y)
        if not self._goes_on():
            self.lookahead_ = self._later(panel)
            self.on_rows_ = not self.lookahead_ and on_rows(rows, panel)
        if not self.on_rows_:
            refuse_apart(panel, rows)
        source = self._asked(panel, rows, numbers)[0]
        windows = lead_in(source, self.context)
        asked = np.append(0, np.cumsum(source.asked.any(1)))
        embed, backbone, head = self._embed(source), self._backbone(self.bidirectional), self._head()
        some = np.flatnonzero(asked[windows.stop] > asked[windows.earliest])

        def make() -> SequenceModel:
            return SequenceModel(embed(), backbone(), head())

        return Plan(make, AskTargets(not self.on_rows_, moving=len(some) < ENOUGH_TO_JUDGE), windows, some)

    def _later(self, panel: Panel) -> float:
        """The lookahead in the unit of the clock."""
        if self.lookahead is None:
            return 0.0
        later = span_of(self.lookahead, panel)
        if later < 0 or (later and self.bidirectional):
            must = "`lookahead` must not be negative, and goes with a model that looks back only"
            came = f"{self.lookahead!r} came" + " with bidirectional=True" * self.bidirectional
            raise ValueError(explain(must, came, "Leave it out, or set bidirectional=False"))
        return later

    def _asked(self, panel: Panel, rows: Panel, numbers: np.ndarray) -> tuple[Source, np.ndarray]:
        """Inputs with the targets (m, t) at `rows`, and the row of the source behind each of them."""
        place = np.arange(rows.n_rows)
        if self.lookahead_ or not (rows is panel or on_rows(rows, panel)):
            near = 1e-6 * self.time_scale_ if self.lookahead_ else 0.0
            panel, place = joined(panel, rows, self.lookahead_, near)
        target = np.full((panel.n_rows, numbers.shape[1]), np.nan)
        target[place] = numbers
        return Source(panel, self.scaling_, self.time_scale_, target=target), place

    def _answered(self, panel: Panel, times: Any, name: str) -> tuple[Panel, np.ndarray]:
        """The rows asked, those of the panel if `times` is None, and what the members say there, (m, ...)."""
        rows = panel if times is None else rows_of(times, panel)
        source, place = self._asked(panel, rows, np.zeros((rows.n_rows, 1)))
        windows, task = lead_in(source), AskTargets(not self.on_rows_)
        out = None
        for _, batch, answer in self._answers(windows, lambda numbers: task(windows, numbers)):
            number, where = batch.rows.cpu().numpy(), batch.place.cpu().numpy()
            wanted = batch.wanted.flatten().cpu().numpy()[where]
            said = answer[name].reshape(-1, answer[name].shape[-1])[where[wanted]]
            if out is None:
                out = np.empty((len(source.times), said.shape[1]))
            out[number[wanted]] = said
        return rows, np.empty((0, 0)) if out is None else out[place]

    def _answer(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        return model.predict_rows(batch, ROWS_AT_ONCE)
