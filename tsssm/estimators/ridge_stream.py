"""Streams of the ridges on random features: what the bank and the summaries keep, and the linear map."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tsssm.data.stream import Stream, filled, one_row
from tsssm.data.summary import RunningSummary
from tsssm.estimators.covariates import flattened

if TYPE_CHECKING:
    from tsssm.estimators.feature_estimator import FeatureEstimator
    from tsssm.estimators.ridge_classifier import SSMRidgeClassifier
    from tsssm.estimators.ridge_regressor import SSMRidgeRegressor


class RidgeStream(Stream):
    """Base of the streams of ridges: the values of the linear map for all that came so far."""

    def __init__(self, estimator: FeatureEstimator, static: Any, tolerance: Any):
        super().__init__(len(estimator.channels_), estimator.clock_kind_, tolerance)
        self._features = estimator.features_.stream()
        self._ridge, self._covariates, self._static = estimator.ridge_, estimator.covariates_, one_row(static)
        self._covariates.encoder.transform(self._static, 1)
        self._summary = RunningSummary(self._arrivals.channels)

    @abstractmethod
    def predict(self) -> Any:
        """The answer for all that came so far."""

    def _absorb(self, times: np.ndarray, values: np.ndarray) -> None:
        self._summary.add(values)
        self._features._absorb(times, values)

    def _decide(self) -> np.ndarray:
        """Values of the linear map, (1, t)."""
        times, values = self._held()
        summary = self._summary.copy()
        summary.add(values)
        beside = self._covariates.numbers(flattened(summary.table()[None]), self._static)
        columns = np.hstack([self._features.features_after(times, values)[None], beside], dtype=np.float32)
        return self._ridge.decide(columns)

    def _kept(self) -> dict[str, torch.Tensor]:
        return {"summary": torch.from_numpy(self._summary.sums.copy()), **self._features._kept()}

    def _restore(self, kept: Mapping[str, torch.Tensor]) -> None:
        sums = filled(torch.from_numpy(self._summary.sums), "summary", kept)
        self._features._restore(kept)
        self._summary.sums = sums.numpy()


class RidgeClassStream(RidgeStream):
    """The class of one series that grows, by a ridge on its features; see `SSMRidgeClassifier.stream`."""

    def __init__(self, estimator: SSMRidgeClassifier, static: Any = None, tolerance: Any = None):
        super().__init__(estimator, static, tolerance)
        self._calibration, self._classes = estimator.calibration_, estimator.classes_

    def predict_proba(self) -> np.ndarray:
        """Probability of each class, (classes,), from all that came so far."""
        return self._calibration.probability(self._decide())[0]

    def predict(self) -> Any:
        """Most probable class."""
        return self._classes[self.predict_proba().argmax()]


class RidgeNumberStream(RidgeStream):
    """Numbers of one series that grows, by a ridge on its features; see `SSMRidgeRegressor.stream`."""

    def __init__(self, estimator: SSMRidgeRegressor, static: Any = None, tolerance: Any = None):
        super().__init__(estimator, static, tolerance)
        self._center, self._scale, self._flat = estimator.target_center_, estimator.target_scale_, estimator._flat

    def predict(self) -> Any:
        """The number predicted from all that came so far, or numbers (t,) as in training."""
        out = self._decide()[0] * self._scale + self._center
        return out[0] if self._flat else out
