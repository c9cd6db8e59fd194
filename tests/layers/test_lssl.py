"""LSSL equals SciPy and a plain loop in all its forms, forward and backward, and cannot become unstable."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.layers.systems import RULES, System, gradients, scipy_run, step_by_step, torch_run, wild
from tsssm.dynamics import ForwardEuler, GeneralizedBilinear, LinearDiscretization, channels
from tsssm.dynamics.hippo import legs
from tsssm.grid import Grid
from tsssm.layers import LSSL

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
CLOSER = {"rtol": 1e-10, "atol": 1e-10}
PAPER = GeneralizedBilinear(0.5)
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)


def layer_of(rule: LinearDiscretization = PAPER, d_state: int = 5) -> LSSL:
    torch.manual_seed(0)
    return wild(LSSL(2, d_state=d_state, rule=rule, timescale=(0.05, 0.5)), 0.3)


def whole(layer: LSSL) -> System:
    step = layer.log_timescale.exp()[:, None]
    A = layer.W - layer.W.T - layer.S @ layer.S.T
    return step[..., None] * A, step * layer.B, layer.C


def irregular(l: int = 9) -> Grid:
    torch.manual_seed(1)
    # some gaps come twice
    gaps = torch.rand(5, dtype=torch.float64) + 0.1
    return Grid.from_gaps(gaps[torch.randint(5, (2, l))])


def features(l: int) -> Tensor:
    return torch.randn(2, l, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()


@every_rule
def test_equals_scipy_on_true_gaps(rule: LinearDiscretization):
    layer, grid, x = layer_of(rule), irregular(), features(9)
    y, _ = layer(x, grid)
    for series in range(2):
        truth = scipy_run(whole(layer), rule, grid.dt[series], x[series]) + layer.D * x[series]
        torch.testing.assert_close(y[series], truth, **CLOSE)


@every_rule
@pytest.mark.parametrize("form", ["even", "even walked", "irregular", "in pieces", "streamed"])
def test_every_form_is_the_plain_loop(rule: LinearDiscretization, form: str, monkeypatch: pytest.MonkeyPatch):
    layer, x = layer_of(rule), features(9)
    grid = Grid.regular(2, 9, 0.7, torch.float64) if form.startswith("even") else irregular()
    if form == "even walked":
        monkeypatch.setattr(channels, "uniform_gap", lambda *_: None)
    if form == "in pieces":
        monkeypatch.setattr(channels, "NUMBERS_AT_ONCE", 200)
    y = step_by_step(layer, x, grid) if form == "streamed" else layer(x, grid)[0]
    truth = torch_run(whole(layer), rule, grid.dt, x) + layer.D * x
    torch.testing.assert_close(y, truth, **CLOSER)
    inputs = x, *layer.parameters()
    for mine, true in zip(gradients(y, *inputs), gradients(truth, *inputs), strict=True):
        torch.testing.assert_close(mine, true, **CLOSE)


@pytest.mark.parametrize("l", [1, 2, 3, 31, 32, 33, 100])
def test_lengths(l: int):
    layer, x, grid = layer_of(d_state=8), features(100)[:, :l], Grid.regular(2, l, 0.3, torch.float64)
    y, state = layer(x, grid)
    torch.testing.assert_close(y, step_by_step(layer, x, grid), **CLOSER)
    head, carried = layer(x[:, : l // 2], grid.piece(0, l // 2)) if l > 1 else (x[:, :0], None)
    tail, end = layer(x[:, l // 2 :], grid.piece(l // 2, l), carried)
    torch.testing.assert_close(torch.cat([head, tail], 1), y, **CLOSER)
    torch.testing.assert_close(end.x, state.x, **CLOSER)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_weights_of_the_bilinear_family(alpha: float):
    # a = 0 is forward Euler, whichever way it is said
    layer, grid, x = layer_of(GeneralizedBilinear(alpha)), irregular(), features(9)
    y, _ = layer(x, grid)
    A, B, C = whole(layer)
    state, answers = torch.zeros(2, 2, 5, dtype=torch.float64), []
    for k in range(9):
        h = grid.dt[:, k, None, None, None]
        left, right = torch.eye(5) - alpha * h * A, torch.eye(5) + (1 - alpha) * h * A
        pushed = (right @ state.unsqueeze(-1)).squeeze(-1) + h[..., 0] * B * x[:, k, :, None]
        state = torch.linalg.solve(left, pushed)
        answers.append((C * state).sum(-1))
    torch.testing.assert_close(y, torch.stack(answers, 1) + layer.D * x, **CLOSER)
    if alpha == 0.0:
        layer.rule = ForwardEuler()
        torch.testing.assert_close(layer(x, grid)[0], y, **CLOSER)


def test_starts_as_hippo():
    A = LSSL(1, d_state=16, timescale=(1.0, 1.0)).matrix().dense()[0].double()
    torch.testing.assert_close(A, legs(16)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [1.0, 10.0])
def test_no_step_of_an_optimizer_makes_it_unstable(seed: int, size: float):
    layer = wild(LSSL(3, d_state=8), size, seed)
    A = layer.matrix().dense().detach()
    assert torch.linalg.eigvals(A).real.max() <= 1e-9 * A.abs().max()
    for gap in (0.01, 1.0, 1e3):
        transition, _ = layer.matrix().rational(gap, 0.5)
        assert torch.linalg.matrix_norm(transition.dense(), 2).max() <= 1 + 1e-9
