"""Trajectories against one step at a time, torchsde, torchdiffeq and closed forms, in torch and in C."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torchsde
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torchdiffeq import odeint

from tsssm.dynamics.kernels import trajectory as torch_form
from tsssm.dynamics.kernels import trajectory_native as native_form
from tsssm.dynamics.mlp_fields import MLPField, NoisyMLP
from tsssm.dynamics.solvers import RK4, Euler, EulerMaruyama, Heun, Midpoint
from tsssm.dynamics.trajectories import trajectory, trajectory_loop

DOUBLE = {"dtype": torch.float64}
RULES = [Euler(), Midpoint(), Heun(2), RK4(), EulerMaruyama(), EulerMaruyama(2)]
# depth, activation, inputs, clock, form, b, n, width, whether inputs are held: whole and broken blocks of lanes and of fours
CASES = [
    (1, "tanh", 0, False, "linear", 19, 5, 7, True),
    (2, "silu", 3, True, "additive", 33, 4, 12, False),
    (3, "relu", 2, False, "additive", 5, 1, 3, False),
    (0, "tanh", 1, True, "linear", 3, 2, 1, True),
    (1, "tanh", 0, True, "linear", 16, 8, 8, True),
]


@pytest.fixture(params=["torch", "best"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The torch form, and what runs here by default: C where it is built."""
    if request.param == "torch":
        monkeypatch.setattr(native_form, "library", lambda: None)
    yield request.param


def problem(case: tuple, rule, dtype: torch.dtype = torch.float64) -> tuple[NoisyMLP, dict[str, Tensor]]:
    depth, activation, m, clock, noise, b, n, width, held = case
    torch.manual_seed(0)
    field = NoisyMLP(MLPField(n, m, width, depth, activation, clock), noise, 0.5, clock).to(dtype)
    l = 6
    tensors = {"dt": torch.rand(b, l), "x0": torch.randn(b, n), "start": torch.rand(b)}
    tensors["dt"][0, 2] = 0
    if m:
        tensors["u"] = torch.randn(b, l, m)
    if m and not held:
        tensors["before"] = torch.randn(b, l, m)
    if isinstance(rule, EulerMaruyama):
        tensors["noise"] = torch.randn(b, l * rule.substeps, n)
    return field, {name: part.to(dtype).requires_grad_() for name, part in tensors.items()}


def results(run, field: NoisyMLP, rule, tensors: dict[str, Tensor]) -> list[Tensor]:
    """States, and gradients by everything."""
    states = run(field, rule, **tensors)
    wanted = [*tensors.values(), *field.parameters()]
    grad = torch.randn(states.shape, generator=torch.Generator().manual_seed(1)).to(states)
    found = torch.autograd.grad(states, wanted, grad, allow_unused=True)
    return [states.detach(), *(torch.zeros_like(w) if g is None else g for w, g in zip(wanted, found, strict=True))]


# the slow twin


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_equals_the_steps_of_the_solver_with_all_gradients(form: str, rule, case: tuple) -> None:
    field, tensors = problem(case, rule)
    for found, expected in zip(
        results(trajectory, field, rule, tensors), results(trajectory_loop, field, rule, tensors), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("rule", [RK4(), EulerMaruyama()], ids=repr)
def test_float32_equals_float64_to_its_rounding(form: str, rule) -> None:
    pairs = []
    for dtype in (torch.float32, torch.float64):
        field, tensors = problem(CASES[0], rule, dtype)
        pairs.append(results(trajectory, field, rule, tensors))
    for low, high in zip(*pairs, strict=True):
        assert low.dtype == torch.float32
        assert (low - high).abs().max() <= 3e-5 * high.abs().max().clamp_min(1e-3)


@pytest.mark.parametrize("rule", [RK4(), EulerMaruyama()], ids=repr)
def test_pieces_of_the_backward_pass_make_no_difference(monkeypatch: pytest.MonkeyPatch, rule) -> None:
    monkeypatch.setattr(native_form, "library", lambda: None)
    field, tensors = problem(CASES[1], rule)
    whole = results(trajectory, field, rule, tensors)
    monkeypatch.setattr(torch_form, "NUMBERS_AT_ONCE", 4000)
    for found, expected in zip(results(trajectory, field, rule, tensors), whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_long_grids_and_many_rows(form: str) -> None:
    torch.manual_seed(2)
    field = NoisyMLP(MLPField(6, width=10), "linear")
    tensors = {"dt": torch.rand(300, 40) / 40, "x0": torch.randn(300, 6), "noise": torch.randn(300, 40, 6)}
    tensors = {name: part.double().requires_grad_() for name, part in tensors.items()}
    field.double()
    pair = [results(run, field, EulerMaruyama(), tensors) for run in (trajectory, trajectory_loop)]
    for found, expected in zip(*pair, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_threads_do_not_change_a_gradient() -> None:
    torch.manual_seed(3)
    field = MLPField(6, width=10)
    threads, found = torch.get_num_threads(), []
    for count in (1, 2):
        torch.set_num_threads(count)
        dt, x0 = torch.linspace(0.01, 0.1, 300 * 40).reshape(300, 40), torch.ones(300, 6)
        found.append(torch.autograd.grad(trajectory(field, RK4(), dt, x0).square().sum(), list(field.parameters())))
    torch.set_num_threads(threads)
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-6)


# derivatives


@pytest.mark.parametrize("rule", [Heun(), EulerMaruyama()], ids=repr)
def test_first_and_second_derivatives_pass_finite_differences(form: str, rule) -> None:
    field, tensors = problem((1, "silu", 1, True, "linear", 2, 2, 3, False), rule)
    names = list(tensors)
    tensors["dt"] = (tensors["dt"].detach() + 0.1)[:, :3].requires_grad_()
    for name in ("u", "before", "noise"):
        if name in tensors:
            tensors[name] = tensors[name].detach()[:, :3].requires_grad_()

    def run(*values: Tensor) -> Tensor:
        return trajectory(field, rule, **dict(zip(names, values, strict=True)))

    assert gradcheck(run, tuple(tensors.values()))
    assert gradgradcheck(run, tuple(tensors.values()))


def test_gaps_of_zero_leave_state_and_gradient_alone(form: str) -> None:
    field = NoisyMLP(MLPField(3), "linear").double()
    x0 = torch.randn(4, 3, **DOUBLE, requires_grad=True)
    dt = torch.zeros(4, 5, **DOUBLE, requires_grad=True)
    states = trajectory(field, EulerMaruyama(), dt, x0)
    assert torch.equal(states, x0.unsqueeze(1).expand_as(states))
    states.sum().backward()
    assert torch.equal(x0.grad, torch.full_like(x0, 5.0)) and dt.grad.isfinite().all()


def test_nan_of_one_row_stays_there(form: str) -> None:
    x0 = torch.zeros(5, 3)
    x0[1, 0] = torch.nan
    states = trajectory(MLPField(3), RK4(), torch.ones(5, 2), x0)
    assert states[1].isnan().any() and states[[0, 2, 3, 4]].isfinite().all()


def test_large_rates_do_not_overflow(form: str) -> None:
    x0 = torch.tensor([[1e4, -1e4, 30.0], [-1e30, 1e30, 0.0]])
    for activation in ("tanh", "silu"):
        torch.manual_seed(0)
        field = MLPField(3, activation=activation)
        expected = trajectory_loop(field, Euler(), torch.ones(2, 1), x0)
        torch.testing.assert_close(trajectory(field, Euler(), torch.ones(2, 1), x0), expected, rtol=1e-5, atol=1e-5)


# other libraries and closed forms


class Increments(torchsde.BaseBrownian):
    """A Brownian motion on [0, 1] of known increments (l, b, n)."""

    def __init__(self, steps: Tensor) -> None:
        super().__init__()
        self.steps = steps

    def __call__(self, ta, tb, return_U=False, return_A=False):
        return self.steps[round(float(ta) * len(self.steps)) : round(float(tb) * len(self.steps))].sum(0)

    def __repr__(self) -> str:
        return "Increments"

    dtype = property(lambda self: self.steps.dtype)
    device = property(lambda self: self.steps.device)
    shape = property(lambda self: self.steps.shape[1:])
    levy_area_approximation = "none"


class Equation(torch.nn.Module):
    noise_type, sde_type = "diagonal", "ito"

    def __init__(self, field) -> None:
        super().__init__()
        self.field = field

    def f(self, t: Tensor, x: Tensor) -> Tensor:
        return self.field(t.expand(len(x)), x, None)

    def g(self, t: Tensor, x: Tensor) -> Tensor:
        return self.field.diffusion(t.expand(len(x)), x, None)

    forward = f


@pytest.mark.parametrize("noise_form", ["additive", "linear"])
def test_torchsde_with_the_same_increments(form: str, noise_form: str) -> None:
    torch.manual_seed(4)
    field, l = NoisyMLP(MLPField(3, clock=True), noise_form, 0.4, clock=True).double(), 16
    x0, noise, grad = torch.randn(9, 3, **DOUBLE), torch.randn(9, l, 3, **DOUBLE), torch.randn(9, l, 3, **DOUBLE)
    ours = trajectory(field, EulerMaruyama(), torch.full((9, l), 1 / l, **DOUBLE), x0, noise=noise)
    times, brownian = torch.linspace(0, 1, l + 1, **DOUBLE), Increments(noise.transpose(0, 1) / l**0.5)
    theirs = torchsde.sdeint(Equation(field), x0, times, bm=brownian, method="euler", dt=1 / l)[1:].transpose(0, 1)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    weights = list(field.parameters())
    for found, expected in zip(
        torch.autograd.grad(ours, weights, grad), torch.autograd.grad(theirs, weights, grad), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    ("rule", "method", "tolerance"),
    # rk4 is the 3/8 rule there: equal to fifth order
    [(Euler(), "euler", 1e-12), (Midpoint(), "midpoint", 1e-12), (Heun(), "heun2", 1e-12), (RK4(), "rk4", 1e-8)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_torchdiffeq_on_the_same_grid(form: str, rule, method: str, tolerance: float) -> None:
    torch.manual_seed(5)
    field, l = MLPField(3, depth=2, clock=True).double(), 32
    x0, grad = torch.randn(9, 3, **DOUBLE), torch.randn(9, l, 3, **DOUBLE)
    ours = trajectory(field, rule, torch.full((9, l), 1 / l, **DOUBLE), x0)
    theirs = odeint(Equation(field), x0, torch.linspace(0, 1, l + 1, **DOUBLE), method=method)[1:].transpose(0, 1)
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    weights = list(field.parameters())
    for found, expected in zip(
        torch.autograd.grad(ours, weights, grad), torch.autograd.grad(theirs, weights, grad), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=100 * tolerance, atol=100 * tolerance)


def test_variance_of_an_ornstein_uhlenbeck_process_at_irregular_times(form: str) -> None:
    torch.manual_seed(6)
    field = NoisyMLP(MLPField(1, depth=0), size=0.8).double()
    with torch.no_grad():
        field.drift.layers[0].weight.fill_(-1.5)
        field.drift.layers[0].bias.zero_()
        rule = EulerMaruyama(substeps=40, generator=torch.Generator().manual_seed(7))
        dt = torch.tensor([[0.3, 0.05, 0.9]], **DOUBLE).expand(20000, 3)
        states = trajectory(field, rule, dt, torch.zeros(20000, 1, **DOUBLE))
    expected = 0.64 * (1 - torch.exp(-3.0 * dt[0].cumsum(0))) / 3.0
    torch.testing.assert_close(states.squeeze(-1).var(0), expected, rtol=0.05, atol=0)


# doors


def test_noise_comes_from_the_generator() -> None:
    field, dt, x0 = NoisyMLP(MLPField(2)), torch.ones(3, 4), torch.zeros(3, 2)
    draw = [
        trajectory(field, EulerMaruyama(generator=torch.Generator().manual_seed(seed)), dt, x0) for seed in (0, 0, 1)
    ]
    assert torch.equal(draw[0], draw[1]) and not torch.equal(draw[0], draw[2])


def test_no_rows_and_no_gaps_give_no_states(form: str) -> None:
    field = MLPField(2)
    assert trajectory(field, RK4(), torch.ones(3, 0), torch.zeros(3, 2)).shape == (3, 0, 2)
    assert trajectory(field, RK4(), torch.ones(0, 4), torch.zeros(0, 2)).shape == (0, 4, 2)


def test_autocast_does_not_touch_the_recursion(form: str) -> None:
    field, dt, x0 = MLPField(2), torch.rand(3, 4), torch.randn(3, 2)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = trajectory(field, RK4(), dt, x0)
    torch.testing.assert_close(mixed, trajectory(field, RK4(), dt, x0))


def test_wrong_kinds_and_shapes_are_named() -> None:
    field, dt, x0 = MLPField(2, d_input=1), torch.ones(3, 4), torch.zeros(3, 2)
    with pytest.raises(ValueError, match="`u`"):
        trajectory(field, RK4(), dt, x0)
    with pytest.raises(ValueError, match="`x0`"):
        trajectory(MLPField(2), RK4(), dt, torch.zeros(4, 2))
    with pytest.raises(ValueError, match="`noise`"):
        trajectory(MLPField(2), RK4(), dt, x0, noise=torch.zeros(3, 4, 2))
    with pytest.raises(TypeError, match="EulerMaruyama"):
        trajectory(MLPField(2), EulerMaruyama(), dt, x0)
