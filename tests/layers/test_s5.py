"""S5 equals SciPy and a plain dense loop with many inputs, with resets anywhere, forward and backward."""

from __future__ import annotations

import pytest
import torch
from scipy.linalg import expm
from torch import Tensor

from tests.layers.systems import gradients, step_by_step, wild
from tsssm.grid import Grid
from tsssm.layers import S5

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
CLOSER = {"rtol": 1e-10, "atol": 1e-10}


def layer_of() -> S5:
    torch.manual_seed(0)
    return wild(S5(2, d_state=8, blocks=2, timescale=(0.05, 0.5)), 0.2)


def whole(layer: S5) -> tuple[Tensor, Tensor, Tensor]:
    """The complex system of all modes, pairs written out."""
    step = layer.log_timescale.exp()
    half = torch.complex(-layer.log_decay.exp(), layer.frequency) * step
    B, C = torch.view_as_complex(layer.B) * step[:, None], torch.view_as_complex(layer.C)
    pairs = (torch.cat([part, part.conj()], dim) for part, dim in ((half, 0), (B, 0), (C, 1)))
    values, B, C = pairs
    return torch.diag(values), B, C


def plain(layer: S5, grid: Grid, x: Tensor) -> Tensor:
    """Each gap by the exponential of [[A, B], [0, 0]], inputs held."""
    A, B, C = whole(layer)
    n, answers = len(A), []
    state = torch.zeros(len(x), n, dtype=A.dtype)
    for k in range(x.shape[1]):
        state = torch.where(grid.reset[:, k, None], 0, state)
        big = torch.zeros(len(x), n + 2, n + 2, dtype=A.dtype)
        gap = grid.dt[:, k, None, None]
        big[:, :n, :n], big[:, :n, n:] = gap * A, gap * B
        end = torch.linalg.matrix_exp(big)[:, :n]
        state = (end[..., :n] @ state.unsqueeze(-1)).squeeze(-1)
        state = state + (end[..., n:] @ x[:, k, :, None].to(A.dtype)).squeeze(-1)
        answers.append((state @ C.T).real)
    return torch.stack(answers, 1) + layer.D * x


def grid_with(resets: tuple[int, ...], even: bool) -> Grid:
    torch.manual_seed(1)
    dt = torch.full((2, 9), 0.7) if even else torch.rand(2, 9) + 0.1
    grid = Grid.from_gaps(dt.double())
    grid.reset[1, list(resets)] = True
    return grid


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("resets", [(), (1,), (4, 5), (8,)])
def test_every_form_is_the_plain_loop(even: bool, resets: tuple[int, ...]):
    layer, grid = layer_of(), grid_with(resets, even)
    x = torch.randn(2, 9, 2, dtype=torch.float64).requires_grad_()
    truth, inputs = plain(layer, grid, x), (x, *layer.parameters())
    true = gradients(truth, *inputs)
    for y in (layer(x, grid)[0], step_by_step(layer, x, grid)):
        torch.testing.assert_close(y, truth, **CLOSER)
        for mine, expected in zip(gradients(y, *inputs), true, strict=True):
            torch.testing.assert_close(mine, expected, **CLOSE)


def test_equals_scipy():
    layer, grid = layer_of(), grid_with((), False)
    x = torch.randn(2, 9, 2, dtype=torch.float64)
    A, B, C = (part.detach().numpy() for part in whole(layer))
    y, _ = layer(x, grid)
    state = 0 * B[:, 0]
    for k, gap in enumerate(grid.dt[0].tolist()):
        flow = expm(gap * A)
        # A has an inverse, so that the held input has a closed form
        state = flow @ state + (B @ x[0, k].numpy()) * (flow.diagonal() - 1) / A.diagonal()
        true = torch.from_numpy((C @ state).real) + layer.D * x[0, k]
        torch.testing.assert_close(y[0, k], true, **CLOSE)


@pytest.mark.parametrize("size", [1.0, 10.0])
def test_no_step_of_an_optimizer_makes_it_unstable(size: float):
    A, _, _ = whole(wild(S5(3, d_state=8), size))
    assert A.diagonal().real.max() < 0
