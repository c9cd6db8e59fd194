"""LinearGaussian is the Kalman filter of its oscillators, and knows how sure it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from statsmodels.tsa.statespace.structural import UnobservedComponents

from tsssm.dynamics import Dense, GaussianSystem, kalman_filter
from tsssm.grid import Grid
from tsssm.layers import LinearGaussian

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def made(d_model: int = 3, d_state: int = 6) -> LinearGaussian:
    torch.manual_seed(0)
    layer = LinearGaussian(d_model, d_state, timescale=(0.2, 1.0)).double()
    with torch.no_grad():
        layer.log_noise.uniform_(-2, 1)
    return layer


@torch.no_grad()
def test_it_is_the_general_filter_of_its_oscillators():
    layer, gaps = made(), torch.rand(2, 9, dtype=torch.float64) * 3
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    now, _ = layer.filter(x, Grid.from_gaps(gaps))
    for k in range(3):
        step, a, w = layer.log_timescale[k].exp(), layer.log_decay[k].exp(), layer.frequency[k]
        A = step * torch.stack([torch.stack([-a, -w]), torch.stack([w, -a])])
        C, R = torch.eye(2).double()[:1], layer.noise()[k].view(1, 1)
        system = GaussianSystem(Dense(A), 2 * step * a * torch.eye(2).double(), C, R)
        torch.testing.assert_close(system.settled().cov, torch.eye(2).double(), **EXACT)
        found = kalman_filter(system, gaps, x @ layer.B[k : k + 1].T)
        torch.testing.assert_close(now.mean[:, :, k], found.now.mean, **EXACT)
        torch.testing.assert_close(now.cov[:, :, k], found.now.cov, **EXACT)


@torch.no_grad()
def test_an_oscillator_is_the_cycle_of_statsmodels():
    layer = made(1, 2)
    layer.B.fill_(1.0)
    y = torch.randn(1, 60, 1, dtype=torch.float64)
    y[0, 20:33] = torch.nan
    model = UnobservedComponents(
        y[0, :, 0].numpy(), irregular=True, cycle=True, stochastic_cycle=True, damped_cycle=True
    )
    step = layer.log_timescale.exp()
    damping = float((-step * layer.log_decay.exp()).exp())
    # parameters: variance of the observation, of the cycle's noise, its frequency and its damping
    model.update([float(layer.log_noise.exp()), 1 - damping**2, float(step * layer.frequency), damping])
    model.ssm.initialize_stationary()
    truth = model.ssm.filter()
    shown = torch.isfinite(y[..., 0])
    grid = Grid.regular(1, 60, dtype=torch.float64)
    grid = Grid(grid.dt, grid.valid, grid.reset, shown)
    now, _ = layer.filter(torch.nan_to_num(y, nan=77.0), grid)
    # their cycle turns the other way: the second state has the other sign
    flip = np.array([1.0, -1.0])
    np.testing.assert_allclose(now.mean[0, :, 0].numpy() * flip, truth.filtered_state.T, **EXACT)
    np.testing.assert_allclose(
        now.cov[0, :, 0].numpy() * np.outer(flip, flip), truth.filtered_state_cov.transpose(2, 0, 1), **EXACT
    )


@torch.no_grad()
def test_it_grows_unsure_over_a_gap_and_surer_with_rows():
    layer = made()
    gaps = torch.tensor([[1.0, 0.01, 0.01, 0.01, 50.0]], dtype=torch.float64)
    grid = Grid.from_gaps(gaps)
    silent = Grid(grid.dt, grid.valid, grid.reset, torch.tensor([[True, True, True, True, False]]))
    cov = layer.filter(torch.randn(1, 5, 3, dtype=torch.float64), silent)[0].cov[0]
    variance = cov.diagonal(dim1=-2, dim2=-1)[..., 0]
    assert bool((variance[1:4] < variance[:3]).all())
    torch.testing.assert_close(cov[4], torch.eye(2, dtype=torch.float64).expand(3, 2, 2), rtol=0, atol=1e-4)


@torch.no_grad()
def test_pure_noise_is_not_believed():
    # next to nothing is believed of observations that are all noise
    layer = made()
    layer.log_noise.fill_(14.0)
    mean = layer.filter(torch.randn(1, 5, 3, dtype=torch.float64), Grid.regular(1, 5, dtype=torch.float64))[0].mean
    assert float(mean.abs().max()) < 1e-4


@torch.no_grad()
def test_a_settled_filter_is_a_fixed_linear_system():
    # on an even grid the gain settles, and the filter is x_k = (I - K C) F x_k-1 + K u_k
    layer = made(1, 2)
    layer.B.fill_(1.0)
    grid = Grid.regular(1, 400, dtype=torch.float64)
    x = torch.randn(1, 400, 1, dtype=torch.float64)
    now, _ = layer.filter(x, grid)
    cov = now.cov[0, -1, 0]
    K = cov[:, :1] / layer.noise()[0]
    F = layer.steps(torch.ones(1, 1).double())[0][0, 0, 0]
    move = F - K @ F[:1]
    rates, basis = torch.linalg.eig(move)
    drive = torch.linalg.solve(basis, K.to(basis.dtype)).squeeze(-1) * x[:, 200:]
    start = torch.linalg.solve(basis, now.mean[0, 199, 0].to(basis.dtype))
    carried = drive[:, 0] + rates * start
    for k in range(1, 200):
        carried = drive[:, k] + rates * carried
    torch.testing.assert_close((basis @ carried[0]).real, now.mean[0, -1, 0], **EXACT)


def test_an_odd_number_of_states():
    with pytest.raises(ValueError, match="d_state=5"):
        LinearGaussian(3, d_state=5)
