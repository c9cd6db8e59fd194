"""Steps of a network that drives a state: fast form equal to the plain loop, and to an independent solver as steps shrink."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from tsssm.dynamics.driven import driven, driven_loop
from tsssm.dynamics.kernels import driven_native as native_form
from tsssm.dynamics.mlp_fields import MLPField

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture(params=["torch", "best"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The torch form, and what runs here by default: C where it is built."""
    if request.param == "torch":
        monkeypatch.setattr(native_form, "library", lambda: None)
    yield request.param


def numbers(
    depth: int, b: int = 2, p: int = 2, n: int = 3, width: int = 5, activation: str = "tanh", shared: str = ""
) -> tuple[MLPField, list[Tensor]]:
    """A network and the parts of its steps; `shared` names the axes that carry, and of b and l all three, go without."""
    torch.manual_seed(0)
    net, l, m = MLPField(n, 4, width, depth, activation).double(), 6, 4
    rows = [1 if axis in shared else size for axis, size in (("b", b), ("l", l))]
    shapes = [(*rows, 1 if "p" in shared else p, n), (*rows, 1, n), (*rows, p, n), (b, l, m), (b, p, n)]
    return net, [(0.5 * torch.randn(shape, dtype=torch.float64)).requires_grad_() for shape in shapes]


def results(run, net: MLPField, parts: list[Tensor], log: bool = False) -> list[Tensor]:
    """States, and gradients by everything."""
    y = run(net, *parts, log=log)
    return [y.detach(), *torch.autograd.grad((y * y.detach().cos()).sum(), [*parts, *net.parameters()])]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "sizes",
    [
        {"depth": 0},
        {"depth": 1, "shared": "p"},
        {"depth": 2, "activation": "silu", "shared": "bl"},
        {"depth": 1, "b": 19, "p": 1, "n": 5, "width": 7},
        {"depth": 2, "b": 16, "p": 3, "n": 8, "width": 8, "activation": "relu"},
        {"depth": 1, "b": 3, "p": 18, "n": 1, "width": 13, "shared": "b"},
        {"depth": 0, "b": 1, "p": 4, "n": 4, "shared": "lp"},
    ],
    ids=str,
)
def test_the_fast_form_is_the_loop_gradients_too(form: str, sizes: dict, log: bool):
    net, parts = numbers(**sizes)
    for fast, slow in zip(results(driven, net, parts, log), results(driven_loop, net, parts, log), strict=True):
        torch.testing.assert_close(fast, slow, **CLOSE)


@pytest.mark.parametrize("log", [False, True])
def test_float32_equals_float64_to_its_rounding(form: str, log: bool):
    net, parts = numbers(2, b=19, p=2, width=16)
    expected = results(driven_loop, net, parts, log)
    single = [part.detach().float().requires_grad_() for part in parts]
    for fast, slow in zip(results(driven, net.float(), single, log), expected, strict=True):
        torch.testing.assert_close(fast.double(), slow, rtol=1e-5, atol=1e-5)


def test_every_gradient_may_be_asked_for_alone(form: str):
    net, parts = numbers(1)
    expected = results(driven_loop, net, parts)[1:]
    for part, gradient in zip(parts, expected, strict=False):
        y = driven(net, *(other if other is part else other.detach() for other in parts))
        (alone,) = torch.autograd.grad((y * y.detach().cos()).sum(), part)
        torch.testing.assert_close(alone, gradient, **CLOSE)


def test_views_of_any_layout(form: str):
    net, parts = numbers(1)
    turned = [part.detach().transpose(0, -1).contiguous().transpose(0, -1).requires_grad_() for part in parts]
    for fast, slow in zip(results(driven, net, turned), results(driven_loop, net, parts), strict=True):
        torch.testing.assert_close(fast, slow, **CLOSE)


def test_a_restart_forgets_what_was_before(form: str):
    net, parts = numbers(1)
    carry, weight, kick, features, x0 = (part.detach() for part in parts)
    carry[:, 3], weight[:, 3] = 0, 0
    y = driven(net, carry, weight, kick, features, x0)
    torch.testing.assert_close(y[:, 3], kick[:, 3])
    rest = driven(net, carry[:, 4:], weight[:, 4:], kick[:, 4:], features[:, 4:], kick[:, 3])
    torch.testing.assert_close(y[:, 4:], rest, **CLOSE)


def test_a_logarithm_beyond_the_most_moves_on_without_its_gradient(form: str):
    net, parts = numbers(1)
    far = [part.detach() for part in parts[:4]] + [torch.full((2, 2, 3), 40.0, dtype=torch.float64)]
    far = [part.requires_grad_() for part in far]
    for fast, slow in zip(results(driven, net, far, True), results(driven_loop, net, far, True), strict=True):
        torch.testing.assert_close(fast, slow, **CLOSE)


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(native_form, "WORTH_A_THREAD", 1)
    net, parts = numbers(1, b=67)
    found, threads = [], torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(native_results(net, parts))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for others in found[1:] for one, other in zip(found[0], others, strict=True))


def native_results(net: MLPField, parts: list[Tensor]) -> list[Tensor]:
    """Of the recursion alone: torch's own products do depend on the threads."""
    carry, weight, kick, _, x0 = (part.detach() for part in parts)
    layers = [part.detach() for layer in net.layers for part in (layer.weight, layer.bias)]
    beside = torch.linspace(-1, 1, 67 * 6 * 5, dtype=torch.float64).view(67, 6, 1, 5)
    given = native_form.Numbers(x0, carry, weight, kick, beside, [layers[0][:, :3].contiguous(), *layers[1:]])
    states = native_form.forward("tanh", False, given)
    return [states, *native_form.backward("tanh", False, given, states, states.cos(), [True] * 4)]


def test_second_derivatives(form: str):
    net, parts = numbers(1, b=1, n=2, width=3)
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
