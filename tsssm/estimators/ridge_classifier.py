"""SSMRidgeClassifier: the class of a series, by a ridge on thousands of random features."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_is_fitted

from tsssm.data import Panel
from tsssm.estimators.feature_estimator import FeatureEstimator
from tsssm.estimators.labels import class_numbers
from tsssm.estimators.ridge_stream import RidgeClassStream
from tsssm.features.calibration import Calibration
from tsssm.features.ridge import fit_classes


class SSMRidgeClassifier(ClassifierMixin, FeatureEstimator):
    r"""Classify series by a ridge on pooled random oscillators: no training by gradients, a fit in seconds.

    The features z of `SSMFeatures`, standardised and weighted by what each says of the classes by itself, enter a ridge
    of every class against the rest,

    .. math:: \min_{B, c} \sum_i \lVert z_i B + c - y_i \rVert^2 + \alpha \lVert B \rVert^2, \qquad y_{ik} = \pm 1,

    and its decisions d become probabilities softmax(s d + b), fitted on series held out.

    Parameters
    ----------
    n_features : int, default 10_000
        Number of random features.
    class_weight : dict, "balanced" or None, default None
        Weights of the classes in the squared error and in the calibration.
    random_state : int or RandomState, optional
        Seed; two fits with one seed are equal to the bit.

    Attributes
    ----------
    classes_ : ndarray
        Labels seen in training.
    features_ : SSMFeatures
        Its `table_` says what each feature is.
    ridge_ : Ridge
        Coefficients, the penalty chosen, and decisions about held-out series.
    calibration_ : Calibration
        Slope s and biases b.

    Notes
    -----
    Statics, and what is measured in each channel and how often (`data.summary`), are columns beside the features, of two
    weights the one that series held out prefer. The penalty is that of least squared error on held-out series: each by itself up to 50, else tenths or fifths, in each of
    which the weights of the columns are those of the other series. Cost O(rows n_features + n^2 n_features) for n
    series, and O(n n_features^2) where these are more than the features.

    Examples
    --------
    >>> from tsssm import SSMRidgeClassifier
    >>> from tsssm.data.synthetic import noisy_sines
    >>> panel, labels = noisy_sines(40, random_state=0)
    >>> SSMRidgeClassifier(n_features=400, random_state=0).fit(panel, labels).predict_proba(panel).shape
    (40, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **FeatureEstimator._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(self, n_features: int = 10_000, class_weight: Any = None, random_state: Any = None):
        self.n_features = n_features
        self.class_weight = class_weight
        self.random_state = random_state

    def _learn_panel(self, panel: Panel, y: Any) -> None:
        self.classes_, number = class_numbers(panel, y)
        weight = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[number])[number]
        self.ridge_ = fit_classes(*self._learn_features(panel), number, weight, self._generator())
        rows = self.ridge_.rows
        self.calibration_ = Calibration.fit(self.ridge_.held_out, number[rows], weight[rows])

    def decision_function(self, X: Any) -> np.ndarray:
        """Calibrated logits: (n, classes), or (n,) for two classes, positive for the second.

        Raises
        ------
        ValueError
            Where X has other channels or another clock than the training panel.
        """
        decisions = self._decide(X)
        logits = self.calibration_.logits(decisions)
        return logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class, (n, classes), in the order of `classes_`.

        Raises
        ------
        ValueError
            Where X has other channels or another clock than the training panel.
        """
        decisions = self._decide(X)
        return self.calibration_.probability(decisions)

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class of each series, (n,)."""
        probability = self.predict_proba(X)
        return self.classes_[probability.argmax(1)]

    def stream(self, static: Any = None, tolerance: Any = None) -> RidgeClassStream:
        """Give a series that grows as observations arrive, whose class at any moment is that of the series so far.

        `static` are its static features, where the training panel had some; what comes at most `tolerance` late is
        merged into the last row, as described in `SSMClassifier.stream`.
        """
        check_is_fitted(self, "ridge_")
        return RidgeClassStream(self, static, tolerance)
