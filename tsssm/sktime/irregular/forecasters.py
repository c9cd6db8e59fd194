"""Checks of forecasters: irregular stamps are asked, answered, and counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sktime.forecasting.base import ForecastingHorizon

from tsssm.sktime.irregular.claims import TOLERANCE, Check, Claims
from tsssm.sktime.irregular.series import ahead, dated, panel, series


def answers(forecaster: Any, y: Any, spans: pd.TimedeltaIndex) -> np.ndarray:
    """Forecasts of a fresh copy, fitted to y."""
    return np.asarray(forecaster.clone().fit(y, fh=spans).predict(), dtype=np.float64).ravel()


def stamps_are_answered(forecaster: Any, claims: Claims) -> str | None:
    """Absolute irregular stamps come back with finite forecasts, also in a time zone."""
    for zone in (None, "Europe/Berlin"):
        y = dated(series(), zone)
        stamps = y.index[-1] + ahead(0.7, 1.0, 5.5)
        out = forecaster.clone().fit(y, fh=ForecastingHorizon(stamps, is_relative=False)).predict()
        assert out.index.equals(stamps), f"asked {stamps}, answered {out.index}"
        assert np.isfinite(out.to_numpy()).all(), "forecasts are not finite"
    return None


def durations_are_stamps(forecaster: Any, claims: Claims) -> str | None:
    """A duration after the cutoff is asked like the stamp there."""
    y, spans = dated(series()), ahead(1.5, 4.0)
    stamps = ForecastingHorizon(y.index[-1] + spans, is_relative=False)
    absolute = forecaster.clone().fit(y, fh=stamps).predict()
    np.testing.assert_allclose(answers(forecaster, y, spans), absolute.to_numpy().ravel(), **TOLERANCE)
    return None


def missing_is_no_row(forecaster: Any, claims: Claims) -> str | None:
    """A row without a value is as good as no row."""
    if not claims.missing:
        return "missing values are not claimed"
    y = series()
    holes = y.copy()
    holes.iloc[[3, 4, 11]] = np.nan
    spans = ahead(1.0, 3.0)
    full, dropped = answers(forecaster, holes, spans), answers(forecaster, holes.dropna(), spans)
    assert np.isfinite(full).all(), "forecasts are not finite"
    np.testing.assert_allclose(full, dropped, **TOLERANCE)
    return None


def missing_covariates_are_taken(forecaster: Any, claims: Claims) -> str | None:
    """Covariates may be missing in the past and in the rows asked, but are used where they are not."""
    if not (claims.missing and forecaster.get_tag("capability:exogenous")):
        return "missing values or covariates are not claimed"
    y = dated(series())
    stamps = y.index[-1] + ahead(1.0, 3.0)
    X = pd.DataFrame({"x": np.arange(len(y) + 2) % 3.0}, index=y.index.append(stamps))
    X.iloc[[4, 9, -1]] = np.nan
    fh = ForecastingHorizon(stamps, is_relative=False)
    fitted = forecaster.clone().fit(y, X=X.loc[y.index], fh=fh)
    out = [np.asarray(fitted.predict(X=X.loc[stamps].fillna({"x": x})), dtype=np.float64) for x in (np.nan, 0.0, 2.0)]
    assert np.isfinite(out).all(), "forecasts are not finite"
    assert not np.allclose(out[1], out[2], rtol=1e-9), "other covariates give the same forecasts"
    return None


def start_of_time_is_free(forecaster: Any, claims: Claims) -> str | None:
    """Timedeltas counted from another start give the same forecasts."""
    early, late = (answers(forecaster, series(shift=shift), ahead(1.0, 3.0)) for shift in (0.0, 1000.0))
    np.testing.assert_allclose(early, late, **TOLERANCE)
    return None


def unit_of_time_is_free(forecaster: Any, claims: Claims) -> str | None:
    """The same series on a clock four times as slow gives the same forecasts."""
    fast, slow = (answers(forecaster, series(scale=scale), ahead(1.0, 3.0, scale=scale)) for scale in (1.0, 4.0))
    np.testing.assert_allclose(fast, slow, **TOLERANCE)
    return None


def times_count(forecaster: Any, claims: Claims) -> str | None:
    """Forecasts for other stamps, and after other gaps, differ: stamps are used, not only carried."""
    y = series()
    near, far = answers(forecaster, y, ahead(1.0)), answers(forecaster, y, ahead(30.0))
    assert not np.allclose(near, far, rtol=1e-9), "one hour and thirty hours ahead are forecast alike"
    times = y.index.to_numpy().copy()
    times[:12] -= np.timedelta64(40, "h")
    apart = y.set_axis(pd.TimedeltaIndex(times))
    other = answers(forecaster, apart, ahead(1.0))
    assert not np.allclose(near, other, rtol=1e-9), "a gap of forty hours in the past changes nothing"
    return None


def own_stamps_in_panels(forecaster: Any, claims: Claims) -> str | None:
    """Series of a panel are asked at stamps of their own, which stand in the index of X."""
    if not forecaster.get_tag("capability:exogenous"):
        return "covariates are not claimed"
    y = dated(panel(6)[["a"]])
    X = pd.DataFrame({"zero": np.zeros(len(y))}, index=y.index)
    late = y.groupby(level=0).cumcount(ascending=False) < 2
    horizon = ForecastingHorizon(y[late].index.get_level_values(-1).unique().sort_values(), is_relative=False)
    out = forecaster.clone().fit(y[~late], X=X[~late], fh=horizon).predict(X=X)
    assert out.index.equals(y[late].index), f"{late.sum()} rows were asked, and {len(out)} other ones answered"
    assert np.isfinite(out.to_numpy()).all(), "forecasts are not finite"
    return None


def quantiles_keep_order(forecaster: Any, claims: Claims) -> str | None:
    """Quantiles at irregular stamps are finite and do not cross."""
    if not claims.quantiles:
        return "quantiles are not claimed"
    y = series()
    out = (
        forecaster.clone().fit(y, fh=ahead(0.7, 5.5)).predict_quantiles(alpha=[0.05, 0.25, 0.5, 0.75, 0.95]).to_numpy()
    )
    assert np.isfinite(out).all(), "quantiles are not finite"
    assert (np.diff(out, axis=1) >= 0).all(), "quantiles cross"
    return None


def later_rows_update(forecaster: Any, claims: Claims) -> str | None:
    """Irregular later rows move the cutoff, and what is asked after them is answered."""
    if not forecaster.get_tag("capability:update"):
        return "updates are not claimed"
    y = series()
    later = forecaster.clone().fit(y.iloc[:16]).update(y.iloc[16:])
    assert later.cutoff[0] == y.index[-1], f"the cutoff is {later.cutoff[0]}"
    out = later.predict(ahead(2.0))
    assert np.isfinite(out.to_numpy()).all(), "forecasts are not finite"
    return None


FORECASTERS: tuple[Check, ...] = (
    stamps_are_answered,
    durations_are_stamps,
    missing_is_no_row,
    missing_covariates_are_taken,
    start_of_time_is_free,
    unit_of_time_is_free,
    times_count,
    own_stamps_in_panels,
    quantiles_keep_order,
    later_rows_update,
)
