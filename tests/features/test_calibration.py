"""Calibration: equal to logistic regression where data are many, and finite where they are few or separable."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from tsssm.features.calibration import Calibration


def labelled(n: int, slope: float, bias: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Decisions, and labels drawn with the probabilities these stand for."""
    rng = np.random.default_rng(seed)
    decisions = rng.normal(size=(n, len(bias)))
    logits = slope * decisions + bias
    logits = np.c_[np.zeros(n), logits] if len(bias) == 1 else logits
    chance = softmax(logits, axis=1)
    return decisions, (chance.cumsum(1) < rng.random((n, 1))).sum(1)


def test_two_classes_are_logistic_regression():
    decisions, number = labelled(3000, 1.7, np.array([-0.6]))
    fit = Calibration.fit(decisions, number)
    peer = LogisticRegression(C=np.inf).fit(decisions, number)
    assert fit.slope == pytest.approx(peer.coef_.item(), rel=0.01)
    np.testing.assert_allclose(fit.probability(decisions), peer.predict_proba(decisions), atol=3e-3)


def test_many_classes_find_slope_and_biases():
    bias = np.array([0.5, -0.7, 0.2, 0.0])
    decisions, number = labelled(8000, 3.0, bias)
    fit = Calibration.fit(decisions, number)
    assert fit.slope == pytest.approx(3.0, rel=0.05)
    np.testing.assert_allclose(fit.bias - fit.bias.mean(), bias - bias.mean(), atol=0.1)


def test_weights_are_repetitions():
    decisions, number = labelled(60, 1.0, np.zeros(3))
    heavy = 1 + np.arange(60) % 3
    again = np.repeat(np.arange(60), heavy)
    one, other = Calibration.fit(decisions, number, heavy), Calibration.fit(decisions[again], number[again])
    assert one.slope == pytest.approx(other.slope, rel=1e-4)
    np.testing.assert_allclose(one.bias, other.bias, atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_separable_decisions_stay_finite(classes):
    number = np.arange(12) % classes
    decisions = 2.0 * np.eye(classes)[number] - 1
    decisions = decisions[:, 1:] if classes == 2 else decisions
    chance = Calibration.fit(decisions, number).probability(decisions)
    assert (chance.argmax(1) == number).all()
    assert 0.9 < chance.max(1).mean() < 0.9999


def test_decisions_that_are_all_wrong_keep_their_order_and_say_little():
    number = np.arange(18)
    decisions = -2.0 * np.eye(18)[number] + 1
    fit = Calibration.fit(decisions, number)
    assert 0 < fit.slope < 1
    assert fit.probability(-decisions).max() < 0.5


def test_huge_and_constant_decisions():
    number = np.arange(6) % 2
    for decisions in (np.zeros((6, 1)), 1e6 * (2.0 * number[:, None] - 1)):
        assert np.isfinite(Calibration.fit(decisions, number).probability(decisions)).all()


def test_no_decisions_leave_the_prior():
    fit = Calibration.fit(np.empty((0, 3)), np.empty(0, int))
    assert fit.slope == pytest.approx(2.0) and (fit.bias == 0).all()
