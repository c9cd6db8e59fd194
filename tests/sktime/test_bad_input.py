"""What a user may get wrong is refused in three parts: what must hold, what came, what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sktime.forecasting.base import ForecastingHorizon

from tsssm.sktime import SSMClassifier, SSMFeatures, SSMForecaster, SSMImputer, TailSplitter, timed
from tsssm.sktime.irregular.series import dated, series

SMALL = {"d_model": 4, "depth": 1, "epochs": 1, "random_state": 0}
DAILY = pd.Series(np.arange(30.0), index=pd.date_range("2024-01-01", periods=30), name="y")
FLOATS = pd.Series(np.arange(5.0), index=[0.0, 0.5, 1.0, 1.7, 2.0])
TWICE = DAILY.iloc[[0, 1, 1, 2, 3]]
MIXED = pd.concat(
    {"day": DAILY.to_frame(), "week": DAILY.set_axis(pd.date_range("2023-06-04", periods=30, freq="W")).to_frame()}
)
PERIODS = DAILY.to_period()
WEEKDAY = pd.DataFrame({"x": np.arange(30) % 7}, index=DAILY.index)


def fit(y: Any, X: Any = None, fh: Any = None) -> SSMForecaster:
    return SSMForecaster(**SMALL).fit(y, X=X, fh=fh)


MISTAKES: dict[str, tuple[Callable[[], Any], str, str, str]] = {
    "float index": (lambda: fit(FLOATS), "times must be datetimes", "floats, such as 0.0", "timed"),
    "float index of a panel": (
        lambda: SSMClassifier(**SMALL).fit(
            pd.concat({0: FLOATS.to_frame("a"), 1: FLOATS.to_frame("a")}), np.array([0, 1])
        ),
        "times must be datetimes",
        "floats",
        "timed",
    ),
    "float index of a list": (
        lambda: SSMFeatures(80).fit([FLOATS.to_frame("a")] * 2),
        "times must be datetimes",
        "`X[0]` are floats",
        "timed",
    ),
    "stamp twice": (lambda: fit(TWICE), "come once", "2024-01-02", "groupby(level=0)"),
    "stamp twice in X": (
        lambda: SSMImputer(**SMALL).fit(pd.concat({"s": TWICE.to_frame()})),
        "come once",
        "'s'",
        "groupby(level=[0, 1])",
    ),
    "no frequency": (lambda: fit(dated(series())).predict(fh=[1, 2]), "need a frequency", "[1, 2]", "pd.DatetimeIndex"),
    "no frequency in fit": (lambda: fit(dated(series()), fh=[1]), "need a frequency", "the stamps have none", "stamps"),
    "no frequency of timedeltas": (
        lambda: fit(series()).predict(fh=[1]),
        "need a frequency",
        "none",
        "pd.to_timedelta",
    ),
    "two frequencies": (lambda: fit(MIXED).predict(fh=[1]), "all series share", "D, W-SUN", "Pass stamps"),
    "periods of other length": (
        lambda: fit(PERIODS).predict(
            fh=ForecastingHorizon(pd.period_range("2024-03", periods=2, freq="M"), is_relative=False)
        ),
        "kind and frequency",
        "PeriodIndex of M",
        "Convert `fh`",
    ),
    "X of other frequency": (
        lambda: fit(PERIODS, X=WEEKDAY.set_axis(pd.period_range("2020-01", periods=30, freq="M"))),
        "kind and frequency of `y`",
        "PeriodIndex of M",
        "Convert",
    ),
    "empty horizon": (lambda: fit(DAILY).predict(fh=[]), "at least one time", "an empty list", "fh=[1, 2, 3]"),
    "empty horizon in fit": (lambda: fit(DAILY, fh=np.array([], int)), "at least one", "an empty ndarray", "fh="),
    "before the history": (
        lambda: fit(DAILY).predict(fh=[-40, 1]),
        "before what is known",
        "2023-12-21",
        "2 * context rows",
    ),
    "no X": (lambda: fit(DAILY, X=WEEKDAY).predict(fh=[1]), "covariates of the rows asked", "no `X` came", "Pass X"),
    "X without rows": (
        lambda: fit(DAILY, X=WEEKDAY).predict(fh=[1, 2], X=WEEKDAY.set_axis(DAILY.index + pd.Timedelta("1D")).tail(1)),
        "covariates of the rows asked",
        "2024-02-01 00:00:00') is missing, and 1 of 2",
        "Pass X",
    ),
    "all missing": (lambda: fit(DAILY * np.nan), "X must hold observed values", "NaN", "Check the channels"),
    "times are no numbers": (lambda: timed(DAILY), "must be numbers", "datetime64", "Pass the frame as it is"),
    "nothing held out": (lambda: list(TailSplitter(0).split(DAILY)), "must be positive", "test=0", "Pass, say"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name: str):
    call, must, came, do = MISTAKES[name]
    with pytest.raises((ValueError, TypeError)) as raised:
        call()
    message = str(raised.value)
    first, rest = message.split("; ", 1)
    assert must in first
    assert came in rest and do in rest


def test_a_refused_question_leaves_the_answers():
    model = fit(DAILY, fh=[1, 2])
    before = model.predict()
    with pytest.raises(ValueError):
        model.predict(fh=[-40])
    pd.testing.assert_series_equal(model.predict(fh=[1, 2]), before)
