"""SSMImputer: gaps, any times, intervals and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tsssm import SSMImputer
from tsssm.data import Panel

QUICK = {"epochs": 1, "d_model": 8, "depth": 1, "random_state": 0}


def curves(n: int = 30, rows: int = 25, random_state: int = 0, gap: float = 0.6) -> Panel:
    """Smooth irregular curves of two channels that are read at different rows."""
    rng = np.random.default_rng(random_state)
    series = []
    for phase in rng.uniform(0, 6, n):
        times = np.cumsum(gap * rng.uniform(0.5, 1.5, rows))
        values = np.stack([np.sin(times + phase), np.cos(times + phase)], 1)
        values[rng.random((rows, 2)) < 0.3] = np.nan
        series.append((times, values))
    return Panel.from_series(series, channels=["a", "b"])


@pytest.fixture(scope="module")
def fitted() -> SSMImputer:
    return SSMImputer(**QUICK).fit(curves())


def test_observed_entries_stay_and_gaps_are_filled(fitted: SSMImputer):
    panel = curves(5, random_state=1)
    filled, seen = fitted.transform(panel), np.isfinite(panel.values)
    np.testing.assert_array_equal(filled.values[seen], panel.values[seen])
    assert np.isfinite(filled.values).all() and np.array_equal(filled.times, panel.times)


def test_curves_are_better_filled_than_by_straight_lines():
    est = SSMImputer(epochs=100, d_model=16, depth=1, lr=0.01, random_state=0).fit(curves(60, gap=1.2))
    rng = np.random.default_rng(5)
    errors, straight = [], []
    for phase in rng.uniform(0, 6, 10):
        times = np.cumsum(1.2 * rng.uniform(0.5, 1.5, 15))
        asked = (times[1:] + times[:-1]) / 2
        values = np.stack([np.sin(times + phase), np.cos(times + phase)], 1)
        panel = Panel.from_series([(times, values)], channels=["a", "b"])
        truth = np.sin(asked + phase)
        errors.append(np.abs(est.predict(panel, asked).values[:, 0] - truth).mean())
        straight.append(np.abs(np.interp(asked, times, values[:, 0]) - truth).mean())
    assert np.mean(errors) < np.mean(straight)


def test_predict_at_any_time_agrees_with_transform(fitted: SSMImputer):
    panel = curves(3, random_state=2)
    filled = fitted.transform(panel)
    answer = fitted.predict(panel, {i: panel[i].times for i in range(3)})
    kept = np.isfinite(panel.values).any(1)
    np.testing.assert_allclose(answer.values[kept], filled.values[kept], rtol=1e-6, atol=1e-8)


def test_other_times_asked_along_do_not_matter(fitted: SSMImputer):
    panel = curves(3, random_state=2)
    few, many = fitted.predict(panel, [1.0, 5.0]), fitted.predict(panel, [0.1, 1.0, 3.3, 5.0, 60.0])
    for i in range(3):
        np.testing.assert_allclose(few[i].values, many[i].values[[1, 3]], rtol=1e-6, atol=1e-8)


def test_intervals_hold_the_median_and_are_nothing_at_observed_entries(fitted: SSMImputer):
    panel = Panel.from_series(
        [([0.0, 1.0, 2.0], np.array([[0.5, np.nan], [0.2, 0.1], [0.3, 0.3]]))], channels=["a", "b"]
    )
    bounds = fitted.predict_interval(panel, [0.0, 0.7]).values
    assert bounds[0, 0] == pytest.approx(0.5) and bounds[0, 1] == pytest.approx(0.5)
    middle = fitted.predict(panel, [0.0, 0.7]).values
    assert (bounds[1, [0, 2]] < middle[1]).all() and (middle[1] < bounds[1, [1, 3]]).all()
    names = fitted.predict_quantiles(panel, [0.7], quantiles=(0.1, 0.9)).channels
    assert names == ("a[0.1]", "a[0.9]", "b[0.1]", "b[0.9]")


def test_long_series_are_answered_in_windows():
    times = np.cumsum(np.random.default_rng(0).uniform(0.2, 0.4, 400))
    values = np.sin(times)
    values[150:153] = np.nan
    panel = Panel.from_series([(times, values)])
    est = SSMImputer(context=64, epochs=2, d_model=8, depth=1, random_state=0).fit(panel)
    assert np.isfinite(est.transform(panel).values).all()
    # what lies far away, and unobserved rows in between, move no window
    asked = est.predict(panel, times[150:153]).values
    np.testing.assert_allclose(est.transform(panel).values[150:153], asked, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(
        est.predict(panel, np.append(times[150:153], [1.2345, 99.0])).values[1:4], asked, rtol=1e-6
    )


def test_arrays_come_back_as_arrays():
    X = np.sin(np.arange(120.0)).reshape(10, 12)
    X[2, 3] = np.nan
    est = SSMImputer(**QUICK)
    filled = est.fit_transform(X)
    assert filled.shape == X.shape and np.isfinite(filled).all()
    assert list(est.get_feature_names_out()) == [f"x{j}" for j in range(12)]
    cube = np.repeat(X[:, :, None], 2, axis=2)
    assert SSMImputer(**QUICK).fit_transform(cube).shape == cube.shape
    assert make_pipeline(SSMImputer(**QUICK), FunctionTransformer(np.abs)).fit_transform(X).min() >= 0


def test_channel_never_seen_stays_nan_and_lonely_series_are_answered():
    panel = curves(10)
    more = panel.with_values(np.c_[panel.values, np.full(panel.n_rows, np.nan)], channels=["a", "b", "none"])
    filled = SSMImputer(**QUICK).fit(more).transform(more)
    assert np.isnan(filled.values[:, 2]).all() and np.isfinite(filled.values[:, :2]).all()


def test_empty_series_are_answered_from_the_global_level(fitted: SSMImputer):
    panel = Panel.from_series([(np.array([]), np.empty((0, 2))), ([1.0], [[0.4, np.nan]])], channels=["a", "b"])
    assert np.isfinite(fitted.predict(panel, [2.0, 3.0]).values).all()


def test_datetimes_are_asked_by_datetimes():
    frame = pd.DataFrame(
        {"id": 0, "time": pd.date_range("2024-01-01", periods=48, freq="h"), "x": np.sin(np.arange(48.0))}
    )
    panel = Panel.from_frame(frame, "id", "time")
    est = SSMImputer(**QUICK).fit(panel)
    answer = est.predict(panel, pd.to_datetime(["2024-01-01 03:30", "2024-01-02 00:10"]))
    assert list(answer.stamps()) == list(pd.to_datetime(["2024-01-01 03:30", "2024-01-02 00:10"]))
    with pytest.raises(ValueError, match="datetime"):
        est.predict(panel, [1.0])
