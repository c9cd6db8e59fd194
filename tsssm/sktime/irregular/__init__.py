"""Checks for irregular data that any estimator of sktime can be put to: sktime's own have neither gaps nor NaN."""

from __future__ import annotations

from typing import Any

from tsssm.errors import explain
from tsssm.sktime.irregular.claims import Check, Claims, kind_of
from tsssm.sktime.irregular.forecasters import FORECASTERS
from tsssm.sktime.irregular.panels import PANELS

__all__ = ["CHECKS", "Check", "Claims", "check_irregular"]

SKIPPED = "SKIPPED"
PASSED = "PASSED"
CHECKS: dict[str, tuple[Check, ...]] = {
    "forecaster": FORECASTERS,
    **dict.fromkeys(("classifier", "regressor", "transformer"), PANELS),
}


def check_irregular(estimator: Any, raise_exceptions: bool = False) -> dict[str, Any]:
    """Put an estimator of sktime to all checks for irregular data of its kind.

    Parameters
    ----------
    estimator : class or instance
        Forecaster, classifier, regressor or transformer. Of a class all its test parameters are tried.
    raise_exceptions : bool, default False
        Whether the first failure is raised.

    Returns
    -------
    dict
        By "name of the check-number of the parameters": "PASSED", "SKIPPED: why", or the exception.

    Raises
    ------
    TypeError
        Where there are no checks for estimators of its kind.

    Examples
    --------
    >>> from sktime.classification.dummy import DummyClassifier
    >>> from tsssm.sktime import check_irregular
    >>> str(check_irregular(DummyClassifier())["gaps_count-0"])
    'gaps change nothing'
    """
    objects = estimator.create_test_instances_and_names()[0] if isinstance(estimator, type) else [estimator]
    results: dict[str, Any] = {}
    for number, one in enumerate(objects):
        claims = Claims.of(one)
        for check in checks_for(one):
            try:
                reason = check(one, claims)
            # whatever a stranger's estimator raises is what its check found, as in sktime's own runner
            except Exception as error:
                if raise_exceptions:
                    raise
                results[f"{check.__name__}-{number}"] = error
            else:
                results[f"{check.__name__}-{number}"] = PASSED if reason is None else f"{SKIPPED}: {reason}"
    return results


def checks_for(estimator: Any) -> tuple[Check, ...]:
    """The checks of the kind of an estimator."""
    kind = kind_of(estimator)
    if kind not in CHECKS:
        do = "Pass an estimator of one of these kinds"
        raise TypeError(explain(f"checks are for {', '.join(CHECKS)}", f"a {kind} came", do))
    return CHECKS[kind]
