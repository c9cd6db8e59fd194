"""The law between quantiles, beside scipy."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from scipy import integrate, stats
from skpro.distributions import Normal

from tsssm.estimators.answers import Z
from tsssm.heads.rows import LEVELS
from tsssm.sktime.distribution import Piecewise


def test_normal_quantiles_give_a_normal_law():
    law, x = Piecewise((2 + 3 * Z).reshape(1, 1, -1)), np.linspace(-12, 15, 7)
    truth = stats.norm(2, 3)
    for value in x:
        at = np.array([[value]])
        np.testing.assert_allclose(law.cdf(at).to_numpy(), truth.cdf(at), atol=1e-12)
        np.testing.assert_allclose(law.log_pdf(at).to_numpy(), truth.logpdf(at))
    np.testing.assert_allclose([law.mean().iloc[0, 0], law.var().iloc[0, 0]], [2, 9])
    peer = Normal(2, 3)
    np.testing.assert_allclose(law.energy().iloc[0, 0], peer.energy())
    for value in x:
        np.testing.assert_allclose(law.energy(np.array([[value]])).iloc[0, 0], peer.energy(value))


def test_any_quantiles_give_a_law():
    quantiles = np.sort(np.random.default_rng(0).gamma(2.0, size=(3, 2, len(LEVELS))), -1)
    index, columns = pd.date_range("2024-01-01", periods=3), ["a", "b"]
    law = Piecewise(quantiles, index=index, columns=columns)
    np.testing.assert_allclose(law.quantile(list(LEVELS)).to_numpy().reshape(quantiles.shape), quantiles)
    p = np.full((3, 2), 0.3)
    np.testing.assert_allclose(law.cdf(law.ppf(p)).to_numpy(), p)
    one = law.loc[index[1:2], ["b"]]
    assert one.shape == (1, 1) and one.mean().index[0] == index[1] and list(one.mean().columns) == ["b"]
    # kinks at the quantiles: pieces are integrated apart
    knots = np.r_[-40.0, quantiles[1, 1], 40.0]

    def expected(f):
        return sum(
            integrate.quad(lambda x: f(x) * one.pdf(np.array([[x]])).iloc[0, 0], a, b)[0]
            for a, b in itertools.pairwise(knots)
        )

    np.testing.assert_allclose(expected(lambda x: 1.0), 1, rtol=1e-6)
    mean, at = one.mean().iloc[0, 0], 1.3
    np.testing.assert_allclose(expected(lambda x: x), mean, rtol=1e-6)
    np.testing.assert_allclose(expected(lambda x: (x - mean) ** 2), one.var().iloc[0, 0], rtol=1e-6)
    np.testing.assert_allclose(expected(lambda x: abs(x - at)), one.energy(np.array([[at]])).iloc[0, 0], rtol=1e-4)
    alike = expected(lambda x: 4 * x * one.cdf(np.array([[x]])).iloc[0, 0]) - 2 * mean
    np.testing.assert_allclose(alike, one.energy().iloc[0, 0], rtol=1e-6)
    np.testing.assert_allclose(law.sample(4000).groupby(level=1).mean().to_numpy(), law.mean().to_numpy(), atol=0.15)
