"""integrate: packed series as if each were alone, closed forms of driven equations, variance at irregular times, memory."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from tests.conformance.kinds import packed, some_series
from tests.dynamics.test_paths import SCHEMES, STREAMED, case, series_of
from tsssm.dynamics import Dense, Diagonal, ZeroOrderHold
from tsssm.dynamics.fields import Field, StochasticField
from tsssm.dynamics.integrate import integrate, integrate_loop
from tsssm.dynamics.mlp_fields import MLPField, NoisyMLP
from tsssm.dynamics.paths import Hermite, Hold, Linear
from tsssm.dynamics.solvers import (
    RK4,
    SRA1,
    Euler,
    EulerMaruyama,
    ExactLinear,
    Heun,
    Milstein,
    StochasticHeun,
    Torchdiffeq,
    Torchsde,
)
from tsssm.dynamics.splines import Rectilinear
from tsssm.dynamics.stochastic_fields import LinearSDE, as_stratonovich
from tsssm.grid import Grid

DOUBLE = {"dtype": torch.float64}
N = 2


class Controlled(nn.Module, Field):
    """``F(x) dX``: a network of the state, times the path's rate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(N, 5), nn.Tanh(), nn.Linear(5, N * channels)).double()

    def forward(self, t: Tensor, x: Tensor, u: Tensor) -> Tensor:
        return (self.network(x).unflatten(-1, (N, -1)) @ u.unsqueeze(-1)).squeeze(-1)


class Brownian(StochasticField):
    calculus, noise = "ito", "additive"

    def __call__(self, t, x, u):
        return torch.zeros_like(x)

    def diffusion(self, t, x, u):
        return torch.ones(x.shape[-1], dtype=x.dtype)


def driven(depth: int = 1) -> MLPField:
    torch.manual_seed(0)
    return MLPField(N, d_input=4, width=6, depth=depth, clock=True).double()


def starts(grid: Grid) -> Tensor:
    return torch.randn(*grid.dt.shape, N, generator=torch.Generator().manual_seed(5), **DOUBLE)


RUNS = [("time", RK4(2)), ("path", Heun(3)), ("path", Torchdiffeq(rtol=1e-8, atol=1e-10))]


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
@pytest.mark.parametrize(("by", "rule"), RUNS, ids=str)
def test_packed_series_move_as_if_alone_and_silent_rows_leave_no_trace(scheme, by: str, rule) -> None:
    values, observed, grid = case(0.0, 0.3, seed=3)
    torch.manual_seed(1)
    field = driven() if by == "time" else Controlled(4)
    start = starts(grid)
    path, _ = scheme.path(values, observed, grid)
    states, _ = integrate(field, rule, path, start, by)
    # an adaptive solver chooses its steps for all rows of a batch
    close = {"rtol": 1e-6, "atol": 1e-6} if isinstance(rule, Torchdiffeq) else {"rtol": 1e-10, "atol": 1e-12}
    for b, places, times in series_of(grid):
        if not len(places):
            continue
        alone = Grid.from_gaps(torch.tensor(np.diff(times, prepend=-1.0))[None])
        part, _ = scheme.path(values[b : b + 1, places], observed[b : b + 1, places], alone)
        expected, _ = integrate(field, rule, part, start[b : b + 1, places], by)
        torch.testing.assert_close(states[b, places], expected[0], **close)
        torch.testing.assert_close(expected[0, 0], start[b, places[0]])


@pytest.mark.parametrize("scheme", STREAMED, ids=repr)
@pytest.mark.parametrize("by", ["time", "path"])
def test_pieces_equal_the_whole(scheme, by: str) -> None:
    values, observed, grid = case(0.0, 0.3, seed=4)
    torch.manual_seed(1)
    field, start = (driven() if by == "time" else Controlled(4)), starts(grid)
    whole, last = integrate(field, RK4(), scheme.path(values, observed, grid)[0], start, by)
    state, x, pieces = None, None, []
    for first, end in ((0, 2), (2, 3), (3, 9)):
        part = slice(first, end)
        path, state = scheme.path(values[:, part], observed[:, part], grid.piece(first, end), state=state)
        piece, x = integrate(field, RK4(), path, start[:, part], by, x)
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, 1), whole)
    torch.testing.assert_close(x, last)


@pytest.mark.parametrize("rule", [Euler(2), RK4()], ids=repr)
@pytest.mark.parametrize("scheme", [Hold(), Linear(), Rectilinear()], ids=repr)
def test_compiled_runs_equal_the_loop(scheme, rule) -> None:
    grid = packed([[series] for series in some_series([7, 7, 4])])
    values = torch.randn(*grid.dt.shape, 3, **DOUBLE)
    values.requires_grad_()
    observed = grid.active.unsqueeze(-1).expand(values.shape)
    path, _ = scheme.path(values, observed, grid)
    field, results = driven(), []
    for run in (integrate, integrate_loop):
        states, last = run(field, rule, path, starts(grid))
        found = torch.autograd.grad(states.square().sum(), (values, *field.parameters()), retain_graph=True)
        results.append((states, last, *found))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


# closed forms


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_a_constant_field_moves_by_the_rise_of_the_path(scheme) -> None:
    values, observed, grid = case()
    F = torch.randn(N, 4, generator=torch.Generator().manual_seed(0), **DOUBLE)
    path, _ = scheme.path(values, observed, grid)
    states, _ = integrate(lambda t, x, u: u @ F.T, RK4(), path, starts(grid), "path")
    for b, places, times in series_of(grid):
        X = torch.cat([torch.tensor(times)[:, None], values[b, places]], 1)
        if isinstance(scheme, Hold):
            X[:, 1:] = 0  # only time moves continuously
        expected = starts(grid)[b, places[0]] + (X - X[0]) @ F.T
        torch.testing.assert_close(states[b, places], expected)


@pytest.mark.parametrize("scheme", [Linear(), Rectilinear()], ids=repr)
def test_a_linear_field_along_straight_pieces_is_a_product_of_exponentials(scheme) -> None:
    values, observed, grid = case()
    parts = torch.randn(4, N, N, generator=torch.Generator().manual_seed(0), **DOUBLE) / 2
    path, _ = scheme.path(values, observed, grid)
    states, _ = integrate(
        lambda t, x, u: torch.einsum("bc,cij,bj->bi", u, parts, x), RK4(64), path, starts(grid), "path"
    )
    x, X = starts(grid)[0, 0], torch.cat([grid.dt[0, :, None], values[0]], 1)
    for k in range(1, 9):
        rise = torch.cat([X[k, :1], X[k, 1:] - X[k - 1, 1:]])
        legs = [rise] if isinstance(scheme, Linear) else [rise * (torch.arange(4) == 0), rise * (torch.arange(4) > 0)]
        for leg in legs:
            x = torch.linalg.matrix_exp(torch.einsum("c,cij->ij", leg, parts)) @ x
        torch.testing.assert_close(states[0, k], x, rtol=1e-5, atol=1e-6)


def clock(b: int, gaps: list[float]) -> Grid:
    return Grid.from_gaps(torch.tensor(gaps, **DOUBLE).expand(b, len(gaps)))


def empty(grid: Grid) -> tuple[Tensor, Tensor, Grid]:
    nothing = torch.zeros(*grid.dt.shape, 0, **DOUBLE)
    return nothing, nothing.bool(), grid


RULES = [EulerMaruyama, SRA1, Milstein, StochasticHeun, Torchsde]


@pytest.mark.parametrize("kind", RULES)
def test_variance_at_irregular_times_is_the_time(kind) -> None:
    # a solver that interpolates between steps of 0.1 would be wrong by a factor of 2 at 0.05
    b, rule = 6000, kind(generator=torch.Generator().manual_seed(0))
    path, _ = Hold().path(*empty(clock(b, [1.0, 0.05, 0.18, 0.004])))
    start = torch.zeros(b, 4, 1, **DOUBLE)
    states, _ = integrate(Brownian(), rule, path, start, max_step=0.1)
    expected = torch.tensor([0.0, 0.05, 0.23, 0.234], **DOUBLE)
    # three standard errors of a variance
    torch.testing.assert_close(states.squeeze(-1).var(0), expected, rtol=3 * (2 / b) ** 0.5, atol=0)


def test_moments_of_an_ornstein_uhlenbeck_process_and_geometric_noise() -> None:
    b, gaps = 8000, [1.0, 0.3, 1.1]
    path, _ = Hold().path(*empty(clock(b, gaps)))
    t = torch.tensor(gaps, **DOUBLE).cumsum(0) - 1
    linear = NoisyMLP(MLPField(1, depth=0), "linear", 0.5).double()
    with torch.no_grad():
        linear.drift.layers[0].weight.fill_(0.3)
        linear.drift.layers[0].bias.zero_()
    start = torch.ones(b, 3, 1, **DOUBLE)
    for field, rule in ((linear, Milstein), (as_stratonovich(linear), StochasticHeun)):
        states, _ = integrate(field, rule(generator=torch.Generator().manual_seed(1)), path, start, max_step=0.05)
        error = states.detach().squeeze(-1).std(0) / b**0.5
        # three standard errors, and the weak error of steps of 0.05
        assert ((states.squeeze(-1).mean(0) - torch.exp(0.3 * t)).abs() <= 3 * error + 2e-3).all()


# steps and memory


def test_max_step_cuts_each_gap_as_finely_as_needed() -> None:
    grid = clock(3, [1.0, 0.4, 0.05, 0.9])
    path, _ = Linear().path(torch.randn(3, 4, 3, **DOUBLE), torch.ones(3, 4, 3, dtype=torch.bool), grid)
    field, start = driven(), starts(grid)
    states, _ = integrate(field, Euler(), path, start, max_step=0.1)
    x = start[:, 0]
    for k, n in ((1, 4), (2, 1), (3, 9)):
        x = Euler(n).step(field, path.times[:, k], path.gap[:, k], x, path.pieces()[k])
        torch.testing.assert_close(states[:, k], x)


@pytest.mark.parametrize("rule", [EulerMaruyama, Torchsde], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("given", [True, False])
def test_a_memory_limit_changes_no_gradient_and_keeps_less(rule, given: bool) -> None:
    values, observed, grid = case(0.0, 0.3)
    path, _ = Linear().path(values.requires_grad_(), observed, grid)
    field = NoisyMLP(driven(2)).double()
    results, kept = [], []
    for memory in (None, 0.003):
        torch.manual_seed(2)
        chosen = rule(substeps=3, generator=torch.Generator().manual_seed(7) if given else None)
        sizes: list[int] = []
        with saved_tensors_hooks(lambda x, sizes=sizes: (sizes.append(x.nbytes), x.detach())[1], lambda x: x):
            states, _ = integrate(field, chosen, path, starts(grid), memory=memory)
        # the generator goes on from where the forward pass left it, whatever the backward pass does
        results.append(
            (states, *torch.autograd.grad(states.square().sum(), (values, *field.parameters()), retain_graph=True))
        )
        results[-1] += (chosen.generator.get_state() if given else torch.get_rng_state(),)
        kept.append(sum(sizes))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert kept[1] < kept[0] / 2


def test_the_adjoint_on_request_gives_the_gradients_of_backpropagation() -> None:
    grid = clock(3, [1.0, 0.4, 0.7])
    values = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(0), **DOUBLE, requires_grad=True)
    path, _ = Hermite().path(values, torch.ones(3, 3, 3, dtype=torch.bool), grid)
    torch.manual_seed(3)
    field, gradients = Controlled(4), []
    for adjoint in (False, True):
        rule = Torchdiffeq(rtol=1e-9, atol=1e-11, adjoint=adjoint)
        states, _ = integrate(field, rule, path, starts(grid), "path")
        gradients.append(torch.autograd.grad(states.square().sum(), (values, *field.parameters()), retain_graph=True))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("method", "tolerance"), [("midpoint", 2e-2), ("reversible_heun", 1e-6)])
def test_the_adjoint_of_torchsde_gives_them_to_the_error_of_its_steps(method: str, tolerance: float) -> None:
    torch.manual_seed(3)
    field, gradients = Wobble(), []
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), **DOUBLE, requires_grad=True)
    for adjoint in (False, True):
        generator = torch.Generator().manual_seed(1)
        warned = pytest.warns(RuntimeWarning, match="parasitic") if method == "reversible_heun" else nullcontext()
        with warned:
            rule = Torchsde(method, 60, generator, adjoint)
        end = rule.step(field, 0.0, torch.tensor([0.3, 0.5, 0.0, 1.0], **DOUBLE), x, None)
        gradients.append(torch.autograd.grad(end.square().sum(), (x, *field.parameters())))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


class Wobble(nn.Module, StochasticField):
    calculus, noise = "stratonovich", "diagonal"

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor([0.5, 1.5], **DOUBLE))

    def forward(self, t, x, u):
        return torch.sin(self.rate * x)

    def diffusion(self, t, x, u):
        return 0.3 + 0.2 * torch.cos(self.rate * x)


def test_exact_steps_follow_a_path_that_is_linear_in_time() -> None:
    A = Dense(torch.tensor([[-0.5, 2.0], [-2.0, -0.1]], **DOUBLE))
    grid = clock(2, [1.0, 0.4, 0.9])
    values = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0), **DOUBLE)
    path, _ = Linear().path(values, torch.ones(2, 3, 2, dtype=torch.bool), grid)
    B = torch.randn(2, 3, generator=torch.Generator().manual_seed(1), **DOUBLE)

    class Fed(Field):
        def __call__(self, t, x, u):
            return A @ x + u @ B.T

    expected, _ = integrate(Fed(), RK4(200), path, starts(grid))
    x = starts(grid)[:, 0]
    quiet = LinearSDE(A, torch.zeros(2, **DOUBLE))
    for k in (1, 2):
        x = ExactLinear().step(quiet, 0.0, path.gap[:, k], x, path.value(1.0)[:, k] @ B.T, path.value(0.0)[:, k] @ B.T)
        torch.testing.assert_close(x, expected[:, k])


# errors


class Explosion(Field):
    def __call__(self, t, x, u):
        return 1e8 * x**3


def test_bad_input_is_named() -> None:
    values, observed, grid = case()
    path, _ = Linear().path(values, observed, grid)
    start, field = starts(grid), driven()
    for rule in (Euler(4), RK4(4)):
        with pytest.raises(ValueError, match=r"row \d, after a gap"):
            integrate(Explosion(), rule, path, start)
    with pytest.raises(ValueError, match="able to cross"):
        integrate(Explosion(), Torchdiffeq(), path, start)
    with pytest.raises(ValueError, match="able to cross"):
        integrate(Stiff(), Torchdiffeq(max_steps=50), path, start)
    with pytest.raises(ValueError, match="`start` must be finite"):
        integrate(field, RK4(), path, start.masked_fill(grid.reset.unsqueeze(-1), torch.nan))
    with pytest.raises(ValueError, match="`start` must be \\(2"):
        integrate(field, RK4(), path, start[:, 1:])
    with pytest.raises(ValueError, match="`by`"):
        integrate(field, RK4(), path, start, "space")
    with pytest.raises(ValueError, match="max_step=0"):
        integrate(field, RK4(), path, start, max_step=0)
    with pytest.raises(TypeError, match="`substeps`"):
        integrate(field, ExactLinear(), path, start, max_step=0.1)
    with pytest.raises(ValueError, match="`memory`"):
        integrate(field, RK4(), path, start, memory=-1)
    with pytest.raises(TypeError, match="driven by time"):
        integrate(Brownian(), EulerMaruyama(), path, start, "path")
    with pytest.raises(TypeError, match="ends of a gap"):
        integrate(Diagonal(-torch.ones(2, **DOUBLE)), ZeroOrderHold(), path, start)


class Stiff(Field):
    def __call__(self, t, x, u):
        return -1e5 * (x - t[..., None].cos())
