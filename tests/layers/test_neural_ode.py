"""Neural ODEs and CDEs by rules and along paths of the shared modules, beside their own steps and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from tests.conformance.kinds import packed, some_series
from tsssm import Recipe, SSMClassifier, SSMForecaster
from tsssm.data.synthetic import noisy_sines
from tsssm.dynamics import Hermite, Hold, Linear, ZeroOrderHold
from tsssm.dynamics.solvers import RK4, EulerMaruyama, ExponentialEulerMaruyama, Midpoint, Torchdiffeq
from tsssm.dynamics.splines import NaturalCubic, Rectilinear
from tsssm.grid import Grid
from tsssm.layers import Layer, NeuralCDE, NeuralODE


def built(kind: type[Layer], **arguments) -> Layer:
    torch.manual_seed(0)
    return kind(3, d_state=4, width=6, **arguments).double()


def case() -> tuple[Tensor, Grid]:
    torch.manual_seed(1)
    grid = packed([[*some_series([5, 6], 0.3)], some_series([9], 0.2)])
    return torch.randn(*grid.dt.shape, 3, dtype=torch.float64), grid


def results(layer: Layer) -> tuple[Tensor, ...]:
    """Answers and the gradients of all parameters."""
    x, grid = case()
    y = layer(x, grid)[0][grid.valid]
    return y.detach(), *torch.autograd.grad(y.square().sum(), list(layer.parameters()))


def same(layer: Layer, other: Layer, **close) -> None:
    for ours, theirs in zip(results(layer), results(other), strict=True):
        torch.testing.assert_close(ours, theirs, **close)


def test_the_own_step_is_exponential_euler_of_the_shared_module():
    same(built(NeuralODE), built(NeuralODE, rule=ExponentialEulerMaruyama()), rtol=1e-10, atol=1e-10)


def test_rules_meet_where_steps_are_fine():
    exact = built(NeuralODE, rule=Torchdiffeq("dopri5", rtol=1e-8, atol=1e-8))
    for rule in (RK4(substeps=20), Torchdiffeq("rk4", substeps=20, adjoint=True)):
        same(built(NeuralODE, rule=rule), exact, rtol=1e-5, atol=1e-5)
    rough = [results(built(NeuralODE, rule=ExponentialEulerMaruyama(substeps=n)))[0] for n in (1, 10)]
    errors = [(part - results(exact)[0]).abs().max() for part in rough]
    assert errors[1] < 0.15 * errors[0]


def test_a_neural_ode_is_what_scipy_says():
    layer, gaps = built(NeuralODE, rule=RK4(substeps=30)), [1.0, 0.7, 2.5]
    x = torch.randn(1, 3, 3, dtype=torch.float64)
    layer.D.data.zero_()
    states = layer(x, Grid.from_gaps(torch.tensor([gaps], dtype=torch.float64)))[0]
    drift, a, z, t = layer.drift, layer.decay.detach().numpy(), layer.start(x[:, 0]).detach().numpy()[0], 0.0
    for k in (1, 2):

        def rate(s: float, z: np.ndarray, k: int = k) -> np.ndarray:
            inputs = [torch.from_numpy(z), x[0, k]]
            for i, part in enumerate(drift.layers):
                inputs = part(torch.cat(inputs) if i == 0 else torch.tanh(inputs))
            return a * (inputs.detach().numpy() - z)

        z = solve_ivp(rate, (t, t + gaps[k]), z, rtol=1e-10, atol=1e-10).y[:, -1]
        t += gaps[k]
        torch.testing.assert_close(states[0, k].detach(), layer.C.detach() @ torch.from_numpy(z), rtol=1e-6, atol=1e-6)


def test_a_neural_cde_is_the_midpoint_loop_over_increments():
    layer = built(NeuralCDE)
    x, grid = torch.randn(2, 7, 3, dtype=torch.float64), Grid.from_gaps(0.2 + torch.rand(2, 7, dtype=torch.float64))
    z = layer.start(x[:, 0])
    found = [z @ layer.C.T]
    for k in range(1, 7):
        rise = torch.cat([grid.dt[:, k : k + 1].log1p(), layer.project(x[:, k] - x[:, k - 1])], -1)
        z = z + layer.field(None, z + layer.field(None, z, rise) / 2, rise)
        found.append(z @ layer.C.T)
    torch.testing.assert_close(layer(x, grid)[0], torch.stack(found, 1) + layer.D * x, rtol=1e-12, atol=1e-12)


def test_a_rectilinear_path_is_time_and_then_values():
    layer = built(NeuralCDE, path=Rectilinear(), rule=Torchdiffeq("dopri5", rtol=1e-8, atol=1e-8))
    x, gap = torch.randn(1, 2, 3, dtype=torch.float64), 0.8
    waits, jumps = torch.zeros(2, 1, 9, dtype=torch.float64)
    waits[0, 0], jumps[:, 1:] = np.log1p(gap), layer.project(x[:, 1] - x[:, 0]).detach()
    z = layer.start(x[:, 0])
    for rise in (waits, jumps):
        z = RK4(substeps=20).step(layer.field, torch.zeros(1), torch.ones(1).double(), z, rise)
    y, _ = layer(x, Grid.from_gaps(torch.tensor([[1.0, gap]], dtype=torch.float64)))
    torch.testing.assert_close(y[:, 1], z @ layer.C.T + layer.D * x[:, 1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("path", [Linear(), Rectilinear(), Hermite(), NaturalCubic()])
def test_rules_of_cdes_meet_where_steps_are_fine(path):
    exact = built(NeuralCDE, path=path, rule=Torchdiffeq("dopri5", rtol=1e-7, atol=1e-7))
    same(built(NeuralCDE, path=path, rule=RK4(substeps=24)), exact, rtol=1e-4, atol=1e-4)


def test_only_a_path_that_looks_ahead_is_not_causal():
    for path in (Linear(), Rectilinear(), Hermite()):
        assert NeuralCDE(3, path=path).causal
    assert not NeuralCDE(3, path=NaturalCubic()).causal


def test_a_forecaster_refuses_a_path_that_looks_ahead():
    panel, _ = noisy_sines(6, random_state=0)
    ahead = Recipe(NeuralCDE, d_state=4, path=NaturalCubic())
    with pytest.raises(ValueError, match="looks back only.*later rows too.*Rectilinear"):
        SSMForecaster(layer=ahead, d_model=4, depth=1, epochs=1).fit(panel)


def test_estimators_take_a_path_and_a_rule():
    panel, labels = noisy_sines(8, random_state=0)
    for layer in (Recipe(NeuralCDE, d_state=4, path=NaturalCubic()), Recipe(NeuralODE, d_state=4, rule=RK4(2))):
        model = SSMClassifier(layer=layer, d_model=4, depth=1, epochs=1, random_state=0).fit(panel, labels)
        assert np.isfinite(model.predict_proba(panel)).all()
        assert model.set_params(layer__rule=Midpoint()).get_params()["layer__rule"] == Midpoint()


@pytest.mark.parametrize(
    ("make", "error", "word"),
    [
        (lambda: NeuralODE(3, rule="rk4"), TypeError, "RK4"),
        (lambda: NeuralODE(3, rule=ZeroOrderHold()), TypeError, "linear field"),
        (lambda: NeuralCDE(3, rule=EulerMaruyama()), TypeError, "StochasticField"),
        (lambda: NeuralCDE(3, rule=ExponentialEulerMaruyama()), TypeError, "SemilinearField"),
        (lambda: NeuralCDE(3, path="linear"), TypeError, "Linear"),
        (lambda: NeuralCDE(3, path=Hold()), TypeError, "only time moves"),
        (lambda: NeuralCDE(3, d_path=0), ValueError, "d_path"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(make, error, word: str):
    with pytest.raises(error, match=word):
        make()


def test_repeated_times_are_refused_where_slopes_are_needed():
    grid = Grid.from_gaps(torch.tensor([[1.0, 0.5, 0.0, 0.5]], dtype=torch.float64))
    x = torch.randn(1, 4, 3, dtype=torch.float64)
    assert bool(built(NeuralCDE)(x, grid)[0].isfinite().all())
    with pytest.raises(ValueError, match="different times"):
        built(NeuralCDE, path=Hermite())(x, grid)


@pytest.mark.parametrize("rule", [RK4(), Torchdiffeq(max_steps=20)])
def test_a_step_too_long_for_a_rule_is_an_error_and_no_nan(rule):
    layer, x = built(NeuralODE, rule=rule, timescale=(1.0, 1.0)), torch.randn(1, 60, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="stiff"):
        layer(x, Grid.from_gaps(torch.full((1, 60), 1e7, dtype=torch.float64)))
