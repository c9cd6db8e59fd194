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

# Share of the variance of all columns that statics and summary statistics have together, relative to the bank's: among
# ten thousand columns a few dozen would not be heard, and in sparse records they say the most.
SUMMARIES = 0.5
# Share of the rows left out to see how well a feature repeats. With half of the values of 27 data sets of the archive
# dropped, weights by repeatability gained 0.4 points of accuracy in each of two draws; they cost nothing with none dropped.
THINNED = 0.3
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

    def _learn_features(self, panel: Panel) -> tuple[np.ndarray, np.ndarray]:
        """Learn the columns of the training panel, and give them, (n, f), and their weights, (f,)."""
        self.features_ = SSMFeatures(self.n_features, self.random_state).fit(panel)
        self.covariates_ = Covariates.fit(panel)
        columns = self._columns(panel)
        beside = columns.shape[1] - self.n_features
        share = np.sqrt(SUMMARIES * self.n_features / max(beside, 1))
        return columns, np.append(self._repeatability(panel, columns[:, : self.n_features]), np.full(beside, share))

    def _columns(self, panel: Panel) -> np.ndarray:
        return np.hstack([self.features_.transform(panel), self.covariates_.transform(panel)], dtype=np.float32)

    def _repeatability(self, panel: Panel, features: np.ndarray) -> np.ndarray:
        """Share of each feature's variance that is not the chance of which rows were observed, (n_features,)."""
        noise = self.features_.transform(thinned(panel, THINNED, self._generator())) - features
        variance = np.maximum(features.var(0), np.finfo(np.float32).tiny)
        return 1 / (1 + np.minimum((noise**2).mean(0) / variance, 1e3))

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))

    def _decide(self, X: Any) -> np.ndarray:
        """Values of the linear map for each series, (n, t)."""
        panel = self._fitted_panel(X)
        parts = (panel[i : i + AT_ONCE] for i in range(0, len(panel), AT_ONCE))
        return np.concatenate([self.ridge_.decide(self._columns(part)) for part in parts])


def thinned(panel: Panel, share: float, rng: np.random.Generator) -> Panel:
    """The panel without a random share of its rows; the first row of a series stays."""
    kept = rng.random(panel.n_rows) >= share
    kept[panel.offsets[:-1][panel.lengths > 0]] = True
    return panel.rows(kept)
