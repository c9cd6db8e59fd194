"""Solvers for noise against closed forms, strong orders, torchsde on the same Brownian path, and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchsde
from numpy.polynomial.hermite_e import hermegauss
from scipy import integrate as quadrature
from scipy import stats
from torch import Tensor
from torch.autograd import gradcheck

from tsssm.dynamics import Dense, Diagonal
from tsssm.dynamics.exponential_solvers import ExactLinear, ExponentialEulerMaruyama, gathered_noise
from tsssm.dynamics.fields import StochasticField
from tsssm.dynamics.gap import Gap
from tsssm.dynamics.mlp_fields import MLPField, NoisyMLP
from tsssm.dynamics.stochastic import EulerMaruyama, LogEuler, Milstein, StochasticSolver
from tsssm.dynamics.stochastic_fields import (
    GeometricField,
    LinearSDE,
    SemilinearField,
    as_ito,
    as_stratonovich,
    noise_drift,
)
from tsssm.dynamics.stochastic_stages import SRA1, StochasticHeun, StochasticMidpoint

DOUBLE = {"dtype": torch.float64}
PATHS = 4000


class Noise(StochasticField):
    def __init__(self, drift, size, calculus="ito", noise="diagonal") -> None:
        self.drift, self.size, self.calculus, self.noise = drift, size, calculus, noise

    def __call__(self, t, x, u):
        return self.drift(t[..., None], x)

    def diffusion(self, t, x, u):
        return self.size(t[..., None], x)


class Geometric(GeometricField):
    """mu = a + b sin t - c tanh x, sigma = s + r cos t."""

    def __init__(self, a=0.3, s=0.8, b=0.0, c=0.0, r=0.0, calculus="ito") -> None:
        self.a, self.s, self.b, self.c, self.r, self.calculus = a, s, b, c, r, calculus

    def rate(self, t, x, u):
        return self.a + self.b * t[..., None].sin() - self.c * x.tanh()

    def volatility(self, t, x, u):
        return (self.s + self.r * t[..., None].cos()).expand_as(x)


class Semilinear(SemilinearField):
    calculus = "ito"

    def __init__(self, noise="additive", A=None) -> None:
        self.noise, self.A = noise, Diagonal(torch.tensor([-3.0], **DOUBLE)) if A is None else A

    def remainder(self, t, x, u):
        return x.sin() + t[..., None].cos()

    def diffusion(self, t, x, u):
        return torch.full_like(x, 0.5) if self.noise == "additive" else x


A, B = 0.7, 1.2
# Kloeden and Platen (1992), equation 4.4.3: X = (X0 + B (t + A W)) / sqrt(1 + t)
TIMED = Noise(
    lambda t, x: B / (1 + t).sqrt() - x / (2 * (1 + t)),
    lambda t, x: (A * B / (1 + t).sqrt()).expand_as(x),
    noise="additive",
)
NONLINEAR = Noise(lambda t, x: (2 * x + t).sin(), lambda t, x: (1.0 + 0.4 * t.cos()).expand_as(x), noise="additive")
STRATONOVICH = Noise(lambda t, x: 0.3 * x, lambda t, x: 0.8 * x, "stratonovich")
ITO = Noise(lambda t, x: 0.3 * x, lambda t, x: 0.8 * x)


def timed_truth(t: Tensor, w: Tensor) -> Tensor:
    return (1 + B * (t + A * w)) / (1 + t).sqrt()


def ito_truth(t: Tensor, w: Tensor) -> Tensor:
    return torch.exp((0.3 - 0.32) * t + 0.8 * w)


def stratonovich_truth(t: Tensor, w: Tensor) -> Tensor:
    return torch.exp(0.3 * t + 0.8 * w)


def run(solver: StochasticSolver, field: StochasticField, dt: Tensor, x: Tensor, numbers: Tensor) -> Tensor:
    """One gap in equal steps with the given normal numbers (steps, draws, rows, n)."""
    gap, steps = Gap(field, torch.zeros_like(dt), dt, x, None, None), len(numbers)
    for i, draws in enumerate(numbers):
        left = iter(draws)
        x = solver.move(gap, i / steps, 1 / steps, x, lambda shape, left=left: next(left).expand(shape))
    return x


def coarser(numbers: Tensor) -> Tensor:
    """Normal numbers of the same Brownian paths over steps twice as long: W(h) / sqrt(h), and the area's own part."""
    steps = len(numbers)
    h = 1 / steps
    increment = h**0.5 * numbers[:, 0]
    area = h * increment / 2 + (h**3 / 12) ** 0.5 * numbers[:, 1]
    (d0, d1), (u0, u1) = ((part[0::2], part[1::2]) for part in (increment, area))
    d, u = d0 + d1, u0 + u1 + h * d0
    return torch.stack([d / (2 * h) ** 0.5, (u - h * d) / ((2 * h) ** 3 / 12) ** 0.5], 1)


def strong_slope(solver: StochasticSolver, field: StochasticField, truth=None) -> float:
    # 4000 paths, each over a gap of its own; the slope's own noise is about 0.02, as seeds show, and its bias from the
    # coarsest step of 1/8 below 0.1: hence the 0.15 of the tests
    generator = torch.Generator().manual_seed(0)
    dt = torch.rand(PATHS, generator=generator, **DOUBLE) + 0.5
    levels = [torch.randn(128 if truth else 1024, 2, PATHS, 1, generator=generator, **DOUBLE)]
    while len(levels[-1]) > 8:
        levels.append(coarser(levels[-1]))
    w = (dt[:, None] / len(levels[0])).sqrt() * levels[0][:, 0].sum(0)
    x = torch.ones(PATHS, 1, **DOUBLE)
    expected = truth(dt[:, None], w) if truth else run(solver, field, dt, x, levels[0])
    ends = [run(solver, field, dt, x, numbers) for numbers in levels[-4:]]
    errors = [(end - expected).pow(2).mean().sqrt().item() for end in ends]
    return float(np.polyfit(np.arange(4), np.log2(errors), 1)[0])


ORDERS = [
    (EulerMaruyama(), ITO, ito_truth, 0.5),
    (EulerMaruyama(), TIMED, timed_truth, 1.0),
    (EulerMaruyama(), as_ito(STRATONOVICH), stratonovich_truth, 0.5),
    (Milstein(), ITO, ito_truth, 1.0),
    (Milstein(), STRATONOVICH, stratonovich_truth, 1.0),
    (LogEuler(), Geometric(0.3, 0.5, 0.5, 0.4, 0.3), None, 1.0),
    (SRA1(), NONLINEAR, None, 1.5),
    (StochasticHeun(), STRATONOVICH, stratonovich_truth, 1.0),
    (StochasticHeun(), as_stratonovich(ITO), ito_truth, 1.0),
    (StochasticHeun(), NONLINEAR, None, 1.0),
    (StochasticMidpoint(), STRATONOVICH, stratonovich_truth, 1.0),
    (ExponentialEulerMaruyama(), Semilinear(), None, 1.0),
    (ExponentialEulerMaruyama(), Semilinear("diagonal"), None, 0.5),
]


@pytest.mark.parametrize(("solver", "field", "truth", "order"), ORDERS)
def test_strong_order(solver, field, truth, order: float) -> None:
    assert strong_slope(solver, field, truth) == pytest.approx(order, abs=0.15)


# closed forms, without Monte Carlo: Gauss-Hermite points in place of normal numbers

NODES, WEIGHTS = (torch.tensor(part) for part in hermegauss(80))
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def moments(solver: StochasticSolver, field: StochasticField, h: float, x: float = 1.0) -> tuple[float, float]:
    """Mean and mean square after one step of h, exact for polynomials of the noise."""
    start = torch.full((80, 1), x, **DOUBLE)
    y = run(solver, field, torch.full((80,), h, **DOUBLE), start, NODES.expand(1, 2, 80)[..., None]).squeeze(-1)
    y = y.detach()
    return float(WEIGHTS @ y), float(WEIGHTS @ y**2)


@pytest.mark.parametrize(("a", "s"), [(-1.0, 0.5), (-2.0, 1.5), (-1.0, 1.3), (-1.0, 1.6)])
@pytest.mark.parametrize("h", [0.05, 0.4, 0.9, 2.5])
def test_regions_of_mean_square_stability(a: float, s: float, h: float) -> None:
    field = Noise(lambda t, x: a * x, lambda t, x: s * x)
    linear = Semilinear("diagonal", Diagonal(torch.tensor([a], **DOUBLE)))
    linear.remainder = lambda t, x, u: torch.zeros_like(x)
    linear.diffusion = lambda t, x, u: s * x
    euler = (1 + a * h) ** 2 + s**2 * h
    assert moments(EulerMaruyama(), field, h)[1] == pytest.approx(euler)
    assert moments(Milstein(), field, h)[1] == pytest.approx(euler + s**4 * h**2 / 2)
    assert moments(ExponentialEulerMaruyama(), linear, h)[1] == pytest.approx(np.exp(2 * a * h) * (1 + s**2 * h))
    exact = moments(LogEuler(), Geometric(a, s), h)
    assert exact == pytest.approx((np.exp(a * h), np.exp((2 * a + s**2) * h)), rel=1e-6)
    # iff 2 a + s^2 < 0 the exact solution decays; an exponential step of it then does too, at every h
    assert (exact[1] < 1) == (2 * a + s**2 < 0)
    if 2 * a + s**2 < 0:
        assert moments(ExponentialEulerMaruyama(), linear, h)[1] < 1


@pytest.mark.parametrize("h", [0.1, 0.7, 5.0])
def test_stationary_variance_of_an_ornstein_uhlenbeck_process(h: float) -> None:
    a, s = 2.0, 1.0

    def settled(solver: StochasticSolver, field: StochasticField) -> float:
        mean, _ = moments(solver, field, h, 1.0)
        return moments(solver, field, h, 0.0)[1] / (1 - mean**2)

    field = LinearSDE(Diagonal(torch.tensor([-a], **DOUBLE)), torch.tensor([s], **DOUBLE))
    assert settled(ExponentialEulerMaruyama(), field) == pytest.approx(0.25)
    assert settled(EulerMaruyama(), field) == pytest.approx(s**2 / (2 * a - a**2 * h))
    if h == 0.1:
        assert settled(EulerMaruyama(), field) == pytest.approx(0.2778, abs=1e-4)


def covariance(A, G: Tensor, h: float) -> np.ndarray:
    n = A.shape[-1]
    eye = torch.eye(n, **DOUBLE)
    field = LinearSDE(A, G)
    h = torch.full((n,), h, **DOUBLE)
    x = torch.zeros(n, n, **DOUBLE)
    columns = gathered_noise(field, h, x, G, lambda shape: eye)
    return (columns.T @ columns).numpy()


@pytest.mark.parametrize("h", [1e-6, 0.3, 4.0, 300.0])
@pytest.mark.parametrize("shared", [False, True])
def test_noise_of_a_linear_system_has_the_covariance_of_quadrature(h: float, shared: bool) -> None:
    A = torch.tensor([[-0.5, 2.0], [-2.0, -0.1]], **DOUBLE)
    G = torch.tensor([[0.3], [-1.0]] if shared else [0.3, 1.0], **DOUBLE)
    Q = (G @ G.T if shared else torch.diag(G**2)).numpy()

    def slice_at(s: float) -> np.ndarray:
        E = torch.linalg.matrix_exp(A * s).numpy()
        return E @ Q @ E.T

    expected, _ = quadrature.quad_vec(slice_at, 0, h, epsabs=1e-13, epsrel=1e-12, limit=2000)
    np.testing.assert_allclose(covariance(Dense(A), G, h), expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())


def test_noise_of_a_double_integrator() -> None:
    A = torch.tensor([[0.0, 1.0], [0.0, 0.0]], **DOUBLE)
    for h in (1e-6, 1.0, 50.0):
        expected = np.array([[h**3 / 3, h**2 / 2], [h**2 / 2, h]])
        np.testing.assert_allclose(covariance(Dense(A), torch.tensor([[0.0], [1.0]], **DOUBLE), h), expected, rtol=1e-9)


def test_exact_steps_compose_and_take_their_input_exactly() -> None:
    A, G = Diagonal(torch.tensor([-0.5, -2.0], **DOUBLE)), torch.tensor([0.4, 1.0], **DOUBLE)
    whole, half = covariance(A, G, 1.4), covariance(A, G, 0.7)
    F = np.diag(np.exp(0.7 * A.eigenvalues.numpy()))
    np.testing.assert_allclose(F @ half @ F.T + half, whole, rtol=1e-12)
    quiet = LinearSDE(A, torch.zeros(2, **DOUBLE))
    x, u, before = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0), **DOUBLE)
    moved = ExactLinear().step(quiet, 0.0, torch.full((5,), 0.9, **DOUBLE), x, u, before)
    fine = Noise(
        lambda t, y: A @ y + before + t / 0.9 * (u - before), lambda t, y: torch.zeros_like(y), noise="additive"
    )
    slow = run(StochasticHeun(), fine, torch.full((5,), 0.9, **DOUBLE), x, torch.zeros(2000, 2, 5, 2, **DOUBLE))
    torch.testing.assert_close(moved, slow, rtol=1e-6, atol=1e-6)


def test_langevin_dynamics_settle_at_their_law() -> None:
    # U = x^4 / 4, s = 1: density ~ exp(-2 U). The bias of a step of 0.02 is a tenth of the critical distance of 4000 draws.
    field = Noise(lambda t, x: -(x**3), lambda t, x: torch.ones_like(x), noise="additive")
    generator = torch.Generator().manual_seed(0)
    end = EulerMaruyama(250, generator).step(
        field, 0.0, torch.full((PATHS,), 5.0, **DOUBLE), torch.zeros(PATHS, 1, **DOUBLE), None
    )
    grid = np.linspace(-4, 4, 4001)
    law = np.cumsum(np.exp(-(grid**4) / 2))
    assert stats.kstest(end.flatten().numpy(), lambda x: np.interp(x, grid, law / law[-1])).pvalue > 0.01


def test_log_euler_keeps_signs_and_zero_where_euler_does_not() -> None:
    x = torch.tensor([[-2.0], [0.0], [3.0]], **DOUBLE).repeat(500, 1)
    dt, field = torch.ones(1500, **DOUBLE), Geometric(0.5, 1.5, 0.3, 0.3)
    ends = [
        solver(4, torch.Generator().manual_seed(1)).step(field, 0.0, dt, x, None)
        for solver in (LogEuler, EulerMaruyama)
    ]
    assert torch.equal(ends[0].sign(), x.sign()) and not torch.equal(ends[1].sign(), x.sign())


# the same Brownian path in torchsde


class Path(torchsde.BaseBrownian):
    """A Brownian motion on [0, 1] of known increments and areas over equal steps (l, 2, b, m)."""

    def __init__(self, steps: Tensor) -> None:
        super().__init__()
        h = 1 / len(steps)
        self.increments = h**0.5 * steps[:, 0]
        self.areas = h * self.increments / 2 + (h**3 / 12) ** 0.5 * steps[:, 1]

    def __call__(self, ta, tb, return_U=False, return_A=False):
        i = round(float(ta) * len(self.areas))
        assert round(float(tb) * len(self.areas)) == i + 1
        return (self.increments[i], self.areas[i]) if return_U else self.increments[i]

    def __repr__(self) -> str:
        return "Path"

    dtype = property(lambda self: self.areas.dtype)
    device = property(lambda self: self.areas.device)
    shape = property(lambda self: self.areas.shape[1:])
    levy_area_approximation = "space-time"


class Equation:
    def __init__(self, field: StochasticField) -> None:
        self.field, self.noise_type, self.sde_type = field, field.noise, field.calculus

    def f(self, t, x):
        return self.field(t.expand(len(x)), x, None)

    def g(self, t, x):
        g = self.field.diffusion(t.expand(len(x)), x, None)
        return torch.diag_embed(g) if self.noise_type == "additive" else g


WAVY = (lambda t, x: (2 * x + t).sin() - x, lambda t, x: 0.5 + 0.3 * (x + t).cos())
SAME = [
    (EulerMaruyama(), Noise(*WAVY), "euler"),
    (Milstein(), Noise(*WAVY), "milstein"),
    (Milstein(), Noise(*WAVY, "stratonovich"), "milstein"),
    (StochasticHeun(), Noise(*WAVY, "stratonovich"), "heun"),
    (StochasticMidpoint(), Noise(*WAVY, "stratonovich"), "midpoint"),
    (SRA1(), NONLINEAR, "srk"),
]


@pytest.mark.parametrize(("solver", "field", "method"), SAME)
def test_equals_torchsde_on_the_same_brownian_path(solver, field, method: str) -> None:
    numbers = torch.randn(16, 2, 7, 3, generator=torch.Generator().manual_seed(2), **DOUBLE)
    x = torch.linspace(-1, 1, 21, **DOUBLE).reshape(7, 3)
    ours = run(solver, field, torch.ones(7, **DOUBLE), x, numbers)
    times = torch.tensor([0.0, 1.0], **DOUBLE)
    theirs = torchsde.sdeint(Equation(field), x, times, bm=Path(numbers), method=method, dt=1 / 16)[-1]
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


# calculi


def test_conversion_of_general_noise_equals_the_formula() -> None:
    def size(t: Tensor, x: Tensor) -> Tensor:
        return torch.stack([x * x.flip(-1), (x + t).sin()], -1)

    field = Noise(lambda t, x: torch.zeros_like(x), size, noise="general")
    x, t = torch.tensor([[0.3, -1.2], [0.5, 0.9]], **DOUBLE), torch.tensor([0.1, 0.4], **DOUBLE)
    for row in range(2):
        J = torch.autograd.functional.jacobian(lambda y, row=row: size(t[row], y), x[row])
        expected = torch.einsum("ijk,kj->i", J, size(t[row], x[row]))
        torch.testing.assert_close(noise_drift(field, t, x, None)[row], expected)
    there = as_stratonovich(field)
    torch.testing.assert_close(there(t, x, None), -noise_drift(field, t, x, None) / 2)
    assert as_ito(there) is field and as_stratonovich(there) is there and as_ito(field) is field


def test_the_slope_of_the_diffusion_is_its_derivative() -> None:
    field = Noise(*WAVY)
    t, x = torch.rand(4, **DOUBLE), torch.randn(4, 3, **DOUBLE, requires_grad=True)
    g, slope = field.diffusion_and_slope(t, x, None)
    torch.testing.assert_close(slope, torch.autograd.grad(g.sum(), x)[0])
    for form in ("additive", "linear"):
        network = NoisyMLP(MLPField(3), form).double()
        closed, general = (
            network.diffusion_and_slope(t, x, None),
            StochasticField.diffusion_and_slope(network, t, x, None),
        )
        for ours, theirs in zip(closed, general, strict=True):
            torch.testing.assert_close(ours, theirs)


# gradients, gaps of zero, errors

KINDS = [
    (EulerMaruyama, Noise(*WAVY)),
    (Milstein, Noise(*WAVY)),
    (LogEuler, Geometric(0.3, 0.5, 0.5, 0.4, 0.3)),
    (SRA1, NONLINEAR),
    (StochasticHeun, Noise(*WAVY, "stratonovich")),
    (StochasticMidpoint, Noise(*WAVY, "stratonovich")),
    (ExponentialEulerMaruyama, Semilinear()),
    (ExponentialEulerMaruyama, Semilinear("diagonal", Dense(torch.tensor([[-1.0, 2.0], [-2.0, -0.5]], **DOUBLE)))),
    (ExponentialEulerMaruyama, Semilinear("additive", Dense(torch.tensor([[-1.0, 2.0], [-2.0, -0.5]], **DOUBLE)))),
]
every_kind = pytest.mark.parametrize(("kind", "field"), KINDS)


@every_kind
def test_gradients(kind, field) -> None:
    numbers = torch.randn(2, 2, 3, 2, generator=torch.Generator().manual_seed(3), **DOUBLE)
    dt = torch.tensor([0.2, 0.5, 1.1], requires_grad=True, **DOUBLE)
    x = torch.tensor([[0.3, 1.0], [-0.5, 0.2], [1.4, -0.7]], requires_grad=True, **DOUBLE)
    assert gradcheck(lambda dt, x: run(kind(), field, dt, x, numbers), (dt, x))


@every_kind
def test_no_gap_is_no_step_and_its_gradient_is_finite(kind, field) -> None:
    dt = torch.tensor([0.0, 0.4], requires_grad=True, **DOUBLE)
    x = torch.tensor([[1.0, 0.5], [2.0, 0.1]], requires_grad=True, **DOUBLE)
    moved = kind(2, torch.Generator().manual_seed(0)).step(field, 0.0, dt, x, None)
    by_dt, by_x = torch.autograd.grad(moved.sum(), (dt, x))
    torch.testing.assert_close(moved[0], x[0])
    torch.testing.assert_close(by_x[0], torch.ones_like(by_x[0]))
    assert by_dt.isfinite().all()


@every_kind
def test_the_generator_decides_the_noise(kind, field) -> None:
    x, dt = torch.ones(3, 2, **DOUBLE), torch.full((3,), 0.5, **DOUBLE)
    first, again, other = (
        kind(2, torch.Generator().manual_seed(seed)).step(field, 0.0, dt, x, None) for seed in (5, 5, 6)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    # rows do not share noise even where g does not depend on them
    assert not torch.equal(first[0], first[1])


def test_stiff_rates_do_not_matter_to_exponential_steps() -> None:
    A = Diagonal(torch.tensor([-1e6], **DOUBLE))
    x = ExponentialEulerMaruyama(3).step(
        Semilinear("additive", A), 0.0, torch.ones(4, **DOUBLE), torch.ones(4, 1, **DOUBLE), None
    )
    assert x.abs().max() < 0.01


GENERAL = Noise(lambda t, x: x, lambda t, x: torch.diag_embed(x), noise="general")
ERRORS = [
    (Milstein(), GENERAL, ValueError, "general noise"),
    (SRA1(), ITO, ValueError, "additive noise"),
    (StochasticHeun(), ITO, ValueError, "as_stratonovich"),
    (StochasticMidpoint(), ITO, ValueError, "as_stratonovich"),
    (EulerMaruyama(), STRATONOVICH, ValueError, "as_ito"),
    (LogEuler(), ITO, TypeError, "GeometricField"),
    (ExponentialEulerMaruyama(), ITO, TypeError, "SemilinearField"),
    (ExponentialEulerMaruyama(), Semilinear(A=Diagonal(torch.ones(1) * 1j)), ValueError, "real A"),
    (ExactLinear(), Semilinear(), TypeError, "LinearSDE"),
    (Milstein(), MLPField(1), TypeError, "StochasticField"),
]


@pytest.mark.parametrize(("solver", "field", "error", "word"), ERRORS)
def test_solvers_refuse_what_does_not_fit(solver, field, error, word: str) -> None:
    with pytest.raises(error, match=word):
        solver.step(field, 0.0, torch.ones(1, **DOUBLE), torch.ones(1, 1, **DOUBLE), None)


def test_bad_arguments_are_named() -> None:
    for kind in {kind for kind, _ in KINDS}:
        with pytest.raises(ValueError, match="substeps=0"):
            kind(0)
    with pytest.raises(ValueError, match="`G`"):
        LinearSDE(Diagonal(torch.ones(2)), torch.ones(3))
