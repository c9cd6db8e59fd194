"""sktime's own checks, all of them, on every estimator."""

from __future__ import annotations

import pytest
from sktime.utils.estimator_checks import check_estimator, parametrize_with_checks

from tsssm import sktime
from tsssm.estimators import roles

ESTIMATORS = [getattr(sktime, name) for name in sktime.__all__ if name.startswith("SSM")]


@pytest.fixture(autouse=True)
def short_epochs(monkeypatch: pytest.MonkeyPatch):
    """Epochs of one step: the checks fit more than a thousand models of a few rows, for which an epoch has 20 steps."""
    monkeypatch.setattr(roles, "STEPS_AN_EPOCH", 1)


@parametrize_with_checks(ESTIMATORS, obj_varname="estimator", check_varname="check")
def test_check(estimator: type, check: str):
    results = check_estimator(estimator, tests_to_run=check, raise_exceptions=True, verbose=False)
    assert results
