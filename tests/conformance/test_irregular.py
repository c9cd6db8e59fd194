"""What must not change the answers of any estimator on irregular series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.conformance.estimators import case_of, ragged
from tests.conformance.kinds import finals
from tsssm.data import Panel
from tsssm.estimators import PanelEstimator

KINDS = finals(PanelEstimator, "tsssm.estimators")
CLOSE = {"rtol": 1e-6, "atol": 1e-8}


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def fitted(request):
    """Case, training panel, fitted estimator and its answers for other series."""
    case, panel = case_of(request.param), ragged()
    est = case.make().fit(panel, case.target(panel))
    other = ragged(9, random_state=1)
    return case, panel, est, other, case.answers(est, other, 1.0)


def same(left: list[np.ndarray], right: list[np.ndarray]) -> None:
    """Both lists hold the same numbers, and they are numbers."""
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, **CLOSE)


def test_shifted_in_time(fitted):
    case, _, est, other, answers = fitted
    same(answers, case.answers(est, replace(other, times=other.times + 1000.0), 1.0))


def test_another_unit_of_time(fitted):
    case, panel, _, other, answers = fitted
    panel = replace(panel, times=panel.times * 64.0)
    faster = case.make().fit(panel, case.target(panel))
    same(answers, case.answers(faster, replace(other, times=other.times * 64.0), 64.0))


def test_permuted(fitted):
    case, _, est, other, answers = fitted
    order = np.random.default_rng(0).permutation(len(other))
    same([answers[i] for i in order], case.answers(est, other[order], 1.0))


def test_one_by_one(fitted):
    case, _, est, other, answers = fitted
    same(answers, [case.answers(est, other[i], 1.0)[0] for i in range(len(other))])


def test_packed_with_a_long_series(fitted):
    case, _, est, other, answers = fitted
    times = np.arange(300.0)
    long = Panel.from_series([(times, np.stack([np.sin(times), np.cos(times)], 1))])
    same(answers, case.answers(est, Panel.concat([other, long]), 1.0)[: len(other)])


def test_unobserved_rows(fitted):
    case, _, est, other, answers = fitted
    series = []
    for times, values in other:
        between = (times[1:] + times[:-1]) / 2
        order = np.argsort(np.concatenate([times, between]), kind="stable")
        empty = np.full((len(between), values.shape[1]), np.nan)
        series.append((np.concatenate([times, between])[order], np.concatenate([values, empty])[order]))
    same(answers, case.answers(est, Panel.from_series(series), 1.0))


def test_order_of_channels(fitted):
    case, _, est, other, answers = fitted
    same(answers, case.answers(est, other.select(list(other.channels)[::-1]), 1.0))


def test_channel_without_observations(fitted):
    case, _, est, other, _ = fitted
    values = other.values.copy()
    values[:, 1] = np.nan
    for answer in case.answers(est, other.with_values(values), 1.0):
        assert np.isfinite(answer).all()


def test_single_rows_and_empty_series(fitted):
    case, _, est, other, answers = fitted
    one = (np.array([3.0]), np.array([[0.2, np.nan]]))
    nothing = (np.array([]), np.empty((0, 2)))
    odd = Panel.from_series([one, nothing])
    both = case.answers(est, Panel.concat([odd, other]), 1.0)
    assert all(np.isfinite(answer).all() for answer in both)
    same(answers, both[2:])


def test_refit_is_the_same_to_the_bit(fitted):
    case, panel, _, other, answers = fitted
    again = case.make().fit(panel, case.target(panel))
    for a, b in zip(answers, case.answers(again, other, 1.0), strict=True):
        assert np.array_equal(a, b)


def test_failed_fit_leaves_the_estimator_as_it_was(fitted):
    case, _, est, other, answers = fitted
    with pytest.raises((ValueError, TypeError)):
        est.fit(Panel.from_series([(np.array([]), np.empty((0, 2)))])[:0], None)
    same(answers, case.answers(est, other, 1.0))


def test_other_channels_are_refused(fitted):
    case, _, est, other, _ = fitted
    with pytest.raises(ValueError, match="channel"):
        case.answers(est, other.with_values(other.values, channels=["x", "y"]), 1.0)


def test_another_clock_is_refused(fitted):
    case, _, est, other, _ = fitted
    frame = other.to_frame()
    frame["time"] = np.datetime64("2024-01-01") + (frame["time"] * 1e9).astype("timedelta64[ns]")
    with pytest.raises(ValueError, match="times"):
        case.answers(est, Panel.from_frame(frame, id="id", time="time"), 1.0)
