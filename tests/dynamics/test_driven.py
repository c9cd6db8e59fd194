"""Steps of a network that drives a state: fast form equal to the plain loop, and to an independent solver as steps shrink."""

from __future__ import annotations

import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from tsssm.dynamics.driven import driven, driven_loop
from tsssm.dynamics.mlp_fields import MLPField

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def numbers(depth: int, p: int = 2) -> tuple[MLPField, list[Tensor]]:
    torch.manual_seed(0)
    net = MLPField(3, 4, width=5, depth=depth).double()
    shapes = [(2, 6, p, 3), (2, 6, 1, 3), (2, 6, p, 3), (2, 6, 4), (2, p, 3)]
    return net, [(0.5 * torch.randn(shape, dtype=torch.float64)).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("log", [False, True])
def test_the_fast_form_is_the_loop_gradients_too(depth: int, log: bool):
    net, parts = numbers(depth)
    wanted = [*parts, *net.parameters()]
    results = []
    for form in (driven, driven_loop):
        y = form(net, *parts, log=log)
        results.append((y, *torch.autograd.grad((y * y.detach().cos()).sum(), wanted)))
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, **CLOSE)


def test_second_derivatives():
    net, parts = numbers(1)
    assert torch.autograd.gradgradcheck(lambda *parts: driven(net, *parts), parts)


def test_exponential_steps_converge_to_the_ordinary_differential_equation():
    net, _ = numbers(1)
    decay, u = torch.tensor([0.3, 1.0, 2.0]).double(), torch.tensor([0.5, -1.0, 0.2, 0.0]).double()
    start, errors = torch.tensor([1.0, -1.0, 0.5]).double(), []

    def rate(_: float, x):
        with torch.no_grad():
            x = torch.from_numpy(x)
            return (net(x, x, u) - decay * x).numpy()

    truth = torch.from_numpy(solve_ivp(rate, (0, 2), start.numpy(), rtol=1e-10, atol=1e-10).y[:, -1])
    for l in (64, 128):
        passed = (decay * 2 / l).view(1, 1, 1, 3)
        weight = -torch.expm1(-passed) / decay
        y = driven(net, torch.exp(-passed), weight, torch.zeros_like(weight), u.expand(1, l, 4), start.view(1, 1, 3))
        errors.append(float((y.detach()[0, -1, 0] - truth).abs().max()))
    assert errors[1] < 0.01 and 0.45 < errors[1] / errors[0] < 0.55
