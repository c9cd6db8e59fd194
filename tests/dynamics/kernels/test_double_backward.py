"""Gradients with a graph of their own equal those without, also where one argument is computed from another."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tsssm.dynamics.kernels.double_backward import double_backward
from tsssm.dynamics.kernels.fused import modal_fused
from tsssm.dynamics.kernels.loop import Modal, in_units_of_rate, modal_loop
from tsssm.dynamics.kernels.selective import modal_selective
from tsssm.dynamics.kernels.torch_form import modal_torch
from tsssm.dynamics.mlp_fields import MLPField, NoisyMLP
from tsssm.dynamics.solvers import EulerMaruyama
from tsssm.dynamics.trajectories import trajectory


def both_gradients(run: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.requires_grad_()
    loss = run(x).square().sum()
    return tuple(torch.autograd.grad(loss, x, create_graph=graph, retain_graph=True)[0] for graph in (False, True))


@pytest.mark.parametrize("form", [modal_loop, modal_fused, modal_selective, modal_torch])
def test_weights_made_from_rates(form: Callable[[Modal], tuple[Tensor, Tensor]]):
    torch.manual_seed(0)
    gap, u = torch.rand(2, 9, dtype=torch.float64), torch.randn(2, 9, 3, dtype=torch.float64)
    rate = -torch.rand(3, 2, dtype=torch.float64) - 0.1

    def run(rate: Tensor) -> Tensor:
        return in_units_of_rate(form, Modal(rate, torch.ones_like(rate), gap, hold=u))[0]

    once, twice = both_gradients(run, rate)
    torch.testing.assert_close(once, twice, rtol=1e-12, atol=1e-12)


def test_roots_made_from_steps():
    torch.manual_seed(0)
    field, noise = NoisyMLP(MLPField(2, width=5)).double(), torch.randn(2, 4, 2, dtype=torch.float64)
    x0, dt = torch.ones(2, 2, dtype=torch.float64), torch.rand(2, 4, dtype=torch.float64) + 0.1
    once, twice = both_gradients(lambda dt: trajectory(field, EulerMaruyama(), dt, x0, noise=noise), dt)
    torch.testing.assert_close(once, twice, rtol=1e-12, atol=1e-12)


def test_outputs_off_the_path_and_parts_without_effect():
    x, y = torch.tensor(3.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    grads = double_backward(lambda a, b, n: (a**n, torch.ones(())), (x, y, 2), (True, True, False), (x, x))
    assert grads[0] == 18 and grads[1] == 0 and grads[2] is None
    assert torch.autograd.grad(grads[0], x)[0] == 12
