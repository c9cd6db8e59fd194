"""Streams give the features of the whole series, in whatever pieces it comes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tsssm.data import Panel
from tsssm.data.synthetic import noisy_sines
from tsssm.estimators.features import SSMFeatures


def drifting(length: int, random_state: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A series of three channels with clocks of their own, one of which stops for long."""
    rng = np.random.default_rng(random_state)
    values = np.cumsum(rng.normal(size=(length, 3)), axis=0)
    values[rng.random((length, 3)) < 0.6] = np.nan
    values[length // 3 : 2 * length // 3, 1] = np.nan
    values[: length // 4, 2] = np.nan
    return np.cumsum(rng.exponential(size=length)), values


@pytest.fixture(scope="module")
def features() -> SSMFeatures:
    return SSMFeatures(n_features=240, random_state=0).fit(Panel.from_series([drifting(60, i) for i in range(6)]))


@pytest.mark.parametrize("pieces", [[1] * 200, [200], [3, 50, 1, 146]])
def test_pieces_give_what_the_whole_gives(features, pieces):
    times, values = drifting(200, 9)
    stream, start = features.stream(), 0
    for size in pieces:
        stream.update(times[start : start + size], values[start : start + size])
        start += size
    whole = features.transform(Panel.from_series([(times, values)]))[0]
    assert stream.features() == pytest.approx(whole, abs=1e-5)


def test_features_are_those_of_the_series_so_far_at_any_moment(features):
    times, values = drifting(80, 5)
    stream = features.stream()
    for k in range(80):
        stream.update(times[k], values[k])
        if k % 13 == 0 and np.isfinite(values[: k + 1]).any():
            so_far = features.transform(Panel.from_series([(times[: k + 1], values[: k + 1])]))[0]
            assert stream.features() == pytest.approx(so_far, abs=1e-5)


def test_a_million_observations_and_one_more():
    rng = np.random.default_rng(0)
    length = 1_000_001
    times, values = np.cumsum(rng.exponential(size=length)), np.sin(np.arange(length) / 50)[:, None]
    whole = Panel.from_series([(times, values)])
    features = SSMFeatures(n_features=80, random_state=0).fit(whole)
    stream = features.stream().update(times[:-1], values[:-1])
    kept = len(stream._times)
    stream.update(times[-1], values[-1])
    assert kept == 0
    assert stream.features() == pytest.approx(features.transform(whole)[0], abs=1e-5)


def test_an_empty_stream_has_zeros(features):
    assert not features.stream().features().any()
    assert not features.stream().update(0.0, [np.nan] * 3).features().any()


def test_datetimes_stream_as_they_come_in_panels():
    stamps = pd.date_range("2024-01-01", periods=30, freq="h")
    frame = pd.DataFrame({"id": 0, "time": stamps, "x": np.sin(np.arange(30.0))})
    features = SSMFeatures(n_features=80, random_state=0).fit(frame)
    stream = features.stream()
    for stamp, value in zip(stamps, frame["x"], strict=True):
        stream.update(stamp, [value])
    assert stream.features() == pytest.approx(features.transform(frame)[0], abs=1e-5)


@pytest.mark.parametrize(
    ("times", "values", "match"),
    [
        ([2.0, 1.0], [[1.0] * 3] * 2, "must increase"),
        ([0.5], [[1.0] * 3], "must increase"),
        ([2.0], [[1.0] * 2], "must be"),
        ([2.0], [[np.inf] * 3], "finite"),
        (pd.to_datetime(["2024-01-01"]), [[1.0] * 3], "kind"),
        ([np.nan], [[1.0] * 3], "every time"),
    ],
)
def test_what_does_not_fit_leaves_the_stream_as_it_was(features, times, values, match):
    stream = features.stream().update(1.0, [0.1, 0.2, 0.3])
    before = stream.features()
    with pytest.raises(ValueError, match=match):
        stream.update(times, values)
    assert (stream.features() == before).all()


def test_series_of_a_shape_never_seen_are_answered():
    panel, _ = noisy_sines(10, random_state=0)
    features = SSMFeatures(n_features=80, random_state=0).fit(panel)
    assert np.isfinite(features.stream().update([0.0, 1e-9, 1e9], [[1.0], [1e30], [-1e30]]).features()).all()
