"""Scaling: robust, invertible, never infinite; static features: one layout for ever."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.preprocessing import RobustScaler

from tsssm.data.panel import Panel
from tsssm.data.scaling import Scaling, StaticEncoder
from tsssm.data.synthetic import damped_oscillators

NAN = np.nan


def fit_one(x, soft_limit=3.0) -> Scaling:
    return Scaling.fit(Panel.from_array(np.asarray(x, dtype=np.float64)[None]), soft_limit)


def test_agrees_with_robust_scaler_of_scikit_learn():
    x = np.random.default_rng(0).standard_t(2, (500, 3)) * [1.0, 1e6, 1e-6] + [0.0, 1e7, 3.0]
    peer = RobustScaler(unit_variance=True).fit(x)
    scaling = Scaling.fit(Panel.from_array(x[None]), soft_limit=np.inf)
    assert np.allclose(scaling.center, peer.center_, rtol=1e-12)
    # scikit-learn divides by the exact 1.34898, we by 1.349.
    assert np.allclose(scaling.scale, peer.scale_, rtol=1e-4)
    assert np.allclose(scaling.transform(x), peer.transform(x), rtol=1e-3, atol=1e-8)


def test_soft_limit_is_the_identity_inside_smooth_at_the_limit_and_logarithmic_beyond():
    scaling = Scaling(np.zeros(1), np.ones(1), np.ones(1, dtype=bool), 3.0)
    z = np.array([[-3.0], [-1.2], [0.0], [3.0]])
    assert np.array_equal(scaling.transform(z), z)
    assert scaling.transform(np.array([[3.0 + np.e - 1.0]])) == pytest.approx(4.0, abs=1e-15)
    near = scaling.transform(np.array([[3.0 - 1e-4], [3.0 + 1e-4]]))
    assert np.diff(near[:, 0]) / 2e-4 == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("soft_limit", [0.5, 3.0, np.inf])
def test_inverse_undoes_transform(soft_limit):
    panel, _ = damped_oscillators(10, random_state=0)
    values = panel.values * [1.0, 1e5]
    values[3], values[7] = [1e3, -1e9], [-1e8, 1e12]
    scaling = Scaling.fit(panel.with_values(values), soft_limit)
    z = scaling.transform(values)
    assert np.array_equal(np.isnan(z), np.isnan(values))
    assert np.allclose(scaling.inverse(z), values, rtol=1e-10, equal_nan=True)
    assert np.allclose(scaling.inverse(z[:, 1], 1), values[:, 1], rtol=1e-10, equal_nan=True)
    assert np.allclose(scaling.inverse(z[:, ::-1], np.array([1, 0])), values[:, ::-1], rtol=1e-10, equal_nan=True)


def test_multiplying_a_channel_changes_no_scaled_value():
    x = stats.cauchy.rvs(size=(1, 200), random_state=0)
    for factor in (1e-30, 1e30):
        assert np.allclose(fit_one(factor * x[0]).transform(factor * x.T), fit_one(x[0]).transform(x.T), rtol=1e-9)


@pytest.mark.parametrize(
    "x",
    [
        [1e308, -1e308, 1.7e308, -1.7e308, 0.0],
        [1e-320, 2e-320, 3e-320],
        [5.0, 5.0, 5.0, 5.0 + 1e-15],
        [0.0] * 9 + [1e308],
        [0.0, 0.0],
        [NAN, 7.0],
        [1e9] * 4,
    ],
)
@pytest.mark.parametrize("soft_limit", [3.0, np.inf])
def test_transform_and_inverse_are_never_infinite(x, soft_limit):
    scaling = fit_one(x, soft_limit)
    assert (scaling.scale > 0).all() and np.isfinite(scaling.scale).all() and np.isfinite(scaling.center).all()
    column = np.array([*x, 1.7e308, -1.7e308, 0.0])[:, None]
    z = scaling.transform(column)
    assert not np.isinf(z.astype(np.float32)).any() and np.array_equal(np.isnan(z), np.isnan(column))
    assert not np.isinf(scaling.inverse(np.array([[1e4], [-1e30]]))).any()


def test_constant_channels_keep_their_unit_and_tied_ones_their_spread():
    constant = fit_one([7.0] * 10)
    assert constant.center == 7.0 and constant.scale == 1.0
    rain = np.array([0.0] * 70 + list(np.linspace(1.0, 30.0, 30)))
    assert fit_one(rain).scale == pytest.approx(rain.std())
    noise = np.float32(3.0) + np.float32(1e-7) * np.random.default_rng(0).standard_normal((1, 50)).astype(np.float32)
    assert Scaling.fit(Panel.from_array(noise)).scale == 1.0


def test_channels_never_seen_become_missing():
    scaling = Scaling.fit(Panel.from_array(np.array([[[1.0, NAN], [2.0, NAN]]])))
    assert scaling.seen.tolist() == [True, False]
    assert np.isnan(scaling.transform(np.array([[1.0, 5.0]]))).tolist() == [[False, True]]
    assert np.isnan(scaling.inverse(np.array([[0.0, 0.0]]))).tolist() == [[False, True]]
    empty = Scaling.fit(Panel.from_series([np.empty((0, 2))]))
    assert not empty.seen.any()


def test_soft_limit_must_be_positive():
    with pytest.raises(ValueError, match="must be positive; got 0"):
        fit_one([1.0], soft_limit=0)


def test_static_features():
    train = pd.DataFrame(
        {"age": [20.0, NAN, 40.0, 60.0], "sex": ["f", "m", None, "f"], "kind": pd.Categorical([2, 1, 2, 2])}
    )
    encoder = StaticEncoder.fit(train.assign(ill=[True, False, True, True]))
    assert encoder.n_features == 2 + 3 + 2 + 2
    new = pd.DataFrame({"ill": [False], "kind": pd.Categorical([3]), "sex": ["m"], "age": [40.0]})
    assert encoder.transform(new, 1).tolist() == [[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]]
    first = encoder.transform(train.assign(ill=True), 4)
    assert first[1, :2].tolist() == [0.0, 1.0] and first[2, 2:5].tolist() == [0.0, 0.0, 1.0]
    assert np.isfinite(first).all() and first.dtype == np.float64


def test_static_gaps_that_training_did_not_have_give_the_center():
    encoder = StaticEncoder.fit(pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [NAN, NAN, NAN]}))
    assert encoder.transform(pd.DataFrame({"a": [NAN], "b": [1e308]}), 1).shape == (1, 3)
    assert encoder.transform(pd.DataFrame({"a": [NAN], "b": [NAN]}), 1).tolist() == [[0.0, 0.0, 1.0]]


def test_no_static_features():
    encoder = StaticEncoder.fit(None)
    assert encoder.n_features == 0 and encoder.transform(None, 3).shape == (3, 0)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (None, "must be those of training; fitted with \\['a'\\], got \\[\\]"),
        (pd.DataFrame({"b": [1.0]}), "got \\['b'\\]"),
        (pd.DataFrame({"a": ["x"]}), "of the kind of training; static feature 'a'"),
        (pd.DataFrame({"a": [np.inf]}), "must be finite; 'a' holds infinity"),
        (pd.DataFrame({"a": [1.0, 2.0]}), "one row a series; 2 rows for 1"),
    ],
)
def test_bad_static_features(frame, message):
    encoder = StaticEncoder.fit(pd.DataFrame({"a": [1.0, 2.0]}))
    with pytest.raises(ValueError, match=message):
        encoder.transform(frame, 1)


def test_static_dates_are_refused():
    with pytest.raises(ValueError, match="'born' holds dates. Turn them into numbers"):
        StaticEncoder.fit(pd.DataFrame({"born": pd.to_datetime(["2000-01-01"])}))
