"""The synthetic skin: sizes, clocks, seeds, and the law of the velocity in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from tsssm.data.synthetic import tactile


def test_sizes_clocks_and_seeds():
    X, y = tactile(3, seconds=4.0, channels=5, random_state=0)
    assert (X.shape, y.shape) == ((3, 5), (3, 2)) and y.channels == ("v_x", "v_y")
    assert X.times[:3] == pytest.approx([0, 0.02, 0.04]) and y.times[:3] == pytest.approx([0, 0.2, 0.4])
    again, other = (tactile(3, seconds=4.0, channels=5, random_state=seed)[0].values for seed in (0, 1))
    np.testing.assert_array_equal(again, X.values)
    assert np.abs(other - X.values).max() > 0.1


def test_velocity_is_two_lags_of_a_quarter_of_a_second():
    _, y = tactile(400, seconds=12.0, random_state=0)
    v = y.values.reshape(400, -1, 2)
    assert v.mean() == pytest.approx(0, abs=0.06)
    # of a first-order lag of a first-order lag, m rows apart: k^m (1 + m (1 - k^2) / (1 + k^2))
    k = np.exp(-0.02 / 0.25)
    for steps in range(4):
        m = 10 * steps
        expected = k**m * (1 + m * (1 - k**2) / (1 + k**2))
        assert np.mean(v[:, : 60 - steps] * v[:, steps:]) == pytest.approx(expected, abs=0.04)


def test_the_skin_feels_the_velocity_a_little_late():
    X, y = tactile(60, seconds=10.0, channels=12, random_state=0)
    felt = X.values.reshape(60, 500, 12)
    felt = felt - felt.mean(1, keepdims=True)

    def explained(later: int) -> float:
        """Share of v_x that all channels explain linearly, rows of the skin so much later."""
        rows = np.arange(20, 450, 10)
        a, b = felt[:, rows + later].reshape(-1, 12), y.values.reshape(60, 50, 2)[:, rows // 10, 0].ravel()
        left = b - a @ np.linalg.lstsq(a, b, rcond=None)[0]
        return 1 - left.var() / b.var()

    assert 0.3 < explained(0) < explained(2) < 0.95
    assert explained(20) < explained(2)
