"""S4D from each initialisation equals SciPy and a plain dense loop; DSS is one of its presets."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.layers.systems import RULES, System, gradients, scipy_run, step_by_step, torch_run, wild
from tsssm.dynamics import LinearDiscretization, ZeroOrderHold
from tsssm.dynamics.hippo import legs
from tsssm.estimators.recipes import as_recipe
from tsssm.grid import Grid
from tsssm.layers import S4D, Layer

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
CLOSER = {"rtol": 1e-10, "atol": 1e-10}
every_init = pytest.mark.parametrize("init", ["legs", "lin", "inv", "real"])


def layer_of(init: str, rule: LinearDiscretization) -> S4D:
    torch.manual_seed(0)
    return wild(S4D(2, d_state=8, init=init, rule=rule, timescale=(0.05, 0.5)), 0.1)


def whole(layer: Layer) -> System:
    """The complex system of all modes: B = 1, and twice the real part of one half of the pairs."""
    step = layer.log_timescale.exp()[:, None]
    half = torch.complex(-layer.log_decay.exp(), layer.frequency)
    C = torch.view_as_complex(layer.C)
    both = torch.cat([half, half.conj()], -1) * step
    return torch.diag_embed(both), torch.ones_like(both.real) * step, torch.cat([C, C.conj()], -1)


def features(l: int = 9) -> Tensor:
    return torch.randn(2, l, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()


def irregular() -> Grid:
    torch.manual_seed(1)
    return Grid.from_gaps(torch.rand(2, 9, dtype=torch.float64) + 0.1)


@every_init
def test_first_eigenvalues(init: str):
    n = 16
    k = torch.arange(n // 2, dtype=torch.float64)
    A, _ = legs(n)
    root = (torch.arange(n, dtype=torch.float64) + 0.5).sqrt()
    normal = torch.linalg.eigvals(A + torch.outer(root, root))
    true = {
        "legs": normal[normal.imag > 0],
        "lin": torch.complex(torch.full_like(k, -0.5), math.pi * k),
        "inv": torch.complex(torch.full_like(k, -0.5), n / math.pi * (n / (2 * k + 1) - 1)),
        "real": torch.complex(-(k + 1), torch.zeros_like(k)),
    }[init]
    layer = S4D(1, d_state=n, init=init)
    ours = torch.complex(-layer.log_decay[0].exp(), layer.frequency[0]).detach().to(torch.complex128)
    order = (lambda z: z[(z.imag - z.real).argsort()]) if init != "real" else (lambda z: z[z.real.argsort()])
    torch.testing.assert_close(order(ours), order(true), rtol=1e-5, atol=1e-5)


@every_init
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_every_form_is_the_plain_loop(init: str, rule: LinearDiscretization):
    layer, x = layer_of(init, rule), features()
    for grid in (Grid.regular(2, 9, 0.7, torch.float64), irregular()):
        truth = torch_run(whole(layer), rule, grid.dt, x) + layer.D * x
        inputs = x, *layer.parameters()
        true = gradients(truth, *inputs)
        for y in (layer(x, grid)[0], step_by_step(layer, x, grid)):
            torch.testing.assert_close(y, truth, **CLOSER)
            for mine, expected in zip(gradients(y, *inputs), true, strict=True):
                torch.testing.assert_close(mine, expected, **CLOSE)


@every_init
def test_equals_scipy_on_true_gaps(init: str):
    layer, grid, x = layer_of(init, ZeroOrderHold()), irregular(), features()
    truth = scipy_run(whole(layer), ZeroOrderHold(), grid.dt[0], x[0]) + layer.D * x[0]
    torch.testing.assert_close(layer(x, grid)[0][0], truth, **CLOSE)


def test_dss_has_its_published_kernel():
    # DSS_exp: k_t = Re sum (w / lambda) (e^(lambda s) - 1) e^(lambda s t), with w = 2 C
    torch.manual_seed(0)
    layer = as_recipe("dss").build(3).double()
    step = layer.log_timescale.exp()[:, None]
    values = torch.complex(-layer.log_decay.exp(), layer.frequency)
    assert torch.allclose(values.real, torch.tensor(-0.5, dtype=torch.float64))
    t = torch.arange(20, dtype=torch.float64)[:, None, None]
    w = 2 * torch.view_as_complex(layer.C)
    kernel = (w / values * (torch.exp(values * step) - 1) * torch.exp(values * step * t)).sum(-1).real
    impulse = torch.zeros(1, 20, 3, dtype=torch.float64)
    impulse[:, 0] = 1
    y, _ = layer(impulse, Grid.regular(1, 20, 1.0, torch.float64))
    kernel[0] += layer.D
    torch.testing.assert_close(y[0], kernel, **CLOSE)
