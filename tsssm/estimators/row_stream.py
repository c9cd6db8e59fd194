"""Streams of sequence estimators: answers at the rows of one series that grows, and at times on another clock."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tsssm.errors import explain
from tsssm.estimators.model_stream import ModelStream
from tsssm.heads import RowLabel

if TYPE_CHECKING:
    from tsssm.estimators.sequence import SequenceEstimator
    from tsssm.estimators.sequence_classifier import SSMSequenceClassifier
    from tsssm.estimators.sequence_regressor import SSMSequenceRegressor


class AskedStream(ModelStream):
    """Base of the streams that answer about moments; a kind says what its heads tell from features."""

    def __init__(self, estimator: SequenceEstimator, tolerance: Any = None):
        super().__init__(estimator, tolerance)
        self._on_rows, self._later = estimator.on_rows_, estimator.lookahead_

    @abstractmethod
    def _said(self, number: int, features: Tensor) -> np.ndarray:
        """What the head of a member tells from features (1, m, d), (m, ...)."""

    def _keep(self, number: int, features: Tensor, before: Tensor | None) -> Tensor:
        return features[:, -1]

    def _ask(self, at: Any) -> np.ndarray:
        """Answers at times, (m, ...), or at the last row, (...): with a lookahead, about the time so long before it."""
        last = self._arrivals.last
        if np.isnan(last):
            raise ValueError(explain("a stream must have rows to answer at", "none has come", "Call update first"))
        asked = np.array([last]) if at is None else self._arrivals.encode(at) + self._later
        # sums of times are off by rounding
        asked = np.where(np.abs(asked - last) <= 1e-6 * self._time_scale * bool(self._later), last, asked)
        if (asked < last).any():
            came = f"{last - asked.min():g} before it was asked"
            raise ValueError(explain("times asked must not lie before the last row", came, "Predict the whole series"))
        out = self._at(asked / self._time_scale)
        return out[0] if at is None or np.ndim(at) == 0 else out

    @torch.inference_mode()
    def _at(self, asked: np.ndarray) -> np.ndarray:
        """Answers (m, ...) at times in time scales: from the last row itself, or read off the state then or later."""
        before = self._advanced(*self._held())
        times, place = np.unique(asked, return_inverse=True)
        own = int(self._on_rows and before is not None and times[0] == before.time.item())
        parts: list[list[Tensor]] = []
        if own:
            parts.append([member.kept[None] for member in before.members])
        if len(times) > own:
            parts.append(self._silent(before, times[own:])[0])
        features = [torch.cat(found, 1) for found in zip(*parts, strict=True)]
        total = sum(self._said(number, rows) for number, rows in enumerate(features))
        return np.asarray(total)[place] / len(self._models)


class RowStream(AskedStream):
    """Numbers at the rows of one series that grows, and at times asked; see `SSMSequenceRegressor.stream`."""

    def __init__(self, estimator: SSMSequenceRegressor, tolerance: Any = None):
        super().__init__(estimator, tolerance)
        self._kind, self._targets = estimator._kind, len(estimator.targets_)

    def _said(self, number: int, features: Tensor) -> np.ndarray:
        return self._kind.read_rows(self._models[number].head, features)[0].numpy()

    def predict(self, at: Any = None) -> np.ndarray:
        """Predicted means at the last row, (t,), or at the times `at`, (m, t); rotations in the channels fitted to.

        Parameters
        ----------
        at : scalar or (m,) array-like, optional
            Times not before the last row, or at most the lookahead before it, where the model was fitted with one. By
            default the last row, or the time so long before it. What is asked leaves no trace in the stream.

        Raises
        ------
        ValueError
            Where nothing has come yet, or a time lies in the past.
        """
        return self._kind.decode(self._ask(at))

    def update_predict(self, times: Any, values: Any) -> np.ndarray:
        """Add observations (k,), (k, c), and give what `predict` says after each of the rows, (k, t).

        With a `tolerance`, rows are answered as they stood when they came. Raises what `update` raises, but for rows
        in front of one that does not fit, which are added.
        """
        if np.ndim(times) == 0:
            return self.update(times, values).predict()[None]
        pairs = zip(times, values, strict=True)
        return np.array([self.update(time, row).predict() for time, row in pairs]).reshape(-1, self._targets)


class RowClassStream(AskedStream):
    """Classes at the rows of one series that grows, and at times asked; see `SSMSequenceClassifier.stream`."""

    def __init__(self, estimator: SSMSequenceClassifier, tolerance: Any = None):
        super().__init__(estimator, tolerance)
        self._classes = estimator.classes_
        self._heads: list[RowLabel] = [model.head for model in self._models]

    def _said(self, number: int, features: Tensor) -> np.ndarray:
        return self._heads[number].probability(features)[0].numpy()

    def predict_proba(self, at: Any = None) -> np.ndarray:
        """Probabilities of the classes at the last row, (classes,), or at times, (m, classes), as in `RowStream`."""
        return self._ask(at)

    def predict(self, at: Any = None) -> Any:
        """Most probable class at the last row, or at times, (m,)."""
        return self._classes[self.predict_proba(at).argmax(-1)]
