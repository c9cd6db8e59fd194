"""Scores and distances of generated series on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance

from tsssm import Panel
from tsssm.metrics import (
    autocorrelation_distance,
    context_frechet_distance,
    cross_correlation_distance,
    discriminative_score,
    marginal_distance,
    memorisation,
    minmax,
    predictive_score,
    predictive_score_multichannel,
)
from tsssm.metrics.fidelity import frechet
from tsssm.metrics.networks import Recurrent

RNG = np.random.default_rng(0)


def sines(n: int, seed: int) -> np.ndarray:
    f, p = np.random.default_rng(seed).uniform(0, 0.1, (2, n, 1, 5))
    return (np.sin(f * np.arange(24)[:, None] + p) + 1) / 2


def test_networks_are_those_of_the_protocol():
    network = Recurrent(2, 3, 4, 1, torch.Generator().manual_seed(0)).double()
    assert (network.gate_bias == 1).all() and (network.candidate_bias == 0).all()
    x = torch.randn(2, 5, 6, 3, dtype=torch.float64)
    states = network(x)
    for r in range(2):
        W, V = network.gates[r].detach().numpy(), network.candidate[r].detach().numpy()
        h = np.zeros((5, 4))
        for row in range(6):
            both = np.concatenate([x[r, :, row].numpy(), h], 1) @ W + 1
            reset, update = np.split(1 / (1 + np.exp(-both)), 2, axis=1)
            h = update * h + (1 - update) * np.tanh(np.concatenate([x[r, :, row].numpy(), reset * h], 1) @ V)
            np.testing.assert_allclose(states[r, :, row].detach().numpy(), h, rtol=1e-10, atol=1e-12)


def test_scores_tell_noise_from_series_and_not_series_from_series():
    real, new = sines(300, 0)[:, ::4], sines(300, 1)[:, ::4]
    noise = RNG.random(real.shape)
    assert discriminative_score(real, noise, 1, 300).mean > 0.2
    assert discriminative_score(real, new, 1, 300).mean < 0.12
    good, bad = (predictive_score(real, other, 1, 300).mean for other in (new, noise))
    assert good < 0.9 * bad


def test_scores_are_the_same_for_the_same_seed():
    real, other = sines(40, 0), sines(40, 1)
    first, second = (predictive_score_multichannel(real, other, 2, 5, random_state=3) for _ in range(2))
    assert np.array_equal(first.values, second.values)
    # the first channels tell the last one, or all tell all: different numbers
    assert first.mean != predictive_score(real, other, 2, 5, random_state=3).mean


def test_marginals_are_told_by_the_wasserstein_distance():
    x, y = RNG.normal(size=(300, 4, 2)), RNG.normal(0.5, 2, size=(300, 4, 2))
    truth = np.mean([wasserstein_distance(x[..., j].ravel(), y[..., j].ravel()) / x[..., j].std() for j in range(2)])
    assert marginal_distance(x, y) == pytest.approx(truth, rel=0.05)
    assert marginal_distance(x, x) == 0


def test_autocorrelations_of_an_autoregression_are_its_powers():
    series = np.zeros((4000, 6, 1))
    series[:, 0] = RNG.normal(size=(4000, 1))
    for k in range(1, 6):
        series[:, k] = 0.8 * series[:, k - 1] + 0.6 * RNG.normal(size=(4000, 1))
    white = RNG.normal(size=series.shape)
    truth = np.sqrt(np.mean([0.8 ** (2 * lag) for lag in range(1, 6)]))
    assert autocorrelation_distance(series, white) == pytest.approx(truth, abs=0.02)
    assert autocorrelation_distance(series, white, lags=1) == pytest.approx(0.8, abs=0.02)


def test_correlations_of_channels():
    x = RNG.normal(size=(5000, 4, 2))
    mixed = np.stack([x[..., 0], 0.6 * x[..., 0] + 0.8 * x[..., 1]], -1)
    assert cross_correlation_distance(x, mixed) == pytest.approx(0.6, abs=0.02)
    assert cross_correlation_distance(x[..., :1], x[..., :1]) == 0


def test_copies_are_near_and_new_series_are_not():
    train, new, drawn = RNG.normal(size=(3, 300, 6, 1))
    copied = memorisation(train, new, train[:100])
    assert copied.distance == 0 and copied.close == 1
    fresh = memorisation(train, new, drawn)
    assert fresh.distance == pytest.approx(1, abs=0.1) and fresh.close < 0.12


def test_the_frechet_distance_is_that_of_normal_laws():
    u, v = RNG.normal(size=(500, 3)), RNG.normal(size=(400, 3)) @ np.diag([1, 2, 0.5]) + 1
    first, second = np.cov(u.T), np.cov(v.T)
    truth = np.square(u.mean(0) - v.mean(0)).sum() + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert frechet(u, v) == pytest.approx(truth, rel=1e-8)
    x = sines(200, 0)
    near, far = context_frechet_distance(x, sines(200, 1), 100), context_frechet_distance(x, x[:, ::-1], 100)
    assert near < 0.1 * far


def test_scaling_is_that_of_the_real_series():
    x, y = minmax(np.array([[[1.0, 5.0], [3.0, 5.0]]]), np.array([[[2.0, 6.0], [5.0, 5.0]]]))
    assert x.tolist() == [[[0, 0], [1, 0]]] and y.tolist() == [[[0.5, 1], [2, 0]]]


def test_series_that_do_not_fit_are_errors():
    x = sines(20, 0)
    gap = x.copy()
    gap[0, 3] = np.nan
    ragged = Panel.from_series([np.zeros((3, 5)), np.zeros((4, 5))])
    for other, words in ((gap, "must be whole"), (ragged, "same number of rows"), (x[:, :5], "same rows and channels")):
        with pytest.raises(ValueError, match=words):
            discriminative_score(x, other)
    with pytest.raises(ValueError, match="at least 10 series"):
        discriminative_score(x, x[:5])
    with pytest.raises(ValueError, match="at least 2 channels"):
        predictive_score(x[..., :1], x[..., :1])
