"""SSMRidgeRegressor: numbers of a series, by a ridge on thousands of random features."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from tsssm.data import Panel
from tsssm.estimators.feature_estimator import FeatureEstimator
from tsssm.estimators.labels import centred, numbers
from tsssm.estimators.ridge_stream import RidgeNumberStream
from tsssm.features.ridge import fit_numbers


class SSMRidgeRegressor(RegressorMixin, FeatureEstimator):
    r"""Predict one or several numbers of a series by a ridge on pooled random oscillators.

    The features z of `SSMFeatures`, standardised and weighted by what each says of the numbers by itself, enter

    .. math:: \min_{B, c} \sum_i \lVert z_i B + c - y_i \rVert^2 + \alpha \lVert B \rVert^2.

    Parameters
    ----------
    n_features : int, default 10_000
        Number of random features.
    random_state : int or RandomState, optional
        Seed; two fits with one seed are equal to the bit.

    Attributes
    ----------
    target_center_, target_scale_ : ndarray, (t,)
        Mean and standard deviation of the training targets.
    features_ : SSMFeatures
        Its `table_` says what each feature is.
    ridge_ : Ridge
        Coefficients for standardised targets, the penalty chosen, and what was said of held-out series.

    Notes
    -----
    Columns, penalty and cost are as in `SSMRidgeClassifier`; several targets share the penalty.

    Examples
    --------
    >>> from tsssm import SSMRidgeRegressor
    >>> from tsssm.data.synthetic import decays
    >>> panel, half_lives = decays(40, random_state=0)
    >>> SSMRidgeRegressor(n_features=400, random_state=0).fit(panel, half_lives).predict(panel).shape
    (40,)
    """

    def __init__(self, n_features: int = 10_000, random_state: Any = None):
        self.n_features = n_features
        self.random_state = random_state

    def _learn_panel(self, panel: Panel, y: Any) -> None:
        target, self._flat = numbers(panel, y)
        self.target_center_, self.target_scale_ = centred(target)
        target = (target - self.target_center_) / self.target_scale_
        self.ridge_ = fit_numbers(*self._learn_features(panel), target, self._generator())

    def predict(self, X: Any) -> np.ndarray:
        """Predicted numbers of each series, (n,) or (n, t) as in training.

        Raises
        ------
        ValueError
            Where X has other channels or another clock than the training panel.
        """
        out = self._decide(X) * self.target_scale_ + self.target_center_
        return out[:, 0] if self._flat else out

    def stream(self, static: Any = None, tolerance: Any = None) -> RidgeNumberStream:
        """Give a series that grows as observations arrive, whose numbers at any moment are those of the series so far.

        `static` are its static features, where the training panel had some; what comes at most `tolerance` late is
        merged into the last row, as described in `SSMClassifier.stream`.
        """
        check_is_fitted(self, "ridge_")
        return RidgeNumberStream(self, static, tolerance)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags
