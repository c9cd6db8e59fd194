"""SSMFeatures: what its numbers depend on and what not, and series at the edge of what can be asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tsssm.data import Panel
from tsssm.data.synthetic import noisy_sines
from tsssm.estimators.features import SSMFeatures


def ragged(n: int = 12, random_state: int = 0) -> Panel:
    rng = np.random.default_rng(random_state)
    series = []
    for length in rng.integers(5, 60, n):
        values = np.cumsum(rng.normal(size=(length, 2)), axis=0)
        values[rng.random((length, 2)) < 0.4] = np.nan
        values[0] = 0.0
        series.append((np.cumsum(rng.exponential(size=length)), values))
    return Panel.from_series(series)


def moved(panel: Panel, stretch: float, shift: float) -> Panel:
    return Panel.from_series([(times * stretch + shift, values) for times, values in panel])


@pytest.fixture(scope="module")
def panel() -> Panel:
    return ragged()


@pytest.fixture(scope="module")
def features(panel: Panel) -> SSMFeatures:
    return SSMFeatures(n_features=400, random_state=0).fit(panel)


@pytest.mark.parametrize(("stretch", "shift"), [(1.0, 1e6), (3.7, 0.0), (1e-6, 5.0), (86400.0, -3e7)])
def test_the_unit_and_the_origin_of_time_do_not_matter(panel, features, stretch, shift):
    other = moved(panel, stretch, shift)
    again = SSMFeatures(n_features=400, random_state=0).fit(other).transform(other)
    assert again == pytest.approx(features.transform(panel), abs=1e-5)


def test_a_series_alone_has_the_features_it_has_among_others(panel, features):
    together = features.transform(panel)
    for i in (0, 5, 11):
        assert features.transform(panel[i : i + 1])[0] == pytest.approx(together[i], abs=0)


def test_rows_at_which_nothing_was_observed_do_not_count(panel, features):
    first = panel[0]
    times, values = next(iter(first))
    more = np.append(times, times[-1] + np.arange(1.0, 9.0))
    blank = np.concatenate([values, np.full((8, 2), np.nan)])
    assert (features.transform(Panel.from_series([(more, blank)])) == features.transform(first)).all()


def test_a_finer_sampling_of_the_same_lines_changes_little():
    knots = np.arange(0.0, 41.0, 4.0)
    heights = np.random.default_rng(0).normal(size=(8, len(knots)))
    fine = np.arange(0.0, 40.5, 0.5)
    sparse = Panel.from_series([(knots, h[:, None]) for h in heights])
    dense = Panel.from_series([(fine, np.interp(fine, knots, h)[:, None]) for h in heights])
    features = SSMFeatures(n_features=400, random_state=0).fit(dense)
    of_dense, of_sparse = features.transform(dense), features.transform(sparse)
    assert np.abs(of_dense - of_sparse).max() < 1e-3 * np.abs(of_dense).max()


@pytest.mark.parametrize(
    "series",
    [
        ([0.0], [[1.0, 2.0]]),
        ([0.0], [[np.nan, 2.0]]),
        ([0.0, 1e-9], [[1.0, 2.0], [3.0, 4.0]]),
        (np.arange(50.0), np.full((50, 2), 3.0)),
        ([0.0, 1.0], [[1e300, -1e300], [-1e300, 1e300]]),
        ([0.0, 1e12], [[1.0, 2.0], [3.0, 4.0]]),
        (np.arange(3.0), np.full((3, 2), np.nan)),
    ],
    ids=["one row", "one value", "shorter than every window", "constant", "huge values", "a huge gap", "nothing"],
)
def test_series_at_the_edge_have_finite_features(features, series):
    times, values = series
    assert np.isfinite(features.transform(Panel.from_series([(np.asarray(times), np.asarray(values))]))).all()


def test_a_panel_of_single_observations_can_be_fitted_to():
    X = Panel.from_array(np.arange(6.0)[:, None])
    numbers = SSMFeatures(n_features=80, random_state=0).fit_transform(X)
    assert np.isfinite(numbers).all()
    assert len(np.unique(numbers, axis=0)) == 6


def test_constant_series_can_be_fitted_to():
    numbers = SSMFeatures(n_features=80, random_state=0).fit_transform(np.ones((4, 30)))
    assert np.isfinite(numbers).all()


def test_a_channel_never_observed_is_left_out(panel):
    wide = panel.with_values(np.c_[panel.values, np.full(panel.n_rows, np.nan)], ("a", "b", "c"))
    features = SSMFeatures(n_features=160, random_state=0).fit(wide)
    assert np.isfinite(features.transform(wide)).all()
    assert not features.table_["channels"].str.contains("c").any()


def test_the_number_of_features_is_the_one_asked_for(panel):
    for n in (1, 79, 81, 250):
        features = SSMFeatures(n_features=n, random_state=0).fit(panel)
        numbers = features.transform(panel)
        assert numbers.shape == (len(panel), n)
        assert numbers.dtype == np.float32
        assert len(features.get_feature_names_out()) == n


def test_frames_have_the_names_of_the_features():
    stamps = pd.date_range("2024-01-01", periods=40, freq="h").append(pd.date_range("2024-02-01", periods=40, freq="h"))
    frame = pd.DataFrame(
        {"id": np.repeat([0, 1], 40), "time": stamps, "pulse": np.random.default_rng(0).normal(size=80)}
    )
    out = SSMFeatures(n_features=80, random_state=0).set_output(transform="pandas").fit_transform(frame)
    assert out.columns[0].startswith("pulse, window ")
    assert out.columns.is_unique
    assert out.index.tolist() == [0, 1]


def test_they_stand_in_a_pipeline():
    panel, labels = noisy_sines(60, random_state=0)
    model = make_pipeline(SSMFeatures(n_features=800, random_state=0), StandardScaler(), RidgeClassifier())
    assert model.fit(panel[:40], labels[:40]).score(panel[40:], labels[40:]) > 0.9


@pytest.mark.parametrize("n_features", [0, -3, 1.5, "many"])
def test_an_impossible_number_of_features_is_refused(panel, n_features):
    with pytest.raises(ValueError, match="n_features"):
        SSMFeatures(n_features=n_features).fit(panel)
