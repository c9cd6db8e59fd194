"""Checks of what reads panels: classifiers, regressors, transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tsssm.sktime.irregular.claims import TOLERANCE, Check, Claims, kind_of
from tsssm.sktime.irregular.series import panel


def outputs(estimator: Any, X: pd.DataFrame, later: pd.DataFrame | None = None) -> np.ndarray:
    """What a fresh copy of an estimator of panels says to `later` after a fit to X, row by row."""
    n = X.index.droplevel(-1).nunique()
    kind = kind_of(estimator)
    later = X if later is None else later
    if kind == "transformer":
        return np.asarray(estimator.clone().fit(X).transform(later), dtype=np.float64)
    y = np.array(["slow", "fast"])[np.arange(n) % 2] if kind == "classifier" else np.arange(n) % 2 + 0.5
    fitted = estimator.clone().fit(X, y)
    return np.asarray(fitted.predict_proba(later) if kind == "classifier" else fitted.predict(later), dtype=np.float64)


def own_times_are_taken(estimator: Any, claims: Claims) -> str | None:
    """Series of unequal lengths at times of their own give finite answers."""
    if not claims.unequal:
        return "unequal lengths are not claimed"
    assert np.isfinite(outputs(estimator, panel())).all(), "answers are not finite"
    return None


def holes_are_taken(estimator: Any, claims: Claims) -> str | None:
    """Missing values give finite answers; of rows, where a transformer promises to remove them."""
    if not (claims.missing and claims.unequal):
        return "missing values or unequal lengths are not claimed"
    out = outputs(estimator, panel(missing=True))
    removes = estimator.get_tag("capability:missing_values:removes", True, raise_error=False)
    assert not removes or np.isfinite(out).all(), "answers are not finite"
    return None


def start_is_free(estimator: Any, claims: Claims) -> str | None:
    """Timedeltas counted from another start give the same answers."""
    if not claims.unequal:
        return "unequal lengths are not claimed"
    np.testing.assert_allclose(outputs(estimator, panel()), outputs(estimator, panel(shift=500.0)), **TOLERANCE)
    return None


def unit_is_free(estimator: Any, claims: Claims) -> str | None:
    """A clock four times as slow gives the same answers."""
    if not claims.unequal:
        return "unequal lengths are not claimed"
    np.testing.assert_allclose(outputs(estimator, panel()), outputs(estimator, panel(scale=4.0)), **TOLERANCE)
    return None


def series_stand_alone(estimator: Any, claims: Claims) -> str | None:
    """What is said of a series does not depend on what else is asked."""
    if not claims.unequal:
        return "unequal lengths are not claimed"
    X = panel()
    some = X.loc[["s03", "s07"]]
    together = outputs(estimator, X)
    number = np.arange(len(together))
    if len(together) == len(X):
        number = number[X.index.get_level_values(0).isin(["s03", "s07"])]
    else:
        number = np.array([3, 7])
    np.testing.assert_allclose(together[number], outputs(estimator, X, some), **TOLERANCE)
    return None


def gaps_count(estimator: Any, claims: Claims) -> str | None:
    """Other gaps between the same values give other answers: stamps are used, not only carried."""
    if not claims.unequal:
        return "unequal lengths are not claimed"
    X = panel(missing=claims.missing)
    moved = X.copy()
    times = X.index.get_level_values(-1) + X.groupby(level=0).cumcount().to_numpy() ** 2 * pd.Timedelta("7min")
    moved.index = pd.MultiIndex.from_arrays([X.index.get_level_values(0), times], names=X.index.names)
    assert not np.allclose(outputs(estimator, X), outputs(estimator, X, moved), equal_nan=True), "gaps change nothing"
    return None


PANELS: tuple[Check, ...] = (
    own_times_are_taken,
    holes_are_taken,
    start_is_free,
    unit_is_free,
    series_stand_alone,
    gaps_count,
)
