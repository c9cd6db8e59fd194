"""scikit-learn's own checks on every public estimator; none is expected to fail."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.conformance.estimators import QUICK, case_of
from tests.conformance.kinds import finals
from tsssm.estimators import Estimator

# the checks want a model that learns their toy data; a high rate does so in few epochs
SETTINGS = {**QUICK, "epochs": 20, "lr": 0.02, "dropout": 0.0}
ESTIMATORS = [case_of(kind).make().set_params(**SETTINGS) for kind in finals(Estimator, "tsssm.estimators")]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn(estimator, check):
    check(estimator)
