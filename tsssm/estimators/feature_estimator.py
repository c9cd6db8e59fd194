"""FeatureEstimator: what reads thousands of random features of a series by a linear map."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from tsssm.data import Panel
from tsssm.estimators.covariates import Covariates
from tsssm.estimators.door import PanelEstimator
from tsssm.estimators.features import SSMFeatures

# Shares of the variance of all columns that statics and summary statistics may have together, relative to the bank's.
# Sparse clinical records gain a point of AUROC from 1 against 0.02, and series of few observations on a common grid lose
# up to a point of accuracy: held-out series choose.
SUMMARIES = (0.02, 1.0)
# series whose features are held at once in a prediction
AT_ONCE = 2000


class FeatureEstimator(PanelEstimator):
    """Base of the ridge estimators; every one has `n_features` and `random_state`, described in `SSMRidgeClassifier`.

    Attributes
    ----------
    features_ : SSMFeatures
        The bank of oscillators and what its features are.
    covariates_ : Covariates
        Statics and summary statistics, which are columns beside the features.
    ridge_ : Ridge
        The linear map, its penalty and what held-out series said.
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def _learn_features(self, panel: Panel) -> tuple[np.ndarray, list[np.ndarray]]:
        """Learn the columns of the training panel, and give them, (n, f), and weights to choose from, each (f,)."""
        self.features_ = SSMFeatures(self.n_features, self.random_state).fit(panel)
        self.covariates_ = Covariates.fit(panel)
        columns = self._columns(panel)
        beside = columns.shape[1] - self.n_features
        each = [np.sqrt(share * self.n_features / max(beside, 1)) for share in SUMMARIES]
        return columns, [np.repeat([1.0, size], [self.n_features, beside]) for size in each]

    def _columns(self, panel: Panel) -> np.ndarray:
        return np.hstack([self.features_.transform(panel), self.covariates_.transform(panel)], dtype=np.float32)

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))

    def _decide(self, X: Any) -> np.ndarray:
        """Values of the linear map for each series, (n, t)."""
        panel = self._fitted_panel(X)
        parts = (panel[i : i + AT_ONCE] for i in range(0, len(panel), AT_ONCE))
        return np.concatenate([self.ridge_.decide(self._columns(part)) for part in parts])
