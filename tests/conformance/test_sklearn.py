"""scikit-learn's own checks on every public estimator; none is expected to fail."""

from __future__ import annotations

from sklearn.base import is_classifier, is_regressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.conformance.estimators import case_of
from tests.conformance.kinds import finals
from tsssm.estimators import Estimator, PanelEstimator


def learning(estimator: PanelEstimator) -> PanelEstimator:
    """Settings under which training learns the checks' toy labels, where it has labels to learn."""
    if isinstance(estimator, Estimator) and (is_classifier(estimator) or is_regressor(estimator)):
        return estimator.set_params(epochs=20, lr=0.02, dropout=0.0)
    return estimator


@parametrize_with_checks([learning(case_of(kind).make()) for kind in finals(PanelEstimator, "tsssm.estimators")])
def test_scikit_learn(estimator, check):
    check(estimator)
