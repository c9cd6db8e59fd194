"""LRU equals its published recurrence at equal gaps, and a plain loop on true ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.layers.systems import gradients, step_by_step, wild
from tsssm.grid import Grid
from tsssm.layers import LRU

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
CLOSER = {"rtol": 1e-10, "atol": 1e-10}


def layer_of() -> LRU:
    torch.manual_seed(0)
    return wild(LRU(2, d_state=6), 0.3)


def features(l: int = 9) -> Tensor:
    return torch.randn(2, l, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()


def published(layer: LRU, dt: Tensor, x: Tensor) -> Tensor:
    """The loop of the paper, with lambda^dt where it has lambda."""
    radius = torch.exp(-layer.log_decay.exp())
    eigenvalues = torch.polar(radius, layer.log_frequency.exp())
    B, C = torch.view_as_complex(layer.B), torch.view_as_complex(layer.C)
    state, answers = torch.zeros(2, 3, dtype=torch.complex128), []
    for k in range(x.shape[1]):
        gap = dt[:, k, None]
        turn = torch.polar(radius**gap, layer.log_frequency.exp() * gap)
        gain = (1 - radius ** (2 * gap)).sqrt()
        state = turn * state + gain * (x[:, k].to(B.dtype) @ B.T)
        answers.append((state @ C.T).real)
    assert eigenvalues.abs().max() < 1
    return torch.stack(answers, 1) + layer.D * x


@pytest.mark.parametrize("form", ["even", "irregular", "streamed"])
def test_every_form_is_the_published_loop(form: str):
    layer, x = layer_of(), features()
    torch.manual_seed(1)
    dt = torch.ones(2, 9) if form == "even" else torch.rand(2, 9) + 0.1
    grid = Grid.from_gaps(dt.double())
    y = step_by_step(layer, x, grid) if form == "streamed" else layer(x, grid)[0]
    truth = published(layer, grid.dt, x)
    torch.testing.assert_close(y, truth, **CLOSER)
    inputs = x, *layer.parameters()
    for mine, true in zip(gradients(y, *inputs), gradients(truth, *inputs), strict=True):
        torch.testing.assert_close(mine, true, **CLOSE)


def test_ring():
    torch.manual_seed(0)
    layer = LRU(1, d_state=4000, radius=(0.5, 0.8))
    square = torch.exp(-2 * layer.log_decay.exp())
    assert square.min() >= 0.25 - 1e-6 and square.max() <= 0.64 + 1e-6
    assert abs(square.mean().item() - 0.445) < 0.01
    phase = layer.log_frequency.exp()
    assert phase.min() > 0 and phase.max() <= math.pi + 1e-6


@pytest.mark.parametrize("spread", [0.0, 0.9])
def test_white_noise_keeps_the_state_at_its_size(spread: float):
    # E|x|^2 = |B u|^2 whatever the memory and the gaps
    torch.manual_seed(0)
    layer = LRU(1, d_state=8, radius=(0.5, 0.98)).double()
    dt = 1 + spread * (2 * torch.rand(400, 300, dtype=torch.float64) - 1)
    _, state = layer(torch.randn(400, 300, 1, dtype=torch.float64), Grid.from_gaps(dt))
    size = state.x.abs().square().mean(0) / layer.B.square().sum(-1).squeeze(-1)
    torch.testing.assert_close(size, torch.ones_like(size), rtol=0.0, atol=0.25)


def test_rows_without_a_gap_have_gradients():
    layer, x = layer_of(), features(4)
    dt = torch.tensor([[1.0, 0.0, 0.5, 0.0]] * 2, dtype=torch.float64)
    y, _ = layer(x, Grid.from_gaps(dt))
    y.sum().backward()
    assert all(bool(torch.isfinite(part.grad).all()) for part in (x, *layer.parameters()))


@pytest.mark.parametrize("arguments", [{"d_state": 3}, {"radius": (0.9, 0.5)}, {"radius": (0.5, 1.0)}])
def test_bad_arguments(arguments: dict):
    with pytest.raises(ValueError, match="came"):
        LRU(2, **arguments)
