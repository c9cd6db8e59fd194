"""Solvers against closed forms, the exact linear rules, and the orders of the literature."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torchdiffeq import odeint

from tsssm.dynamics.discretization import FirstOrderHold, ZeroOrderHold
from tsssm.dynamics.fields import Field, StochasticField
from tsssm.dynamics.gap import Gap
from tsssm.dynamics.matrices import Diagonal
from tsssm.dynamics.solvers import (
    RK4,
    Euler,
    EulerMaruyama,
    Heun,
    Midpoint,
    Torchdiffeq,
    Torchsde,
    euler_maruyama,
)

FIXED = [Euler, Midpoint, Heun, RK4]
DOUBLE = {"dtype": torch.float64}


class Fall(Field):
    """x' = -2 t x^2, solved by 1 / (c + t^2)."""

    def __call__(self, t, x, u):
        return -2 * t[..., None] * x**2


class Driven(nn.Module, Field):
    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor([0.5, 1.5], **DOUBLE))

    def forward(self, t, x, u):
        return torch.sin(self.rate * x + t[..., None]) + u


class Noise(StochasticField):
    def __init__(self, drift, diffusion, calculus="ito", noise="diagonal") -> None:
        self.drift, self.size, self.calculus, self.noise = drift, diffusion, calculus, noise

    def __call__(self, t, x, u):
        return self.drift(t, x)

    def diffusion(self, t, x, u):
        return self.size(t, x)


GEOMETRIC = Noise(lambda t, x: 0.3 * x, lambda t, x: 0.8 * x)


def driven_case() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    t = torch.tensor([0.0, 3.0, -1.0], **DOUBLE)
    dt = torch.tensor([0.4, 0.0, 1.3], **DOUBLE)
    return t, dt, *torch.randn(3, 3, 2, generator=generator, **DOUBLE)


# fixed steps


@pytest.mark.parametrize(("solver", "order"), list(zip(FIXED, (1, 2, 2, 4), strict=True)))
def test_order_of_convergence_when_rows_have_their_own_grids(solver, order: int) -> None:
    generator = torch.Generator().manual_seed(0)
    gaps = torch.rand(8, 5, generator=generator, **DOUBLE) * 0.4 + 0.02
    start = torch.tensor([0.0, 0.3, -0.5, 1.0, 2.0], **DOUBLE)
    errors = []
    for substeps in (2, 4, 8):
        t, x = start, (1 / (1 + start**2))[:, None]
        for dt in gaps:
            x, t = solver(substeps).step(Fall(), t, dt, x, None), t + dt
        errors.append((x - (1 / (1 + t**2))[:, None]).abs().max().item())
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(order, abs=0.15)


def test_rk4_multiplies_a_linear_field_by_the_taylor_polynomial() -> None:
    z = torch.tensor([-0.3 + 2j, 0.1, -1.2j], dtype=torch.complex128)
    x, u = torch.ones_like(z), torch.full_like(z, 2.0)
    expected = (1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24) * x + (1 + z / 2 + z**2 / 6 + z**3 / 24) * u
    torch.testing.assert_close(RK4().step(Diagonal(z), 0.0, 1.0, x, u), expected)


@pytest.mark.parametrize(("ours", "theirs"), [(Euler(4), "euler"), (Midpoint(4), "midpoint"), (Heun(4), "heun2")])
def test_steps_equal_those_of_torchdiffeq(ours, theirs: str) -> None:
    t, dt, x, u, u_before = driven_case()
    field = Driven()
    expected = torch.stack(
        [
            odeint(
                lambda s, x, i=i: field(s, x, u_before[i] + (s - t[i]) / dt[i] * (u[i] - u_before[i])),
                x[i],
                torch.linspace(0, 1, 5, **DOUBLE) * dt[i] + t[i],
                method=theirs,
            )[-1]
            for i in (0, 2)
        ]
    )
    torch.testing.assert_close(ours.step(field, t, dt, x, u, u_before)[[0, 2]], expected, rtol=1e-12, atol=1e-12)
    wrapped = Torchdiffeq(theirs, substeps=4).step(field, t, dt, x, u, u_before)
    torch.testing.assert_close(wrapped[[0, 2]], expected, rtol=1e-12, atol=1e-12)


SOLVERS = [RK4(200), Torchdiffeq(rtol=1e-9, atol=1e-11), Torchdiffeq("dopri8", rtol=1e-9, atol=1e-11)]


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("is_complex", [True, False])
def test_solvers_equal_the_exact_rules_on_linear_fields(solver, is_complex: bool) -> None:
    eigenvalues = torch.tensor([-0.5 + 3j, -2.0, 0.0], dtype=torch.complex128)
    A = Diagonal(eigenvalues if is_complex else eigenvalues.real.clone())
    x, u, u_before = torch.randn(3, 4, 3, dtype=A.dtype, generator=torch.Generator().manual_seed(0))
    dt = torch.tensor([0.0, 0.01, 0.5, 2.0], **DOUBLE)
    for inputs, exact in (((u, u_before), FirstOrderHold()), ((u,), ZeroOrderHold())):
        ours = solver.step(A, 0.0, dt, x, *inputs)
        torch.testing.assert_close(ours, exact.step(A, 0.0, dt, x, *inputs), rtol=1e-6, atol=1e-7)


EVERY = [*(solver(2) for solver in FIXED), Torchdiffeq(), Torchdiffeq("rk4", substeps=3), Torchdiffeq("bosh3")]


@pytest.mark.parametrize("solver", EVERY, ids=repr)
def test_rows_keep_their_own_time_and_no_gap_is_no_step(solver) -> None:
    t, dt, x, u, u_before = driven_case()
    field = Driven()
    together = solver.step(field, t, dt, x, u, u_before)
    assert torch.equal(together[1], x[1])
    for i in range(3):
        alone = solver.step(field, t[i], dt[i], x[i], u[i], u_before[i])
        torch.testing.assert_close(together[i], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "solver", [Euler(2), Midpoint(2), Heun(2), RK4(2), Torchdiffeq(rtol=1e-8, atol=1e-10)], ids=repr
)
def test_gradients(solver) -> None:
    t, dt, x, u, u_before = (part.clone().requires_grad_() for part in driven_case())
    if isinstance(solver, Torchdiffeq):
        t = t.detach()  # The choice of steps depends on it, which finite differences see and gradients do not.
    field = Driven()

    def run(t, dt, x, u, u_before, rate):
        return solver.step(lambda t, x, u: torch.sin(rate * x + t[..., None]) + u, t, dt, x, u, u_before)

    assert gradcheck(run, (t, dt, x, u, u_before, field.rate), atol=1e-5)


def test_adjoint_gradients_equal_backpropagation() -> None:
    t, dt, x, u, u_before = (part.clone().requires_grad_() for part in driven_case())
    field, gradients = Driven(), []
    for adjoint in (False, True):
        solver = Torchdiffeq(rtol=1e-9, atol=1e-11, adjoint=adjoint)
        total = (solver.step(field, t, dt, x, u, u_before) ** 2).sum()
        gradients.append(torch.autograd.grad(total, (t, dt, x, u, u_before, *field.parameters())))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_torchdiffeq_asks_for_nothing_beyond_the_gap() -> None:
    seen = []

    def field(t, x, u):
        seen.append(t.max().item())
        return -x * torch.cos(t)[..., None]

    Torchdiffeq().step(
        field, torch.zeros(1, **DOUBLE), torch.full((1,), 0.7, **DOUBLE), torch.ones(1, 1, **DOUBLE), None
    )
    assert max(seen) <= 0.7 * (1 + 1e-12)


def test_adaptive_error_of_a_row_does_not_depend_on_the_others() -> None:
    eigenvalues = Diagonal(torch.tensor([-40.0], **DOUBLE))
    x = torch.zeros(2000, 1, **DOUBLE)
    x[0] = 1.0
    ours = Torchdiffeq(rtol=1e-6, atol=1e-8).step(eigenvalues, 0.0, torch.ones(2000, **DOUBLE) * 0.1, x, None)
    assert ours[0].item() == pytest.approx(np.exp(-4.0), rel=2e-5)


# noise


def slope_of(errors: list[float]) -> float:
    return np.polyfit(np.arange(len(errors)), -np.log2(errors), 1)[0]


def strong_errors(field: StochasticField, exact, x0: float) -> list[float]:
    # 4000 paths, each over its own gap; coarse increments are sums of the same fine ones.
    generator = torch.Generator().manual_seed(0)
    dt = torch.rand(4000, generator=generator, **DOUBLE) + 0.5
    fine = torch.randn(256, 4000, 1, generator=generator, **DOUBLE) / 16
    start = torch.full((4000, 1), x0, **DOUBLE)
    truth = exact(dt[:, None], dt[:, None].sqrt() * fine.sum(0))
    errors = []
    for steps in (8, 16, 32, 64, 128, 256):
        gap, x = Gap(field, 0.0, dt, start, None, None), start
        for i, increment in enumerate(fine.reshape(steps, -1, 4000, 1).sum(1)):
            s = i / steps
            x = euler_maruyama(gap, s, 1 / steps, x, gap.diffusion(s, x), increment)
        errors.append((x - truth).pow(2).mean().sqrt().item())
    return errors


def test_euler_maruyama_has_strong_order_one_half_on_geometric_noise() -> None:
    errors = strong_errors(GEOMETRIC, lambda t, w: torch.exp((0.3 - 0.8**2 / 2) * t + 0.8 * w), 1.0)
    assert slope_of(errors) == pytest.approx(0.5, abs=0.15)


def test_euler_maruyama_has_strong_order_one_on_additive_noise() -> None:
    # Kloeden and Platen (1992), equation 4.4.3: X = X0 / sqrt(1 + t) + b (t + a W) / sqrt(1 + t).
    a, b = 0.7, 1.2
    field = Noise(
        lambda t, x: b / (1 + t[..., None]).sqrt() - x / (2 * (1 + t[..., None])),
        lambda t, x: (a * b / (1 + t[..., None]).sqrt()).expand_as(x),
        noise="additive",
    )
    errors = strong_errors(field, lambda t, w: (0.5 + b * (t + a * w)) / (1 + t).sqrt(), 0.5)
    assert slope_of(errors) == pytest.approx(1.0, abs=0.15)


def sampler(kind: str, seed: int, substeps: int = 4, method: str | None = None):
    generator = torch.Generator().manual_seed(seed)
    return EulerMaruyama(substeps, generator) if kind == "ours" else Torchsde(method, substeps, generator)


@pytest.mark.parametrize("kind", ["ours", "torchsde"])
@pytest.mark.parametrize("noise", ["additive", "diagonal"])
def test_variance_of_brownian_motion_is_each_rows_gap(kind: str, noise: str) -> None:
    field = Noise(lambda t, x: torch.zeros_like(x), lambda t, x: torch.full_like(x, 2.0), noise=noise)
    dt = torch.tensor([0.0, 0.013, 0.1, 2.7], **DOUBLE)
    n = 4000
    moved = sampler(kind, 0).step(field, 0.0, dt, torch.zeros(n, 4, 1, **DOUBLE), None)
    variance = moved.squeeze(-1).var(dim=0)
    assert torch.equal(variance[:1], torch.zeros(1, **DOUBLE))
    # Three standard errors of a variance from n normal draws.
    torch.testing.assert_close(variance, 4 * dt, rtol=3 * (2 / n) ** 0.5, atol=0)


@pytest.mark.parametrize("kind", ["ours", "torchsde"])
def test_general_noise_has_the_right_covariance(kind: str) -> None:
    G = torch.tensor([[1.0, 0.5, 0.0], [-0.4, 0.2, 0.9]], **DOUBLE)
    field = Noise(lambda t, x: torch.zeros_like(x), lambda t, x: G.expand(*x.shape, 3), noise="general")
    moved = sampler(kind, 1, 2).step(
        field, 0.0, torch.full((6000,), 0.5, **DOUBLE), torch.zeros(6000, 2, **DOUBLE), None
    )
    np.testing.assert_allclose(np.cov(moved.T.numpy()), 0.5 * (G @ G.T).numpy(), atol=0.035)


@pytest.mark.parametrize("kind", ["ours", "torchsde"])
@pytest.mark.parametrize("noise", ["additive", "diagonal"])
def test_complex_states_share_the_noise_of_their_parts(kind: str, noise: str) -> None:
    g = torch.tensor([1 + 2j, 0.5j], dtype=torch.complex128)
    field = Noise(lambda t, x: torch.zeros_like(x), lambda t, x: g.expand_as(x), noise=noise)
    x = torch.zeros(50, 2, dtype=torch.complex128)
    moved = sampler(kind, 2).step(field, 0.0, torch.full((50,), 0.3, **DOUBLE), x, None) / g
    assert moved.imag.abs().max() < 1e-14
    assert moved.real.std() == pytest.approx(0.3**0.5, rel=0.25)


@pytest.mark.parametrize(
    ("calculus", "method", "rate"),
    [
        ("ito", "ours", 0.3),
        ("ito", "euler", 0.3),
        ("ito", "milstein", 0.3),
        ("ito", None, 0.3),
        ("stratonovich", None, 0.3 + 0.8**2 / 2),
        ("stratonovich", "heun", 0.3 + 0.8**2 / 2),
    ],
)
def test_the_calculus_of_the_field_decides_the_mean(calculus: str, method: str | None, rate: float) -> None:
    field = Noise(GEOMETRIC.drift, GEOMETRIC.size, calculus=calculus)
    dt = torch.tensor([0.25, 0.6, 0.0], **DOUBLE).expand(6000, 3)
    solver = sampler("ours", 3, 16) if method == "ours" else sampler("torchsde", 3, 16, method)
    moved = solver.step(field, 0.0, dt, torch.ones(6000, 3, 1, **DOUBLE), None).squeeze(-1)
    expected = torch.exp(rate * dt[0])
    error = moved.std(0) / 6000**0.5
    assert ((moved.mean(0) - expected).abs() <= 3 * error + 0.01 * dt[0]).all()
    assert torch.equal(moved[:, 2], torch.ones(6000, **DOUBLE))


@pytest.mark.parametrize("kind", ["ours", "torchsde"])
def test_the_generator_decides_the_noise(kind: str) -> None:
    x, dt = torch.ones(3, 2, **DOUBLE), torch.full((3,), 0.5, **DOUBLE)
    first, again, other = (sampler(kind, seed).step(GEOMETRIC, 0.0, dt, x, None) for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("kind", ["ours", "torchsde"])
def test_gradients_through_noise_hold_where_there_is_no_gap(kind: str) -> None:
    dt = torch.tensor([0.0, 0.4], requires_grad=True, **DOUBLE)
    x = torch.tensor([[1.0], [2.0]], requires_grad=True, **DOUBLE)

    def run(dt: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return sampler(kind, 7, 2, "euler").step(GEOMETRIC, 0.0, dt, x, None)

    by_dt, by_x = torch.autograd.grad(run(dt, x).sum(), (dt, x))
    assert by_dt.isfinite().all() and by_x[0].item() == 1.0
    assert gradcheck(
        lambda dt, x: run(dt[None], x[None]), (dt[1].detach().requires_grad_(), x[1].detach().requires_grad_())
    )


# errors


def test_solvers_are_frozen_dataclasses() -> None:
    for solver in (*FIXED, EulerMaruyama, Torchdiffeq, Torchsde):
        assert solver() == solver() and not solver.__subclasses__()
        with pytest.raises(dataclasses.FrozenInstanceError):
            solver().substeps = 2


@pytest.mark.parametrize(
    ("call", "error", "word"),
    [
        *((lambda solver=solver: solver(substeps=0), ValueError, "substeps=0") for solver in (*FIXED, EulerMaruyama)),
        (lambda: Torchdiffeq("dopri7"), ValueError, "dopri7"),
        (lambda: Torchdiffeq(rtol=0.0), ValueError, "rtol=0.0"),
        (lambda: Torchdiffeq(substeps=0), ValueError, "substeps=0"),
        (lambda: Torchsde("dopri5"), ValueError, "dopri5"),
        (lambda: Torchsde(substeps=0), ValueError, "substeps=0"),
        (lambda: Torchdiffeq(max_steps=0), ValueError, "max_steps=0"),
        (
            lambda: Torchsde("heun").step(GEOMETRIC, 0.0, 0.1, torch.ones(1, 1), None),
            ValueError,
            "needs stratonovich calculus",
        ),
        (lambda: EulerMaruyama().step(Fall(), 0.0, 0.1, torch.ones(1, 1), None), TypeError, "Fall"),
        (lambda: Torchsde().step(Fall(), 0.0, 0.1, torch.ones(1, 1), None), TypeError, "Fall"),
        (
            lambda: EulerMaruyama().step(
                Noise(GEOMETRIC.drift, GEOMETRIC.size, "stratonovich"), 0.0, 0.1, torch.ones(1, 1), None
            ),
            ValueError,
            "Stratonovich",
        ),
        (lambda: Torchdiffeq(adjoint=True).step(Fall(), 0.0, 0.1, torch.ones(1, 1), None), TypeError, "nn.Module"),
    ],
)
def test_errors_say_what_must_hold(call, error, word: str) -> None:
    with pytest.raises(error, match=word):
        call()
