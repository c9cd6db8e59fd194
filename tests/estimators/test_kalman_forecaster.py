"""KalmanForecaster: intervals that cover, states within the history, and words in the user's units."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

from tests.conformance.estimators import ragged
from tsssm import KalmanForecaster
from tsssm.data import Panel


def drifts(n: int, length: int, seed: int, sizes: float = 0.0) -> Panel:
    """Ornstein-Uhlenbeck processes of variance 4 about 5 that forget in 5, at random times under noise of spread 0.5."""
    rng, series = np.random.default_rng(seed), []
    for _ in range(n):
        times = np.cumsum(rng.exponential(1.0, length) + 0.05)
        keep, x = np.exp(-np.diff(times) / 5), np.empty(length)
        x[0] = rng.normal()
        for k in range(1, length):
            x[k] = keep[k - 1] * x[k - 1] + np.sqrt(1 - keep[k - 1] ** 2) * rng.normal()
        size = np.exp(sizes * rng.normal())
        series.append((times, size * (5 + 2 * x + 0.5 * rng.normal(size=length))[:, None]))
    return Panel.from_series(series, channels=["x"])


@cache
def fitted() -> KalmanForecaster:
    return KalmanForecaster(horizon=3, random_state=0).fit(drifts(40, 40, 0))


def cut(panel: Panel, ahead: int) -> tuple[Panel, Panel]:
    later = np.arange(panel.n_rows) >= np.repeat(panel.offsets[1:] - ahead, panel.lengths)
    return panel.rows(~later), panel.rows(later)


def test_what_was_simulated_is_found():
    table = fitted().components_.set_index("part")
    assert table.loc["noise", "spread"] == pytest.approx(0.5, rel=0.1)
    assert table.loc["drift", "spread"] == pytest.approx(2.0, rel=0.15)
    assert table.loc["drift", "decay"] == pytest.approx(5.0, rel=0.3)


@pytest.mark.parametrize("sizes", [0.0, 0.7])
def test_intervals_cover(sizes):
    model = fitted() if not sizes else KalmanForecaster(random_state=0).fit(drifts(40, 40, 0, sizes))
    past, truth = cut(drifts(300, 30, 1, sizes), 4)
    low, high = model.predict_interval(past, truth, coverage=0.9).values.T
    assert 0.87 < np.mean((truth.values[:, 0] > low) & (truth.values[:, 0] < high)) < 0.93
    paths = model.sample_paths(past, truth, n=400, random_state=0)[:, :, 0]
    drawn = np.quantile(paths, [0.05, 0.95], axis=0)
    np.testing.assert_allclose(drawn.mean(1), [low.mean(), high.mean()], rtol=0.03)
    # what is hidden in the history is within the band of the smoother, which knows more than the filter
    values, hidden = past.values.copy(), np.random.default_rng(0).random(past.n_rows) < 0.2
    values[hidden] = np.nan
    asked = {i: past[i].stamps() for i in past.ids.tolist()}
    mean, std = model.smooth(past.with_values(values), asked).values.T
    assert std.mean() < model.filter(past.with_values(values), asked).values[:, 1].mean()
    if not sizes:
        off = (past.values[:, 0] - mean)[hidden] / np.hypot(std, 0.5)[hidden]
        assert 0.87 < np.mean(np.abs(off) < 1.645) < 0.93


def test_filter_and_smoother_agree_at_the_end_and_ahead():
    past = drifts(5, 20, 2)
    ends = {i: [past[i].times[-1], past[i].times[-1] + 2.5] for i in past.ids.tolist()}
    seen, whole = fitted().filter(past, ends), fitted().smooth(past, ends)
    np.testing.assert_allclose(seen.values, whole.values, rtol=1e-9)
    ahead = fitted().predict(past, horizon=[2.5])
    np.testing.assert_allclose(seen.values[1::2, 0], ahead.values[:, 0], rtol=1e-9)
    assert fitted().smooth(past).n_rows == past.n_rows


def test_a_filter_does_not_see_the_future():
    past = drifts(1, 20, 3)
    values = past.values.copy()
    values[10:] += 100.0
    ours, other = (fitted().filter(each).values for each in (past, past.with_values(values)))
    np.testing.assert_array_equal(ours[:10], other[:10])


def test_seasons_of_datetimes():
    rng, series = np.random.default_rng(0), []
    for _ in range(3):
        hours = np.sort(rng.choice(24 * 12, 24 * 7, replace=False))
        wave = np.sin(2 * np.pi * hours / 24) + 0.5 * np.cos(4 * np.pi * hours / 24)
        series.append(
            (
                pd.Timestamp("2024-01-01") + pd.to_timedelta(hours, "h"),
                (wave + 0.2 * rng.normal(size=len(hours)))[:, None],
            )
        )
    panel = Panel.from_series(series)
    model = KalmanForecaster(horizon="24h", cycles=0, epochs=100).fit(panel)
    periods = model.components_.query("part == 'cycle'").period
    np.testing.assert_allclose(periods, [86_400, 43_200])
    lead = model.predict(panel, horizon="48h")
    hours = np.asarray((pd.DatetimeIndex(lead.stamps()) - pd.Timestamp("2024-01-01")) / pd.Timedelta("1h"))
    truth = np.sin(2 * np.pi * hours / 24) + 0.5 * np.cos(4 * np.pi * hours / 24)
    assert np.abs(lead.values[:, 0] - truth).mean() < 0.15
    named = KalmanForecaster(cycles=0, periods=["24h"], epochs=100).fit(panel)
    pd.testing.assert_frame_equal(named.components_, model.components_)


def test_channels_that_are_seen_at_different_times_have_answers_of_their_own():
    panel = ragged(12)
    model = KalmanForecaster(epochs=3).fit(panel)
    values = panel.values.copy()
    values[:, 1] = np.nan
    times = {i: [20.0, 25.0] for i in panel.ids.tolist()}
    alone, both = (model.filter(each, times).values for each in (panel.with_values(values), panel))
    np.testing.assert_allclose(alone[:, :2], both[:, :2], rtol=1e-6)
    assert not np.allclose(alone[:, 2:], both[:, 2:])


def test_a_long_series_is_fitted_in_pieces():
    panel = drifts(1, 900, 4)
    model = KalmanForecaster(context=300, epochs=150).fit(panel)
    table = model.components_.set_index("part")
    assert table.loc["noise", "spread"] == pytest.approx(0.5, rel=0.3)


def test_streams_keep_little_and_go_on_elsewhere():
    panel = drifts(1, 1500, 5)
    stream, sizes = fitted().stream(), []
    for start in range(0, 1500, 500):
        stream.update(panel.times[start : start + 500], panel.values[start : start + 500])
        kept = stream.state_dict()["kept"]
        sizes.append(sum(part.numel() for part in kept.values()))
    assert sizes[1] == sizes[2]
    other = fitted().stream().load_state_dict(stream.state_dict())
    for ask in (lambda s: s.predict(3), lambda s: s.predict_interval([0.5, 2.0]), lambda s: s.predict_quantiles()):
        np.testing.assert_array_equal(ask(other).values, ask(stream).values)
    np.testing.assert_allclose(stream.predict_interval(3).values, fitted().predict_interval(panel, 3).values, rtol=1e-5)
    with pytest.raises(ValueError, match="a stream of this estimator"):
        other.load_state_dict({**stream.state_dict(), "kept": {"times": torch.zeros(2)}})
    with pytest.raises(ValueError, match="none has come"):
        fitted().stream().predict()


def test_what_cannot_be_is_refused():
    past = drifts(2, 20, 6)
    with pytest.raises(ValueError, match="must lie after the end"):
        fitted().predict(past, horizon=np.array([0.1]))
    with pytest.raises(ValueError, match="positive durations"):
        KalmanForecaster(periods=[-1.0]).fit(past)
    with pytest.raises(ValueError, match="for these times"):
        KalmanForecaster(periods=["24h"]).fit(past)
