"""Latent linear systems beside closed forms: matrix exponentials, conditioning of normal laws, torch's distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from torch import Tensor, nn
from torch.autograd import gradcheck

from tests.conformance.kinds import packed, some_series
from tsssm.dynamics import Diagonal, process_noise
from tsssm.grid import Grid
from tsssm.models.latent_prior import Known, Noise
from tsssm.models.linear_paths import LinearPaths
from tsssm.models.linear_prior import LinearPrior, as_pairs, first_rows
from tsssm.models.spectrum import Spectrum

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def spectrum(pairs: int = 3, **held) -> Spectrum:
    torch.manual_seed(0)
    found = Spectrum(pairs, **held).double()
    with torch.no_grad():
        found.log_spread.copy_(0.3 * torch.randn(pairs))
    return found


def dense(found: Spectrum) -> np.ndarray:
    """K on real states, two for each pair."""
    K = np.zeros((2 * found.pairs, 2 * found.pairs))
    for j, rate in enumerate(found.rates.detach().numpy()):
        K[2 * j : 2 * j + 2, 2 * j : 2 * j + 2] = [[rate.real, -rate.imag], [rate.imag, rate.real]]
    return K


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def nothing(series: int) -> Known:
    return Known(torch.zeros(series), torch.zeros(series, 0))


def test_held_modes_are_exact():
    found = spectrum(4, periods=[24.0, 7.0], conserved=1)
    rates = found.rates.detach()
    assert (found.decay[:3] == 0).all() and (found.decay[3:] > 0).all()
    assert (2 * math.pi / rates.imag[:2]).numpy() == pytest.approx([24.0, 7.0], rel=1e-7)
    gaps = torch.tensor([0.3, 1.0, 1e4], dtype=torch.float64)
    sizes = found.generator.exp(gaps).eigenvalues.abs().detach()
    torch.testing.assert_close(sizes[:, :3], torch.ones(3, 3, dtype=torch.float64), **EXACT)
    assert (found.noise_std(gaps)[:, :3] == 0).all()


def test_held_modes_stay_held_in_training():
    found = Spectrum(3, periods=[5.0], conserved=1)
    optimizer = torch.optim.Adam(found.parameters(), lr=0.1)
    for _ in range(5):
        (found.rates.abs().sum() + found.noise_std(torch.ones(2)).sum()).backward()
        optimizer.step()
    assert (found.decay[:2] == 0).all() and found.decay[2] > 0
    assert 2 * math.pi / found.rates[0].imag.item() == pytest.approx(5.0, rel=1e-6)


def test_noise_of_a_gap_is_that_of_the_linear_sde():
    found = spectrum()
    gaps = torch.tensor([0.05, 0.7, 3.0, 40.0], dtype=torch.float64)
    intensity = torch.diag(2 * found.decay * found.log_spread.exp() ** 2).to(torch.complex128)
    A = Diagonal(found.rates.expand(4, 3))
    truth = process_noise(A, intensity, gaps).diagonal(dim1=-2, dim2=-1).real
    torch.testing.assert_close(found.noise_std(gaps) ** 2, truth, rtol=1e-9, atol=1e-12)


def test_paths_follow_the_matrix_exponential_at_irregular_times():
    found, series = spectrum(noise=False), some_series([5, 3, 1])
    grid = packed([[series[0], series[1]], [series[2]]])
    prior = LinearPrior(found, 4, 0).double()
    start, K = normal(3, 6), dense(found)
    z = prior.path(start, normal(2, 8, 6), grid).detach().numpy()
    for (row, first), own, z0 in zip([(0, 0), (0, 5), (1, 0)], series, start.numpy(), strict=True):
        state = z0
        for k, (gap, _) in enumerate(own):
            state = expm(K * gap) @ state if k else state
            np.testing.assert_allclose(z[row, first + k], state, rtol=1e-9, atol=1e-11)


def test_paths_with_noise_differ_from_the_recurrence_by_the_noise_alone():
    found, grid = spectrum(2), packed([some_series([6])])
    prior, shock = LinearPrior(found, 4, 0).double(), normal(1, 6, 4)
    z = as_pairs(prior.path(normal(1, 4), shock, grid))
    left = z[0, 1:] - found.generator.exp(grid.dt[0, 1:]).eigenvalues * z[0, :-1]
    torch.testing.assert_close(left, as_pairs(shock)[0, 1:] * found.noise_std(grid.dt[0, 1:]), **EXACT)


def test_silent_rows_go_on_and_leave_no_trace():
    found = spectrum(2)
    prior = LinearPrior(found, 4, 0).double()
    gaps = [1.0, 0.4, 0.6, 0.9, 0.5]
    grid = packed([[list(zip(gaps, [True, False, True, True, False], strict=True))]])
    start, shock = normal(1, 4), normal(1, 5, 4)
    z = prior.path(start, shock, grid)
    bare = packed([[[(1.0, True), (1.0, True), (0.9, True)]]])
    torch.testing.assert_close(z[:, [0, 2, 3]], prior.path(start, shock[:, [0, 2, 3]], bare), **EXACT)
    ahead = found.generator.exp(torch.tensor(0.5, dtype=torch.float64)).eigenvalues * as_pairs(z[:, 3])
    torch.testing.assert_close(as_pairs(z[:, 4]), ahead, **EXACT)


def test_between_two_states_the_mean_is_that_of_conditioning():
    found = spectrum(2, conserved=1)
    prior = LinearPrior(found, 4, 0).double()
    grid = packed([[[(1.0, True), (0.4, False), (0.8, False), (0.3, True), (0.7, False)]]])
    z = prior.path(normal(1, 4), normal(1, 5, 4), grid)
    told = as_pairs(prior.between(z, grid))[0].detach()
    states, rates = as_pairs(z)[0].detach(), found.rates.detach()
    for row, h in ((1, 0.4), (2, 1.2)):
        for j, spread in enumerate(found.log_spread.exp().tolist()):
            a, E = float(-rates[j].real), lambda t, j=j: np.exp(complex(rates[j]) * t)
            mean = E(h) * complex(states[0, j])
            if a > 0:
                v = lambda t, a=a, spread=spread: spread**2 * (1 - math.exp(-2 * a * t))
                gain = v(h) * np.conj(E(1.5 - h)) / v(1.5)
                mean += gain * (complex(states[3, j]) - E(1.5) * complex(states[0, j]))
            assert complex(told[row, j]) == pytest.approx(mean, rel=1e-9)
    torch.testing.assert_close(told[[0, 3, 4]], states[[0, 3, 4]], **EXACT)


def test_rows_before_the_first_observation_are_told_backwards():
    grid, start = packed([[[(1.0, False), (0.4, False), (0.8, True), (0.3, True)]]]), normal(1, 4)
    # without noise, and where nothing fades, paths are turned back; a settled one looks the same backwards
    for held, sign in (({"noise": False}, -1), ({"conserved": 2}, -1), ({}, 1)):
        found = spectrum(2, **held)
        prior = LinearPrior(found, 4, 0).double()
        told = as_pairs(prior.between(prior.path(start, normal(1, 4, 4), grid), grid))
        back = torch.exp(1.2 * torch.complex(sign * found.rates.real, -found.rates.imag))
        torch.testing.assert_close(told[0, 0], back * as_pairs(start)[0], **EXACT)
    assert first_rows(grid).tolist() == [2] and grid.begins[0].tolist() == [False, False, True, False]


def test_divergence_is_that_of_torch_distributions():
    grid = packed([[*some_series([4, 3])]])
    prior, features = LinearPrior(spectrum(2), 5, 0).double(), normal(1, 7, 5)
    none = nothing(2)
    guess = prior.guess(features, grid, none.given)
    noise = Noise.like(grid, 4, torch.float64)
    start = guess.start + guess.log_start.exp() * noise.start
    found = prior.divergence(guess, start, grid, none)
    normals = torch.distributions.Normal
    own = normals(guess.start, guess.log_start.exp()).log_prob(start).sum(-1) - prior.starts.log_prob(start, none.given)
    each = torch.distributions.kl_divergence(normals(guess.shock, guess.log_shock.exp()), normals(0.0, 1.0)).sum(-1)
    shocks = torch.stack([each[0, 1:4].sum(), each[0, 5:].sum()])
    torch.testing.assert_close(found, own + shocks, **EXACT)


def test_excess_is_the_divergence_of_the_sums_of_shocks_over_the_series_of_a_batch():
    grid = packed([[*some_series([4, 3])], [*some_series([6])]])
    prior, shock = LinearPrior(spectrum(3, conserved=1), 5, 0).double(), normal(2, 7, 6).requires_grad_()
    found = prior.excess(shock, grid, torch.zeros(3))
    # the first row of a series that is seen on time has no shock; a conserved mode has none at all
    parts = [shock[0, 1:4], shock[0, 5:7], shock[1, 1:6]]
    sums = torch.stack([part.sum(0) / math.sqrt(len(part)) for part in parts])
    spread = sums[:, 2:].square().mean(0).sqrt()
    normals = torch.distributions.Normal
    truth = 3 * torch.distributions.kl_divergence(normals(0.0, spread), normals(0.0, 1.0)).sum()
    torch.testing.assert_close(found, truth, rtol=1e-4, atol=1e-4)
    found.backward()
    moved = shock.grad.abs().sum(-1) > 0
    assert moved[0].tolist() == [False, True, True, True, False, True, True]


def test_excess_of_shocks_of_the_prior_is_about_none_and_of_leaning_ones_is_not():
    grid = packed([[[(1.0, True)] * 9]] * 500)
    prior, shock = LinearPrior(spectrum(2), 5, 0).double(), normal(500, 9, 4)
    late = torch.zeros(500)
    # half of a chi square of mean 1 for each of the four numbers, whatever the number of series
    assert float(prior.excess(shock, grid, late)) < 12
    assert float(prior.excess(shock + normal(500, 1, 4), grid, late)) > 500
    silent = LinearPrior(spectrum(2, noise=False), 5, 0).double()
    assert float(silent.excess(shock, grid, late)) == 0


def test_sample_paths_are_the_same_ones_at_other_times():
    paths = LinearPaths(spectrum(), as_pairs(normal(4, 6)), seed=3)
    again = LinearPaths(spectrum(), paths.ticks[0], seed=3)
    times = np.array([0.0, 0.3, 1.0, 2.25, math.pi, 7.0])
    half = np.unique(np.concatenate([times, (times[1:] + times[:-1]) / 2]))
    torch.testing.assert_close(again(half)[:, np.isin(half, times)], paths(times), rtol=0, atol=0)


def test_sample_paths_without_noise_satisfy_the_recurrence():
    found = spectrum(noise=False)
    times = np.sort(np.random.default_rng(0).uniform(0, 30, 12))
    z = LinearPaths(found, as_pairs(normal(4, 6)), seed=0)(times)
    gaps = torch.from_numpy(np.diff(times))
    torch.testing.assert_close(
        z[:, 1:], found.generator.exp(gaps).eigenvalues.detach() * z[:, :-1], rtol=1e-7, atol=1e-8
    )


def test_sample_paths_have_the_covariance_of_the_process():
    found, n = spectrum(2), 40_000
    times = np.array([0.0, 0.3, 0.75, 1.0, 2.6])
    z = LinearPaths(found, torch.zeros(n, 2, dtype=torch.complex128), seed=0)(times).numpy()
    spread, rates = found.log_spread.exp().detach().numpy(), found.rates.detach().numpy()
    for j in range(2):
        for row, t in enumerate(times):
            for other, s in enumerate(times[row:], start=row):
                truth = spread[j] ** 2 * (1 - np.exp(2 * rates[j].real * t)) * np.exp(np.conj(rates[j]) * (s - t))
                # both states of a pair have this variance, so that |z|^2 has twice
                assert abs(np.mean(z[:, row, j] * z[:, other, j].conj()) / 2 - truth) < 0.02


class Path(nn.Module):
    """`LinearPrior.path` as a module, so that its parameters can be given."""

    def __init__(self, prior: LinearPrior):
        super().__init__()
        self.prior = prior

    def forward(self, start: Tensor, shock: Tensor, grid: Grid) -> Tensor:
        return self.prior.path(start, shock, grid)


def test_gradients():
    grid, path = (
        packed([some_series([4, 2]), some_series([3])]),
        Path(LinearPrior(spectrum(3, conserved=1), 4, 0).double()),
    )
    names = [name for name, _ in path.prior.spectrum.named_parameters()]

    def run(start: Tensor, shock: Tensor, *values: Tensor) -> Tensor:
        given = {f"prior.spectrum.{name}": value for name, value in zip(names, values, strict=True)}
        return torch.func.functional_call(path, given, (start, shock, grid))

    parts = (normal(3, 6), normal(2, 6, 6), *(p.detach().clone() for p in path.prior.spectrum.parameters()))
    assert gradcheck(run, [part.requires_grad_() for part in parts], rtol=1e-3, atol=1e-6)


def test_silent_rows_are_drawn_by_the_law_of_the_bridge():
    found = spectrum(2, conserved=1)
    prior = LinearPrior(found, 4, 0).double()
    gaps = [1.0, 0.4, 0.8, 0.3, 0.7]
    grid = packed([[list(zip(gaps, [True, False, False, True, False], strict=True))]])
    with torch.no_grad():
        z = prior.path(normal(1, 4), normal(1, 5, 4), grid)
        told = prior.filled(z, grid, torch.zeros(1, 5, 4, dtype=torch.float64))
        torch.testing.assert_close(told, prior.between(z, grid), **EXACT)
        unit = torch.eye(20, dtype=torch.float64).view(20, 1, 5, 4)
        moved = torch.stack([(prior.filled(z, grid, each) - told)[0] for each in unit])
    # rows that are observed, or after the last one, and conserved modes, are no noise's
    assert moved[:, [0, 3, 4]].abs().max() == 0 and moved[:, :, :2].abs().max() == 0
    draws = as_pairs(moved[:, 1:3])[..., 1]
    covariance = (draws.unsqueeze(2) * draws.unsqueeze(1).conj()).sum(0).numpy() / 2
    rate, spread = complex(found.rates[1].detach()), float(found.log_spread[1].detach().exp())
    v = lambda t: spread**2 * (1 - math.exp(2 * rate.real * t))
    # states at 0.4, 1.2 and 1.5 after one that is known: conditioned on the last
    times = np.array([0.4, 1.2, 1.5])
    full = np.array(
        [[v(min(s, t)) * np.exp(rate * (s - t) if s >= t else np.conj(rate) * (t - s)) for t in times] for s in times]
    )
    truth = full[:2, :2] - np.outer(full[:2, 2], full[2, :2]) / full[2, 2]
    np.testing.assert_allclose(covariance, truth, rtol=1e-9, atol=1e-12)
