"""Estimator: what all trained estimators share - what their fit learns, and the batches of a prediction."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor

from tsssm.data import Batch, Panel, Question, Scaling, Source
from tsssm.estimators.door import PanelEstimator
from tsssm.estimators.horizon import span_of
from tsssm.estimators.members import Plan, pick_device, train_members
from tsssm.estimators.recipes import LayeredMixin, as_recipe
from tsssm.layers import Bidirectional, Layer, Recipe, Stack
from tsssm.models import Embed, FullRows, Model, PartialRows

# rows in one batch of a prediction
ROWS_AT_ONCE = 20_000


class Estimator(LayeredMixin, PanelEstimator):
    """Base of the estimators that train models: a kind of question supplies its plan and its `predict`.

    Parameters of the constructor are those of the concrete estimators; every one of them has `layer`, `d_model`,
    `depth`, `dropout`, `epochs`, `lr`, `batch_size`, `members`, `warm_start`, `n_jobs`, `device`, `random_state` and
    `verbose`, described in `SSMClassifier`.

    Attributes
    ----------
    time_scale_ : float
        Length of a time scale, the median gap of the training data, in the unit of the panel's clock.
    scaling_ : Scaling
        Centre and scale of each channel.
    models_ : list of Model
        The trained members, whose answers are averaged.
    history_ : list of History
        Losses of each member's training.
    """

    # scikit-learn's own way to check parameters, at the first line of a fit
    _parameter_constraints: ClassVar[dict[str, list]] = {
        "layer": [str, type, Recipe],
        "d_model": [Interval(Integral, 1, None, closed="left")],
        "depth": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left"), None],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "members": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "n_jobs": [Integral, None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _plan(self, panel: Panel, y: Any) -> Plan:
        """Learn what the question needs from the training panel, and say what is to be trained."""

    def _goes_on(self) -> bool:
        return self.warm_start and "models_" in vars(self)

    def _learn_panel(self, panel: Panel, y: Any) -> None:
        again = self._goes_on()
        if not again:
            self.time_scale_ = median_gap(panel)
            self.scaling_ = Scaling.fit(panel, self._soft_limit())
            recipe, unit = as_recipe(self.layer), self.time_scale_
            self._recipe = recipe.timed(lambda span: span_of(span, panel) / unit)
        plan = self._plan(panel, y)
        self.models_, self.history_ = train_members(plan, self, self.models_ if again else None)

    def _soft_limit(self) -> float:
        """Where the scaling starts to compress values: nowhere, unless the question never asks for them back."""
        return np.inf

    def _backbone(self, both_ways: bool = False) -> Callable[[], Layer]:
        """A maker of the stack of layers that the parameters describe."""
        recipe = Recipe(Bidirectional, layer=self._recipe) if both_ways else self._recipe
        d_model, depth, dropout = self.d_model, self.depth, self.dropout
        return lambda: Stack(d_model, recipe, depth=depth, dropout=dropout)

    def _embed(self, source: Source) -> Callable[[], Embed]:
        """A maker of the embedding that fits the data: rows observed as a whole need less of it."""
        seen = source.seen[source.seen.any(1)]
        kind, channels, d_model, dropout = PartialRows, source.seen.shape[1], self.d_model, self.dropout
        if seen.all():
            kind = FullRows
        return lambda: kind(channels, d_model, dropout)

    def _answers(
        self, source: Source, questions: Callable[[np.ndarray], Question]
    ) -> Iterator[tuple[np.ndarray, Batch, dict[str, np.ndarray]]]:
        """Ask every series and average the members: (series along the batch, batch, named answers) of each batch.

        Runs in float64 on a CPU, so that an answer does not depend on what else is in its batch.
        """
        device = pick_device(self.device)
        dtype = torch.float64 if device == "cpu" else torch.float32
        models = [copy.deepcopy(model).to(device=device, dtype=dtype).eval() for model in self.models_]
        for series in by_length(source.lengths):
            question = questions(series)
            batch = source.batch(question).to(device, dtype)
            with torch.no_grad():
                answers = [self._answer(model, batch) for model in models]
            mean = {name: torch.stack([a[name] for a in answers]).mean(0).cpu().numpy() for name in answers[0]}
            yield question.series[batch.order.cpu().numpy()], batch, mean

    def _answer(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """What one member says to a batch."""
        return model.predict(batch)


def median_gap(panel: Panel) -> float:
    """Median gap between observed rows of the same series, 1 where there is none."""
    observed = np.isfinite(panel.values).any(1)
    series = np.repeat(np.arange(len(panel)), panel.lengths)[observed]
    gaps = np.diff(panel.times[observed])[np.diff(series) == 0]
    return float(np.median(gaps)) if len(gaps) else 1.0


def by_length(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Numbers of all series, those of similar length together, about `ROWS_AT_ONCE` rows at a time."""
    series = np.argsort(lengths, kind="stable")
    filled = np.cumsum(np.maximum(lengths[series], 1)) // ROWS_AT_ONCE
    yield from np.split(series, np.flatnonzero(np.diff(filled)) + 1)
