"""Neural SDEs beside closed forms: moments, strong orders, signs, stability at any gap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conformance.kinds import packed, some_series
from tsssm.grid import Grid
from tsssm.layers import GeometricSDE, LangevinSDE, LinearNoiseSDE, NeuralODE
from tsssm.layers.driven import Driven
from tsssm.layers.exponential import Exponential

NOISY = (LangevinSDE, LinearNoiseSDE, GeometricSDE)


def quiet(layer: Exponential) -> Exponential:
    """Without drift but the linear part, in float64."""
    layer = layer.double()
    nn.init.zeros_(layer.drift.layers[-1].weight)
    nn.init.zeros_(layer.drift.layers[-1].bias)
    nn.init.zeros_(layer.size.out.weight)
    return layer


def parts(layer: Exponential, gap: Tensor, noise: Tensor):
    clock = torch.zeros(1, 1, 1, 1, dtype=gap.dtype)
    return layer.affine(gap.view(-1, 1, 1, 1), clock, noise)


def test_langevin_steps_are_the_ornstein_uhlenbeck_law():
    layer = quiet(LangevinSDE(2, d_state=3, noise=0.5))
    gap = torch.tensor([0.01, 1.0, 300.0]).double()
    one = parts(layer, gap, torch.ones(3, 1, 1, 3).double())
    a = layer.decay.detach()
    s = 0.5 * (2 * a).sqrt()
    passed = gap.view(-1, 1, 1, 1)
    torch.testing.assert_close(one.carry.detach(), torch.exp(-a * passed))
    torch.testing.assert_close(
        one.kick.detach() ** 2, s**2 * (1 - torch.exp(-2 * a * passed)) / (2 * a), atol=1e-12, rtol=1e-6
    )


def test_linear_noise_steps_have_the_moments_of_geometric_brownian_motion():
    layer = quiet(LinearNoiseSDE(2, d_state=3, noise=0.6))
    gap, (nodes, weights) = torch.tensor([0.7]).double(), np.polynomial.hermite_e.hermegauss(60)
    noise = torch.from_numpy(nodes).view(1, 1, -1, 1).expand(1, 1, -1, 3)
    carry = parts(layer, gap, noise).carry.detach()[0, 0]
    weight = torch.from_numpy(weights / weights.sum()).unsqueeze(-1)
    a = layer.decay.detach()
    s2 = 0.36 * 2 * a
    torch.testing.assert_close((weight * carry).sum(0), torch.exp(-a * 0.7))
    torch.testing.assert_close((weight * carry**2).sum(0), torch.exp((s2 - 2 * a) * 0.7))


@pytest.mark.parametrize("kind", NOISY)
def test_strong_order_is_one(kind: type[Driven]):
    torch.manual_seed(0)
    layer = kind(2, d_state=2, width=8, timescale=(0.5, 1.0), noise=0.4, paths=300).double()
    fine = 2**9
    motion = torch.randn(1, fine, 300, 2, dtype=torch.float64) / fine**0.5
    ends = [_end(layer, motion, fine // step) for step in (1, 16, 32, 64)]
    errors = [(end - ends[0]).square().mean().sqrt().item() for end in ends[1:]]
    # a slope over two halvings; by chance it varies by 0.05 over the 300 paths
    slope = np.polyfit(np.log([16, 32, 64]), np.log(errors), 1)[0]
    assert abs(slope - 1) < 0.15, errors


def _end(layer: Driven, motion: Tensor, l: int) -> Tensor:
    """State at time 1 after l steps under one Brownian motion, whose increments are summed to the steps."""
    step = motion.unflatten(1, (l, -1)).sum(2) * l**0.5
    grid = Grid.from_gaps(torch.full((1, l + 1), 1 / l, dtype=torch.float64))
    layer.eval()._noise = lambda steps, like: torch.cat([step[:, :1], step], 1)
    x = torch.ones(1, l + 1, 2, dtype=torch.float64)
    with torch.no_grad():
        return layer(x, grid)[1].x


def test_the_geometric_state_keeps_its_sign():
    layer = GeometricSDE(2, noise=3.0).train()
    x = 100 * torch.randn(4, 50, 2)
    _, state = layer(x, Grid.from_gaps(torch.rand(4, 50) * 100))
    z = state.x.exp()
    assert bool((z > 0).all()) and bool(torch.isfinite(z).all())


@pytest.mark.parametrize("kind", [*NOISY, NeuralODE])
@pytest.mark.parametrize("gap", [1e-9, 1e-3, 1e3, 1e9])
@pytest.mark.parametrize("gain", [1, 20])
def test_no_gap_throws_the_state_out(kind: type[Driven], gap: float, gain: float):
    torch.manual_seed(0)
    layer = kind(3).train()
    with torch.no_grad():
        layer.drift.layers[-1].weight.mul_(gain)
    x = (10 * torch.randn(2, 200, 3)).requires_grad_()
    y, state = layer(x, Grid.from_gaps(torch.full((2, 200), gap)))
    assert bool(torch.isfinite(y).all())
    assert float(state.x.detach().abs().max()) < 1e4
    if gain == 1:
        # over long gaps the state is f of the one before; gradients of so steep an f grow as in any recurrent network
        y.square().mean().backward()
        assert bool(torch.isfinite(x.grad).all())


def test_two_starts_meet_under_the_same_noise():
    torch.manual_seed(0)
    layer = LangevinSDE(2, d_state=4, timescale=(0.5, 1.0)).double().eval()
    with torch.no_grad():
        layer.drift.layers[-1].weight.mul_(0.2)
    x = torch.randn(1, 60, 2, dtype=torch.float64)
    other = x.clone()
    other[:, 0] += 5.0
    grid = Grid.regular(1, 60, dtype=torch.float64)
    far = [(layer(x[:, :l], grid.piece(0, l))[1].x - layer(other[:, :l], grid.piece(0, l))[1].x) for l in (10, 60)]
    far = [float(part.detach().abs().max()) for part in far]
    # 50 median gaps later; the slowest rate is 0.5 less the slope of the network
    assert far[1] < 1e-6 * far[0]


def test_training_draws_anew_and_answers_do_not():
    layer, x, grid = LangevinSDE(2), torch.randn(1, 9, 2), Grid.regular(1, 9)
    assert not torch.equal(layer(x, grid)[0], layer(x, grid)[0])
    layer.eval()
    assert torch.equal(layer(x, grid)[0], layer(x, grid)[0])


@pytest.mark.parametrize("kind", NOISY)
def test_answers_are_means_over_paths(kind: type[Driven]):
    torch.manual_seed(0)
    layer, x, grid = (
        kind(2, paths=400).double().eval(),
        torch.randn(1, 9, 2).double(),
        Grid.regular(1, 9, dtype=torch.float64),
    )
    mean, _ = layer(x, grid)
    layer.train()
    drawn = torch.cat([layer(x, grid)[0] for _ in range(400)])
    error = drawn.std(0) / 400**0.5
    assert float(((drawn.mean(0) - mean[0]) / error.clamp_min(1e-9))[1:].detach().abs().max()) < 6


@pytest.mark.parametrize("kind", [*NOISY, NeuralODE])
def test_the_fast_run_is_the_plain_loop_gradients_too(kind: type[Exponential]):
    torch.manual_seed(0)
    layer = kind(3, d_state=4, width=6).double().eval()
    grid = packed([[*some_series([4, 5], 0.4)], some_series([6], 0.3)])
    u = torch.randn(*grid.dt.shape, 3, dtype=torch.float64, requires_grad=True)
    results = []
    for run in (layer.run, lambda *rest: Driven.run(layer, *rest)):
        layer.run = run
        y = layer(u, grid)[0][grid.valid]
        results.append((y, *torch.autograd.grad(y.square().sum(), [u, *layer.parameters()])))
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)
