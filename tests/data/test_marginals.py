"""Channels mapped to normal ones by their quantiles, and back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, norm

from tsssm.data import Panel
from tsssm.data.marginals import Marginals


def fitted(columns: np.ndarray) -> Marginals:
    return Marginals.fit(Panel.from_array(columns[None]))


def test_scores_are_normal_and_go_back():
    x = np.random.default_rng(0).exponential(size=(4000, 2)) ** 2
    marginals = fitted(x)
    z = marginals.transform(x)
    assert kstest(z[:, 0], norm.cdf).statistic < 0.02
    np.testing.assert_allclose(marginals.inverse(z), x, rtol=1e-9, atol=1e-9)
    order = np.argsort(x[:, 0])
    assert (np.diff(z[order, 0]) >= 0).all()


def test_values_beyond_training_go_on_straight_and_go_back():
    marginals = fitted(np.linspace(0, 1, 500)[:, None])
    far = np.array([[-3.0], [0.5], [7.0], [1e9]])
    z = marginals.transform(far)
    assert np.isfinite(z).all() and (np.diff(z[:, 0]) > 0).all()
    np.testing.assert_allclose(marginals.inverse(z), far, rtol=1e-9)


def test_ties_stay_ties_and_counts_stay_counts():
    rng = np.random.default_rng(0)
    rain = np.where(rng.random(2000) < 0.6, 0.0, rng.exponential(size=2000))
    marginals = fitted(np.stack([rain, rng.poisson(1.0, 2000)], 1))
    drawn = marginals.inverse(rng.normal(size=(20_000, 2)))
    assert np.mean(drawn[:, 0] == 0) == pytest.approx(0.6, abs=0.02) and drawn.min() >= 0
    assert set(np.unique(drawn[:, 1])) <= set(range(10))
    assert [np.mean(drawn[:, 1] == k) for k in range(3)] == pytest.approx([0.368, 0.368, 0.184], abs=0.03)


def test_constant_and_unseen_channels():
    marginals = fitted(np.array([[7.0, np.nan]] * 5))
    z = marginals.transform([[7.0, 1.0]])[0]
    assert z[0] == pytest.approx(0, abs=1e-12) and np.isnan(z[1])
    back = marginals.inverse(np.array([[-2.0, 0.0], [3.0, 1.0]]))
    assert (back[:, 0] == 7).all() and np.isnan(back[:, 1]).all()
    assert marginals.inverse(np.array([3.0]), 0).tolist() == [7.0] and marginals.seen.tolist() == [True, False]
