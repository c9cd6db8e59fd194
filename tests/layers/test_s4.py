"""S4 equals SciPy and a plain dense loop in all its forms, forward and backward, and cannot become unstable."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conformance.kinds import packed, some_series
from tests.layers.systems import RULES, System, gradients, scipy_run, step_by_step, torch_run, wild
from tsssm.dynamics import Bilinear, Dense, GeneralizedBilinear, LinearDiscretization, channels, evolve_loop, krylov
from tsssm.dynamics.hippo import legs
from tsssm.dynamics.kernels import lowrank
from tsssm.grid import Grid
from tsssm.layers import S4

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
CLOSER = {"rtol": 1e-10, "atol": 1e-10}
PAPER = GeneralizedBilinear(0.5)
FORMS = [
    "even",
    "even by Cauchy sums",
    "even walked",
    "irregular",
    "streamed",
    "irregular in torch",
    "in pieces in torch",
]
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)


def layer_of(rule: LinearDiscretization = PAPER, d_state: int = 6) -> S4:
    torch.manual_seed(0)
    return wild(S4(2, d_state=d_state, rule=rule, timescale=(0.05, 0.5)))


def whole(layer: S4) -> System:
    """The complex system of all modes, from the parameters by the paper's equations."""
    step = layer.log_timescale.exp()[:, None]
    half = torch.complex(-layer.log_decay.exp(), layer.frequency)
    P, B, C = (torch.view_as_complex(part) for part in (layer.P[:, 0], layer.B, layer.C))
    both = [torch.cat([part, part.conj()], -1) for part in (half, P, B, C)]
    values, P, B, C = both
    A = torch.diag(values) - P[:, None] * P.conj()
    return step[..., None] * A, step * B, C


def irregular(l: int = 9) -> Grid:
    torch.manual_seed(1)
    return Grid.from_gaps(torch.rand(2, l, dtype=torch.float64) + 0.1)


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
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_plain_loop(rule: LinearDiscretization, form: str, monkeypatch: pytest.MonkeyPatch):
    layer, x = layer_of(rule), features(9)
    grid = Grid.regular(2, 9, 0.7, torch.float64) if form.startswith("even") else irregular()
    monkeypatch.setattr(krylov, "LONG", 1 if form == "even by Cauchy sums" else 1000)
    monkeypatch.setattr(channels, "convolution_pays", lambda *_: form != "even walked")
    if form.endswith("in torch"):
        monkeypatch.setattr(lowrank, "takes", lambda u: False)
    if form == "in pieces in torch":
        monkeypatch.setattr(channels, "NUMBERS_AT_ONCE", 200)
    y = step_by_step(layer, x, grid) if form == "streamed" else layer(x, grid)[0]
    truth = torch_run(whole(layer), rule, grid.dt, x) + layer.D * x
    torch.testing.assert_close(y, truth, **CLOSER)
    inputs = x, *layer.parameters()
    for mine, true in zip(gradients(y, *inputs), gradients(truth, *inputs), strict=True):
        torch.testing.assert_close(mine, true, **CLOSE)


@every_rule
def test_gaps_learn(rule: LinearDiscretization):
    layer, grid, x = layer_of(rule), irregular(), features(9)
    dt = grid.dt.clone().requires_grad_()
    y, _ = layer(x, Grid(dt, grid.valid, grid.reset, grid.active))
    (mine,), (true,) = gradients(y, dt), gradients(torch_run(whole(layer), rule, dt, x) + layer.D * x, dt)
    torch.testing.assert_close(mine, true, **CLOSE)


@pytest.mark.parametrize("rule", [GeneralizedBilinear(0.5), Bilinear()])
@pytest.mark.parametrize("l", [1, 2, 63, 64, 65])
def test_lengths(rule: LinearDiscretization, l: int, monkeypatch: pytest.MonkeyPatch):
    layer, x, grid = layer_of(rule, d_state=16), features(65)[:, :l], Grid.regular(2, l, 0.3, torch.float64)
    monkeypatch.setattr(channels, "convolution_pays", lambda *_: True)
    y, state = layer(x, grid)
    torch.testing.assert_close(y, step_by_step(layer, x, grid), **CLOSER)
    monkeypatch.setattr(krylov, "LONG", 1)
    again, end = layer(x, grid)
    torch.testing.assert_close(again, y, **CLOSER)
    torch.testing.assert_close(end.x, state.x, **CLOSER)


def test_the_hub_runs_the_same_system():
    layer, grid, x = layer_of(), irregular(), features(9)
    A, B, C = whole(layer)
    slow, _ = evolve_loop(Dense(A), layer.rule, grid.dt, B * x.unsqueeze(-1), readout=C)
    torch.testing.assert_close(layer(x, grid)[0], slow + layer.D * x, **CLOSER)


def test_starts_as_hippo():
    A = S4(1, d_state=16, timescale=(1.0, 1.0)).matrix().dense()[0].double().detach()
    ours, true = np.linalg.eigvals(A.numpy()), -np.arange(1.0, 17)
    # the eigenvalues of LegS are too ill-conditioned to compare: the characteristic polynomial is compared instead
    for point in (1j, 5j, 20j, 3.0):
        assert abs(np.prod(point - ours) / np.prod(point - true) - 1) < 1e-4
    assert np.allclose(np.diag(legs(16)[0].numpy()), true)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [1.0, 10.0])
def test_no_step_of_an_optimizer_makes_it_unstable(seed: int, size: float):
    layer = wild(S4(3, d_state=8), size, seed)
    A = layer.matrix().dense().detach()
    assert torch.linalg.eigvals(A).real.max() <= 1e-9 * A.abs().max()
    for gap in (0.01, 1.0, 1e3):
        transition, _ = layer.matrix().rational(gap, 0.5)
        assert torch.linalg.matrix_norm(transition.dense(), 2).max() <= 1 + 1e-9


def test_half_rate_needs_no_training():
    # a slow wave sampled twice as densely, with gaps half as long, gives nearly the same output
    layer = S4(1, d_state=16, rule=Bilinear(), timescale=(0.01, 0.01)).double()
    t = torch.arange(401, dtype=torch.float64)
    wave = torch.sin(0.05 * t)[None, :, None]
    fine, _ = layer(wave, Grid.regular(1, 401, 1.0, torch.float64))
    coarse, _ = layer(wave[:, ::2], Grid.regular(1, 201, 2.0, torch.float64))
    assert (fine[:, ::2] - coarse).abs().max() < 0.02 * fine.abs().max()


def test_odd_state():
    with pytest.raises(ValueError, match="even and positive"):
        S4(2, d_state=5)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("d_state", [2, 6, 40])
def test_rows_in_c_equal_those_in_torch(alpha: float, d_state: int, monkeypatch: pytest.MonkeyPatch):
    # silent rows, several series a row, padding, and more rows than are kept for the way back
    layer = layer_of(GeneralizedBilinear(alpha), d_state)
    with torch.no_grad():
        layer.log_timescale -= 3.0  # forward Euler is stable on short steps only
    torch.manual_seed(3)
    a, b, c, d = some_series([70, 9, 64, 66], 0.3)
    grid = packed([[a, b], [c], [d]])
    x = torch.randn(*grid.dt.shape, 2, dtype=torch.float64).requires_grad_()
    dt = grid.dt.clone().requires_grad_()
    _, start = layer(x[:, :5], grid.piece(0, 5))
    start = start._replace(x=torch.randn_like(start.x).requires_grad_())
    late = Grid(dt, grid.valid, grid.reset & (torch.arange(grid.dt.shape[1]) > 0), grid.active)
    inputs, runs = (x, dt, start.x, *layer.parameters()), []
    for takes in (lowrank.takes, lambda u: False):
        monkeypatch.setattr(lowrank, "takes", takes)
        y, end = layer(x, late, start)
        outputs = torch.cat([y[grid.valid].flatten(), end.x.flatten()])
        runs.append((outputs, gradients(outputs, *inputs)))
    torch.testing.assert_close(runs[0][0], runs[1][0], **CLOSER)
    for mine, true in zip(runs[0][1], runs[1][1], strict=True):
        torch.testing.assert_close(mine, true, **CLOSE)
