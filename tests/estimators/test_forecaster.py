"""SSMForecaster: horizons, covariates, calibration, samples and bad questions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tsssm import SSMForecaster
from tsssm.data import Panel

QUICK = {"epochs": 1, "d_model": 8, "depth": 1, "random_state": 0}


def waves(n: int = 12, random_state: int = 0, clock: str = "number") -> Panel:
    """Irregular noisy waves with a covariate that shifts them, on numbers or on datetimes half an hour apart."""
    rng = np.random.default_rng(random_state)
    frames = []
    for i in range(n):
        times = np.cumsum(rng.uniform(0.5, 1.5, 30)) if clock == "number" else np.arange(30.0)
        shift = rng.integers(0, 2, 30).astype(float)
        value = np.sin(times) + 2 * shift + 0.1 * rng.standard_normal(30)
        stamps = times if clock == "number" else pd.Timestamp("2024-03-01") + pd.to_timedelta(times * 30, unit="min")
        frames.append(pd.DataFrame({"id": f"s{i}", "time": stamps, "y": value, "shift": shift}))
    return Panel.from_frame(pd.concat(frames), id="id", time="time")


@pytest.fixture(scope="module")
def numbers() -> SSMForecaster:
    return SSMForecaster(horizon=4, target=["y"], **QUICK).fit(waves())


@pytest.fixture(scope="module")
def dates() -> SSMForecaster:
    return SSMForecaster(horizon="2h", target=["y"], **QUICK).fit(waves(clock="datetime"))


def test_steps_follow_the_gap_of_each_series(numbers: SSMForecaster):
    panel = waves(3, 1)
    answer = numbers.predict(panel, 4)
    assert answer.channels == ("y",) and answer.lengths.tolist() == [4, 4, 4]
    for i in range(3):
        times, gap = panel[i].times, np.median(np.diff(panel[i].times))
        np.testing.assert_allclose(answer[i].times, times[-1] + gap * np.arange(1, 5), rtol=1e-12)


def test_durations_and_absolute_times_agree(dates: SSMForecaster):
    panel = waves(2, 1, "datetime")
    stamps = pd.date_range("2024-03-01 15:00", periods=4, freq="30min")
    forms = [
        "2h",
        pd.Timedelta("2h"),
        np.timedelta64(2, "h"),
        4,
        [1, 2, 3, 4],
        pd.to_timedelta([30, 60, 90, 120], unit="min"),
        ["30min", "1h", "90min", "2h"],
        stamps,
        {"s0": stamps, "s1": "2h"},
        pd.DataFrame({"id": np.repeat(["s0", "s1"], 4), "time": np.tile(stamps, 2), "y": np.nan}),
    ]
    expected = dates.predict(panel)
    assert list(expected[0].stamps()) == list(stamps)
    for form in forms:
        answer = dates.predict(panel, form)
        assert np.array_equal(answer.times, expected.times)
        np.testing.assert_array_equal(answer.values, expected.values)


def test_training_panel_continues(numbers: SSMForecaster):
    np.testing.assert_allclose(numbers.predict().values, numbers.predict(waves()).values, rtol=1e-12)


@pytest.mark.parametrize("head", ["quantile", "gaussian", "student_t"])
def test_other_times_asked_along_do_not_matter(head: str):
    est = SSMForecaster(horizon=4, head=head, **QUICK).fit(waves())
    panel = waves(3, 1)
    few, many = est.predict(panel, [1.0, 3.0]), est.predict(panel, [0.3, 1.0, 2.2, 3.0, 3.9])
    for i in range(3):
        np.testing.assert_allclose(few[i].values, many[i].values[[1, 3]], rtol=1e-6, atol=1e-8)


def test_each_id_its_own_times(numbers: SSMForecaster):
    panel = waves(3, 1)
    end = panel[2].times[-1]
    answer = numbers.predict(panel, {"s2": [2.0], "s0": np.array([panel[0].times[-1] + 1.5])})
    assert answer.lengths.tolist() == [1, 0, 1]
    assert answer[2].times[0] == end + 2.0


def test_quantiles_interval_mean_and_paths(numbers: SSMForecaster):
    panel = waves(3, 1)
    wide = numbers.predict_quantiles(panel, 3, quantiles=(0.01, 0.5, 0.99))
    assert wide.channels == ("y[0.01]", "y[0.5]", "y[0.99]")
    assert (np.diff(wide.values, axis=1) > 0).all()
    np.testing.assert_allclose(wide.values[:, 1:2], numbers.predict(panel, 3).values, rtol=1e-12)
    assert np.isfinite(numbers.predict(panel, 3, statistic="mean").values).all()
    small, large = (numbers.predict_interval(panel, 3, coverage=c) for c in (0.5, 0.95))
    assert small.channels == ("y[lower]", "y[upper]")
    assert (np.diff(large.values, axis=1) > np.diff(small.values, axis=1)).all()
    paths = numbers.sample_paths(panel, 3, n=4000, random_state=0)
    assert paths.shape == (4000, 9, 1)
    spread = wide.values[:, 2] - wide.values[:, 0]
    np.testing.assert_allclose(np.median(paths, 0)[:, 0] / spread, wide.values[:, 1] / spread, atol=0.03)
    np.testing.assert_array_equal(paths, numbers.sample_paths(panel, 3, n=4000, random_state=0))


def test_errors_of_a_random_walk_stay_together():
    walks = np.cumsum(np.random.default_rng(0).standard_normal((120, 30)), 1)
    est = SSMForecaster(horizon=8, epochs=4, d_model=16, depth=1, random_state=0).fit(walks)
    paths = est.sample_paths(walks[:20], 8, n=2000, random_state=0).reshape(2000, 20, 8)
    found = np.mean([np.corrcoef(paths[:, i, 3], paths[:, i, 7])[0, 1] for i in range(20)])
    # the correlation of a random walk at steps 4 and 8 is sqrt(4 / 8)
    assert abs(found - np.sqrt(0.5)) < 0.12


def test_intervals_cover_new_series():
    rng = np.random.default_rng(0)
    walks = np.cumsum(rng.standard_t(3, size=(1300, 25)), 1)
    est = SSMForecaster(horizon=5, epochs=1, d_model=16, depth=1, random_state=0).fit(walks[:1000])
    bounds = est.predict_interval(Panel.from_array(walks[1000:, :20]), 5, coverage=0.8).values.reshape(300, 5, 2)
    inside = (walks[1000:, 20:] >= bounds[..., 0]) & (walks[1000:, 20:] <= bounds[..., 1])
    assert abs(inside.mean() - 0.8) < 0.06


def test_known_covariates_shift_the_forecast():
    panel = waves(40)
    est = SSMForecaster(horizon=3, known=["shift"], epochs=160, d_model=32, depth=1, lr=0.01, random_state=0).fit(panel)
    assert est.targets_ == ("y",)
    other = waves(6, 1)
    answers = []
    for shift in (0.0, 1.0):
        table = pd.concat(
            pd.DataFrame({"id": id, "time": other[i].times[-1] + np.arange(1.0, 4.0), "shift": shift})
            for i, id in enumerate(other.ids)
        )
        answers.append(est.predict(other, table).values)
        # the same rows at the end of X say the same
        longer = Panel.from_frame(pd.concat([other.to_frame(), table]).sort_values(["id", "time"]), "id", "time")
        np.testing.assert_allclose(est.predict(longer, 3).values, answers[-1], rtol=1e-9)
    assert 1.0 < np.mean(answers[1] - answers[0]) < 3.0
    # a shift that is not told may be either
    told, untold = (est.predict_interval(other, table.assign(shift=shift)).values for shift in (1.0, np.nan))
    assert np.diff(untold).mean() > 1.1 * np.diff(told).mean()
    assert answers[0].mean() < untold.mean() < answers[1].mean()
    with pytest.raises(ValueError, match="known covariates"):
        est.predict(other, 3)


def test_static_features_tell_series_apart():
    rng = np.random.default_rng(0)
    kind = np.tile(["up", "down"], 30)
    values = np.where(kind == "up", 1.0, -1.0)[:, None] * np.arange(12.0) ** 2 + rng.standard_normal((60, 12))
    panel = replace(Panel.from_array(values), static=pd.DataFrame({"kind": kind}))
    est = SSMForecaster(horizon=2, epochs=6, d_model=16, depth=1, lr=0.01, random_state=0).fit(panel)
    short = replace(Panel.from_array(np.zeros((2, 1))), static=pd.DataFrame({"kind": ["up", "down"]}))
    assert np.diff(est.predict(short, 1).values[:, 0])[0] < 0


def test_channel_never_seen_is_nan_and_a_late_one_is_not():
    panel = waves()
    empty = panel.with_values(np.c_[panel.values, np.full(panel.n_rows, np.nan)], channels=["y", "shift", "none"])
    answer = SSMForecaster(horizon=2, **QUICK).fit(empty).predict()
    assert np.isfinite(answer.values[:, :2]).all() and np.isnan(answer.values[:, 2]).all()


def test_warm_start_goes_on():
    est = SSMForecaster(horizon=2, warm_start=True, **QUICK).fit(waves())
    before = est.time_scale_
    est.fit(waves(12, 3))
    assert est.time_scale_ == before and len(est.models_) == 1


def test_far_horizon_warns(numbers: SSMForecaster):
    with pytest.warns(UserWarning, match="as far ahead"):
        numbers.predict(waves(2), 40)


BAD = {
    "zero": (0, ValueError, "horizon"),
    "bool": (True, TypeError, "horizon"),
    "empty": ([], ValueError, "empty"),
    "text on numbers": ("6h", ValueError, "duration"),
    "negative": ([-1.0], ValueError, "positive"),
    "past": (np.array([1.0, 500.0]), ValueError, "end of a series"),
    "unknown id": ({"nobody": [1.0]}, ValueError, "nobody"),
    "other kind": (pd.date_range("2024-01-01", periods=2), ValueError, "number times"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_horizons_are_refused(name: str, numbers: SSMForecaster):
    horizon, kind, match = BAD[name]
    with pytest.raises(kind, match=match):
        numbers.predict(waves(2), horizon)


def test_number_as_duration_of_datetimes_is_refused(dates: SSMForecaster):
    with pytest.raises(ValueError, match="timedelta"):
        dates.predict(waves(2, 1, "datetime"), 1.5)


@pytest.mark.parametrize("params", [{"target": ["z"]}, {"known": ["z"]}, {"target": ["y"], "known": ["y"]}])
def test_unknown_roles_are_refused(params: dict):
    with pytest.raises(ValueError, match="target|known"):
        SSMForecaster(**params, **QUICK).fit(waves())


def test_bad_options_are_refused(numbers: SSMForecaster):
    with pytest.raises(ValueError, match="coverage"):
        numbers.predict_interval(waves(2), 2, coverage=1.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        numbers.predict_quantiles(waves(2), 2, quantiles=(0.0,))
    with pytest.raises(ValueError, match="statistic"):
        numbers.predict(waves(2), 2, statistic="mode")
    with pytest.raises(ValueError, match="head"):
        SSMForecaster(head="cauchy", **QUICK).fit(waves())


def test_periods_reach_back_a_season():
    """Each series has a season of its own of seven steps, which only a look back a whole season tells."""
    rng = np.random.default_rng(0)
    X = np.tile(rng.normal(size=(80, 7)), (1, 6)) + 0.05 * rng.normal(size=(80, 42))
    past, truth = X[:, :35], X[:, 35:]
    small = {"horizon": 7, "epochs": 6, "d_model": 16, "depth": 1, "lr": 0.01, "random_state": 0}
    off = [
        np.abs(SSMForecaster(periods=periods, **small).fit(past).predict(past) - truth).mean()
        for periods in ((), [7], 7)
    ]
    assert off[1] < 0.35 * off[0]
    assert off[1] == off[2]


@pytest.mark.parametrize("periods", [[0.5], ["7D"], [7, -1]])
def test_bad_periods_are_refused(periods: list):
    with pytest.raises(ValueError, match="; .* came"):
        SSMForecaster(horizon=2, periods=periods, **QUICK).fit(np.arange(20.0).reshape(2, 10))
