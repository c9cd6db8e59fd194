"""KoopmanVAE and KoopmanForecaster on series whose truth is known, and on bad input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from tsssm import KoopmanForecaster, KoopmanVAE, Panel
from tsssm.data import Source, as_panel
from tsssm.data.windows import tile_windows
from tsssm.estimators.koopman_networks import seen_between
from tsssm.estimators.queries import observed_rows

SMALL = {"d_latent": 4, "d_model": 8, "epochs": 2, "random_state": 0}
PERIODS, HALF_LIVES = [7.0, 12.0], [13.9, 34.7]
RATES = np.array([-0.05 + 0.6j, -0.02 + 0.25j])


def waves(n: int = 30, l: int = 12, channels: int = 2, random_state: int = 0) -> np.ndarray:
    rng = np.random.default_rng(random_state)
    phase = rng.uniform(0, 2 * np.pi, (n, 1, channels))
    return np.sin(0.5 * np.arange(l)[:, None] + phase) + 0.05 * rng.normal(size=(n, l, channels))


def linear_series(n: int, rows: int, random_state: int = 0) -> Panel:
    """Three channels that are linear pictures of two decaying oscillators, at irregular times."""
    rng = np.random.default_rng(random_state)
    C, series = rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2)), []
    for _ in range(n):
        times = np.cumsum(rng.uniform(0.5, 1.5, rows))
        z = (rng.normal(size=2) + 1j * rng.normal(size=2)) * np.exp(RATES * (times - times[0])[:, None])
        series.append((times, (z @ C.T).real))
    return Panel.from_series(series)


@pytest.fixture(scope="module")
def fitted() -> KoopmanVAE:
    return KoopmanVAE(decoder="pointwise", **SMALL).fit(waves())


def test_half_the_gaps_give_the_same_series_at_common_times(fitted: KoopmanVAE):
    whole = fitted.sample(5, times=np.arange(6.0), random_state=1).values.reshape(5, 6, 2)
    half = fitted.sample(5, times=np.arange(0, 5.5, 0.5), random_state=1).values.reshape(5, 11, 2)
    np.testing.assert_allclose(half[:, ::2], whole, rtol=1e-12, atol=1e-12)
    uneven = [0.0, 0.2, 1.7, np.pi]
    more = [0.0, 0.1, 0.2, 0.95, 1.7, 2.0, np.pi]
    few = fitted.sample(5, times=uneven, random_state=1).values.reshape(5, 4, 2)
    many = fitted.sample(5, times=more, random_state=1).values.reshape(5, 7, 2)
    np.testing.assert_allclose(many[:, [0, 2, 4, 6]], few, rtol=1e-12, atol=1e-12)
    assert not np.allclose(fitted.sample(5, times=uneven, random_state=2).values, few.reshape(-1, 2))


def test_a_decoder_of_whole_paths_is_shown_rows_between_observations():
    holes = waves()
    holes[np.random.default_rng(1).random(holes.shape[:2]) < 0.5] = np.nan
    uneven = Panel.from_series([(5.0 * i + np.arange(12.0), each) for i, each in enumerate(holes)])
    jitter = np.random.default_rng(2).uniform(-0.01, 0.01, (30, 12))
    nearly = Panel.from_series([(np.arange(12.0) + off, each) for off, each in zip(jitter, waves(), strict=True)])
    for panel, decoder, more in (
        (uneven, "recurrent", True),
        (nearly, "recurrent", False),
        (uneven, "pointwise", False),
        (waves(), "recurrent", False),
    ):
        model = KoopmanVAE(decoder=decoder, **SMALL).fit(panel)
        source = Source(observed_rows(as_panel(panel)), model.marginals_, model.time_scale_, np.zeros((30, 1)))
        windows = tile_windows(source, model.context)
        found = seen_between(model, as_panel(panel), windows, 0)
        assert (found is not windows) == more
        if more:
            seen, times = found.source.seen[:-1].any(1), found.source.times[:-1] * model.time_scale_
            np.testing.assert_allclose(times, times.round(), atol=1e-9)
            assert found.lengths.max() <= 12 and 0 < seen.sum() < len(seen)
            np.testing.assert_array_equal(found.source.values[:-1][seen], source.values[:-1])


def test_samples_come_at_the_times_of_training_and_in_its_range():
    times = np.array([0.0, 1.0, 1.5, 4.0])
    panel = Panel.from_series([(times[: 2 + i % 3], waves(1, 4, 2, i)[0, : 2 + i % 3]) for i in range(12)])
    drawn = KoopmanVAE(**SMALL).fit(panel).sample(20, random_state=0)
    assert len(drawn) == 20 and drawn.channels == panel.channels and set(drawn.lengths) == {2, 3, 4}
    for own, values in drawn:
        assert np.array_equal(own, times[: len(own)])
        assert np.isfinite(values).all()


def test_datetimes_have_modes_in_seconds_and_periods_in_durations():
    stamps = pd.date_range("2024-03-01", periods=48, freq="h")
    panel = Panel.from_array(waves(10, 48), times=stamps)
    model = KoopmanVAE(periods=["24h", "12h"], conserved=0, **SMALL).fit(panel)
    held = model.modes_[model.modes_["held"]]
    assert sorted(held["period"]) == pytest.approx([12 * 3600, 24 * 3600], rel=1e-6)
    assert np.isinf(held["half_life"]).all() and model.modes_.attrs["unit"] == "s"
    drawn = model.sample(2, times=stamps[:5], random_state=0)
    assert list(drawn.stamps()[:5]) == list(stamps[:5])


def test_conserved_modes_do_not_fade_and_others_do():
    model = KoopmanVAE(conserved=1, process_noise=False, **SMALL).fit(waves())
    assert np.isinf(model.modes_["half_life"]).sum() == 1 and (model.modes_["half_life"] > 0).all()


def test_held_modes_of_linear_data_are_exact_and_conserved_ones_stay_at_their_periods():
    rng, t = np.random.default_rng(0), 0.5 * np.arange(36)
    turning = np.cos(2 * np.pi * t / np.array([[3.0], [8.0]]) + rng.uniform(0, 2 * np.pi, (60, 2, 1)))
    X = np.einsum("nml,mc->nlc", turning, rng.normal(size=(2, 3))) + 0.005 * rng.normal(size=(60, 36, 3))
    more = {"d_latent": 4, "d_model": 8, "epochs": 3, "random_state": 0}
    model = KoopmanVAE(periods=[8.0], conserved=1, **more).fit(Panel.from_array(X, times=t))
    held, free = (model.modes_[model.modes_["held"] == each].iloc[0] for each in (True, False))
    assert held["period"] == pytest.approx(8.0, rel=1e-6) and free["period"] == pytest.approx(3.0, rel=0.01)
    assert np.isinf(model.modes_["half_life"]).all()


@pytest.mark.parametrize(("channels", "size"), [(2, 16), (10, 20)])
def test_there_is_a_mode_for_each_channel_and_eight_at_least(channels: int, size: int):
    X = np.random.default_rng(0).normal(size=(12, 8, channels))
    model = KoopmanVAE(d_model=8, epochs=1, random_state=0).fit(X)
    assert model.d_latent is None and model.model_.d_latent == size and len(model.modes_) == size // 2


def test_linear_data_give_their_modes_and_forecasts():
    panel = linear_series(80, 25)
    keep = np.tile(np.arange(25) < 21, 80)
    model = KoopmanForecaster(horizon=5, d_latent=4, epochs=60, lr=0.01, folds=0, random_state=0).fit(panel)
    assert sorted(model.modes_["period"]) == pytest.approx(sorted(2 * np.pi / RATES.imag), rel=0.01)
    assert sorted(model.modes_["half_life"]) == pytest.approx(sorted(np.log(2) / -RATES.real), rel=0.01)
    told = model.predict(panel.rows(keep), horizon=panel.rows(~keep))
    truth, last = panel.values[~keep], np.repeat(panel.values.reshape(80, 25, 3)[:, 20], 4, 0)
    assert np.square(told.values - truth).mean() < 0.1 * np.square(last - truth).mean()


def damped(n: int, dropped: float, noise: float = 0.005, random_state: int = 0) -> Panel:
    """Four channels, linear pictures of two modes, with noise; rows are dropped at random."""
    rng, t = np.random.default_rng(random_state), np.arange(36.0)
    C, series = rng.normal(size=(4, 2)) + 1j * rng.normal(size=(4, 2)), []
    rates = -np.log(2) / np.array(HALF_LIVES) + 2j * np.pi / np.array(PERIODS)
    for _ in range(n):
        z = (rng.normal(size=2) + 1j * rng.normal(size=2)) * np.exp(rates * t[:, None])
        values, keep = (z @ C.T).real + noise * rng.normal(size=(36, 4)), rng.random(36) >= dropped
        series.append((0.5 * t[keep], values[keep]))
    return Panel.from_series(series)


@pytest.mark.parametrize("dropped", [0.0, 0.3])
# series are left out for intervals alone
@pytest.mark.parametrize("kind", [KoopmanVAE, partial(KoopmanForecaster, folds=0)], ids=["vae", "forecaster"])
def test_periods_and_half_lives_of_linear_data_are_right_to_a_hundredth(kind: Callable, dropped: float):
    model = kind(d_latent=8, d_model=16, epochs=15, random_state=0).fit(damped(200, dropped))
    strong = model.modes_.head(2).sort_values("period")
    # a row is half a unit of time
    assert 2 * strong["period"].to_numpy() == pytest.approx(PERIODS, rel=0.01)
    assert 2 * strong["half_life"].to_numpy() == pytest.approx(HALF_LIVES, rel=0.01)
    assert model.modes_["energy"][2:].sum() < 0.02


def test_intervals_hold_what_follows_in_new_series():
    panel = damped(350, 0.3, 0.3)
    late = panel.times > 11.75
    model = KoopmanForecaster(horizon=6.0, d_latent=4, d_model=16, context=24, epochs=12, random_state=0)
    model.fit(panel[:200])
    past, truth = panel.rows(~late)[200:], panel.rows(late)[200:]
    ends = model.predict_interval(past, truth, coverage=0.9).values.reshape(-1, 4, 2)
    assert 0.86 < ((ends[..., 0] <= truth.values) & (truth.values <= ends[..., 1])).mean() < 0.94


def test_classes_condition_samples():
    values = np.concatenate([waves(20) + 5, waves(20) - 5])
    panel = replace(Panel.from_array(values), static=pd.DataFrame({"kind": ["up"] * 20 + ["down"] * 20}))
    model = KoopmanVAE(d_latent=4, d_model=8, epochs=30, lr=0.02, random_state=0).fit(panel)
    up, down = (model.sample(30, static={"kind": kind}, random_state=0) for kind in ("up", "down"))
    assert up.values.mean() > 3 and down.values.mean() < -3
    assert set(model.sample(40, random_state=0).static["kind"]) == {"up", "down"}
    with pytest.raises(ValueError, match="'kind' must be one of 'down', 'up'; 'left' came"):
        model.sample(1, static={"kind": "left"})
    with pytest.raises(ValueError, match="one value, or one for each series"):
        model.sample(3, static={"kind": ["up", "down"]})


def test_what_was_observed_is_kept_and_what_was_not_is_told(fitted: KoopmanVAE):
    X = waves(5)
    X[:, 3], X[:, 7, 1] = np.nan, np.nan
    filled = fitted.impute(Panel.from_array(X)).values.reshape(X.shape)
    seen = np.isfinite(X)
    assert np.array_equal(filled[seen], X[seen]) and np.isfinite(filled).all()
    asked = fitted.impute(Panel.from_array(X), times=[3.0, 3.5])
    assert asked.values.reshape(5, 2, 2)[:, 0] == pytest.approx(filled[:, 3], abs=1e-9)
    ahead = fitted.forecast(X[:, :6], [1, 2.5])
    assert ahead.shape == (5, 2) and ahead.times[:2].tolist() == [6.0, 7.5] and np.isfinite(ahead.values).all()


def test_the_bound_tells_series_of_training_from_others():
    model = KoopmanVAE(d_latent=4, d_model=8, epochs=20, lr=0.02, random_state=0).fit(waves())
    strange = np.random.default_rng(0).permuted(waves(20, random_state=1), axis=1)
    assert model.score_samples(waves(20, random_state=1)).mean() > model.score_samples(strange).mean()
    assert model.score(waves()) == pytest.approx(model.score_samples(waves()).mean())


def test_scikit_learn_searches_and_clones():
    search = GridSearchCV(KoopmanVAE(**SMALL), {"d_latent": [2, 4]}, cv=2).fit(Panel.from_array(waves()))
    assert search.best_params_["d_latent"] in (2, 4)
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()
    model = KoopmanVAE(layer="gru", **SMALL).set_params(layer="s5", layer__d_state=8, layer__blocks=1)
    assert model.get_params()["layer__d_state"] == 8
    first, second = (clone(model).fit(waves()).sample(3, random_state=0).values for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("more", [{"prior": "soft"}, {"layer": "neuralcde"}, {"regularizer": "information"}])
def test_kinds_fit_irregular_panels(more: dict):
    X = waves(16)
    X[np.random.default_rng(0).random(X.shape[:2]) < 0.5] = np.nan
    model = KoopmanVAE(**SMALL, **more).fit(Panel.from_array(X))
    drawn = model.sample(4, times=np.arange(12), random_state=0)
    assert np.isfinite(drawn.values).all() and np.isfinite(model.modes_["energy"]).all()


def test_constant_channels_ties_and_values_beyond_training_come_back():
    X = waves(20)
    X[..., 1] = 7.0
    model = KoopmanVAE(**SMALL).fit(X)
    assert (model.sample(5, random_state=0).values[:, 1] == 7.0).all()
    far = X[:3].copy()
    far[:, 2, 0], far[:, 5, 1] = 1e6, -1e6
    assert np.isfinite(model.score_samples(far)).all() and np.isfinite(model.forecast(far, 3).values).all()
    assert np.array_equal(model.impute(far), far)
    counts = np.random.default_rng(0).poisson(0.7, (20, 12, 1)).astype(float)
    drawn = KoopmanVAE(**SMALL).fit(counts).sample(20, random_state=0).values
    assert set(np.unique(drawn)) <= set(np.unique(counts))


def test_windows_of_a_single_row_are_fitted():
    model = KoopmanVAE(**SMALL).fit(Panel.from_array(waves(10, 1)))
    assert model.sample(3, random_state=0).values.shape == (3, 2)
    assert np.isfinite(KoopmanVAE(prior="soft", **SMALL).fit(Panel.from_array(waves(10, 1))).sample(3).values).all()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"d_latent": 5}, "`d_latent` must be even"),
        ({"periods": [3.0, 4.0], "conserved": 1}, "room for 2 modes"),
        ({"periods": [0.0]}, "`periods` must be positive"),
        ({"periods": ["24h"]}, "duration must be a number"),
        ({"prior": "soft", "periods": [3.0]}, "only the linear prior"),
        ({"prior": "hard"}, "prior"),
    ],
)
def test_parameters_that_do_not_fit_are_errors(more: dict, words: str):
    model = KoopmanVAE(**{**SMALL, **more})
    before = dict(vars(model))
    with pytest.raises(ValueError, match=words):
        model.fit(waves())
    assert vars(model) == before


def test_data_that_do_not_fit_are_errors(fitted: KoopmanVAE):
    table = pd.DataFrame({"id": [0, 0], "time": [0.0, 1.0], "mood": ["good", "bad"]})
    with pytest.raises(ValueError, match="channel 'mood'"):
        KoopmanVAE(**SMALL).fit(table)
    for times in ([2.0, 1.0], [[0.0, 1.0]], [], ["2024-01-01"]):
        with pytest.raises(ValueError, match="`times` must be an increasing array"):
            fitted.sample(2, times=times)
    with pytest.raises(ValueError, match="`n` must be"):
        fitted.sample(0)
    with pytest.raises(ValueError, match="`static` must be that of training"):
        fitted.sample(2, static={"kind": "up"})
