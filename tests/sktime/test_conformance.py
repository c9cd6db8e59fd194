"""sktime's own checks, all of them, on every estimator."""

from __future__ import annotations

from sktime.utils.estimator_checks import check_estimator, parametrize_with_checks

from tsssm import sktime

ESTIMATORS = [getattr(sktime, name) for name in sktime.__all__ if name.startswith("SSM")]


@parametrize_with_checks(ESTIMATORS, obj_varname="estimator", check_varname="check")
def test_check(estimator: type, check: str):
    results = check_estimator(estimator, tests_to_run=check, raise_exceptions=True, verbose=False)
    assert results
