"""What a check is: a function of an estimator and of what its tags promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

# answers may differ in rounding alone
TOLERANCE = {"rtol": 1e-4, "atol": 1e-6}


class Claims(NamedTuple):
    """What the tags of an estimator promise, as far as a check needs it."""

    missing: bool
    unequal: bool
    quantiles: bool

    @classmethod
    def of(cls, estimator: Any) -> Claims:
        """Read the tags of an estimator."""
        names = ("capability:missing_values", "capability:unequal_length", "capability:pred_int")
        return cls(*(bool(estimator.get_tag(name, False, raise_error=False)) for name in names))


Check = Callable[[Any, Claims], str | None]
"""Raises AssertionError where an estimator fails; returns why it does not apply, or None."""


def kind_of(estimator: Any) -> str:
    """What sktime counts an estimator as: "forecaster", "classifier", ..."""
    kind = estimator.get_tag("object_type")
    return kind if isinstance(kind, str) else kind[0]
