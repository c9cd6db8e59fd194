"""evolve: loop, scans and convolution are one map; scipy and closed forms say which one."""

from __future__ import annotations

from functools import partial
from importlib import import_module

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.integrate import solve_ivp
from scipy.signal import lsim
from torch import Tensor, nn
from torch.autograd import gradcheck

from tsssm.dynamics import (
    DPLR,
    Bilinear,
    Dense,
    Diagonal,
    Field,
    FirstOrderHold,
    LinearDiscretization,
    ZeroOrderHold,
    associative_scan,
    chunked_scan,
    evolve,
    evolve_loop,
    evolve_scan,
    kernels,
    sequential_scan,
)
from tsssm.dynamics.convolution import convolve
from tsssm.dynamics.solvers import RK4, Torchdiffeq

# the module: in the package its name stands for the function
hub = import_module("tsssm.dynamics.evolve")

RULES = [rule() for rule in LinearDiscretization.__subclasses__() if rule.__module__.startswith("tsssm.")]
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
RECURRENCES = [sequential_scan, chunked_scan, associative_scan]
CLOSE = {"rtol": 1e-10, "atol": 1e-10}
H, N = 3, 2


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def eigenvalues(*shape: int) -> Tensor:
    return torch.complex(-torch.rand(*shape, dtype=torch.float64) - 0.05, 2 * torch.randn(*shape, dtype=torch.float64))


def system(kind: str, b: int, l: int) -> tuple[Diagonal, Tensor]:
    """One shared state fed by complex inputs (S5), or a state per channel fed by one real input each (S4D)."""
    if kind == "s5":
        return Diagonal(eigenvalues(N)), torch.randn(b, l, N, dtype=torch.complex128)
    return Diagonal(eigenvalues(H, N)), torch.randn(b, l, H, 1, dtype=torch.float64)


READ = {
    "s5": torch.complex(torch.arange(1.0, 2 * N + 1), torch.ones(2 * N)).to(torch.complex128).reshape(2, N),
    "s4d": torch.full((H, N), 1 - 0.3j, dtype=torch.complex128),
}


@pytest.fixture(params=["compiled", "plain"])
def engine(request: pytest.FixtureRequest) -> str:
    """With the compiled kernels, and as installed without a compiler."""
    if request.param == "plain":
        request.getfixturevalue("uncompiled")
    return request.param


every_system = pytest.mark.parametrize("kind", ["s5", "s4d"])


def gaps(b: int, l: int) -> Tensor:
    dt = torch.rand(b, l, dtype=torch.float64) + 0.1
    dt[:, 5] = 0.0
    return dt


def some_resets(b: int, l: int) -> Tensor:
    reset = torch.rand(b, l) < 0.2
    reset[0, 0], reset[-1, 0] = True, False
    return reset


def some_active(b: int, l: int) -> Tensor:
    """Silent rows here and there, a silent stretch, and silent starts of series."""
    active = torch.rand(b, l) < 0.6
    active[0, :3], active[-1, 6:9] = False, False
    return active


MASKS = {
    "plain": lambda b, l: (None, None),
    "resets": lambda b, l: (some_resets(b, l), None),
    "silent": lambda b, l: (None, some_active(b, l)),
    "both": lambda b, l: (some_resets(b, l), some_active(b, l)),
}
every_mask = pytest.mark.parametrize("masks", MASKS)


def equal_runs(ours: tuple, truth: tuple) -> None:
    torch.testing.assert_close(ours[0], truth[0], **CLOSE)
    for mine, theirs in zip(ours[1][:3], truth[1][:3], strict=True):
        torch.testing.assert_close(mine, theirs, **CLOSE)


def with_gradients(run, *leaves: Tensor) -> list[Tensor]:
    """Result of a run and gradients of a fixed functional of it."""
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    y = run(*leaves)
    weight = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).reshape(y.shape)
    (y * weight).sum().real.backward()
    return [y.detach(), *(leaf.grad for leaf in leaves)]


@every_rule
@every_system
@every_mask
@pytest.mark.usefixtures("engine")
def test_loop_equals_scan_for_each_recurrence(rule: LinearDiscretization, kind: str, masks: str):
    A, u = system(kind, 2, 12)
    dt, (reset, active) = gaps(2, 12), MASKS[masks](2, 12)
    _, state = evolve_loop(A, rule, gaps(2, 7), system(kind, 2, 7)[1])
    for start in (None, state):
        truth = evolve_loop(A, rule, dt, u, start, reset, READ[kind], active)
        for recurrence in RECURRENCES:
            equal_runs(evolve_scan(A, rule, dt, u, start, reset, READ[kind], active, recurrence), truth)
        equal_runs(evolve(A, rule, dt, u, start, reset, READ[kind], active), truth)
        equal_runs(
            evolve(A, rule, dt, u, start, reset, None, active), evolve_loop(A, rule, dt, u, start, reset, None, active)
        )


@every_rule
@every_system
@every_mask
@pytest.mark.usefixtures("engine")
def test_gradients_of_loop_and_scan_are_equal(rule: LinearDiscretization, kind: str, masks: str):
    A, u = system(kind, 2, 9)
    dt, (reset, active) = gaps(2, 9), MASKS[masks](2, 9)

    def run(form, values: Tensor, dt: Tensor, u: Tensor) -> Tensor:
        return form(Diagonal(values), rule, dt, u, None, reset, READ[kind], active)[0]

    truth = with_gradients(partial(run, evolve_loop), A.eigenvalues, dt, u)
    for mine, theirs in zip(with_gradients(partial(run, evolve), A.eigenvalues, dt, u), truth, strict=True):
        torch.testing.assert_close(mine, theirs, **CLOSE)


@every_rule
@pytest.mark.parametrize("length", [2, 17])
def test_convolution_equals_the_loop_on_even_grids(rule: LinearDiscretization, length: int):
    A, u = system("s4d", 2, length)
    dt = torch.full((2, length), 0.4, dtype=torch.float64)
    reset = torch.zeros(2, length, dtype=torch.bool)
    reset[:, 0] = True
    equal_runs(evolve(A, rule, dt, u, None, reset, READ["s4d"]), evolve_loop(A, rule, dt, u, None, reset, READ["s4d"]))

    def by(form, values: Tensor, u: Tensor) -> Tensor:
        return form(Diagonal(values), rule, dt, u, None, reset, READ["s4d"])[0]

    def convolved(values: Tensor, u: Tensor) -> Tensor:
        return convolve(Diagonal(values), rule, dt[0, 0], u.squeeze(-1), READ["s4d"])[0]

    truth = with_gradients(partial(by, evolve_loop), A.eigenvalues, u)
    for form in (partial(by, evolve), partial(by, evolve_scan), convolved):
        for mine, theirs in zip(with_gradients(form, A.eigenvalues, u), truth, strict=True):
            torch.testing.assert_close(mine, theirs, **CLOSE)


@every_rule
@pytest.mark.usefixtures("engine")
def test_each_gap_of_an_even_grid_gets_its_own_gradient(rule: LinearDiscretization):
    A, u = system("s4d", 2, 17)

    def run(form, dt: Tensor) -> Tensor:
        return form(A, rule, dt, u, None, None, READ["s4d"])[0]

    dt = torch.full((2, 17), 0.4, dtype=torch.float64)
    truth = with_gradients(partial(run, evolve_loop), dt)
    for mine, theirs in zip(with_gradients(partial(run, evolve), dt), truth, strict=True):
        torch.testing.assert_close(mine, theirs, **CLOSE)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (hub, kernels):
        monkeypatch.setattr(module, "library", lambda: None)


@pytest.fixture
def convolutions(uncompiled: None, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []

    def counted(*arguments):
        calls.append(1)
        return convolve(*arguments)

    monkeypatch.setattr(hub, "convolve", counted)
    return calls


def test_which_runs_are_convolutions(convolutions: list[int], monkeypatch: pytest.MonkeyPatch):
    A, u = system("s4d", 2, 6)
    even = torch.full((2, 6), 0.5, dtype=torch.float64)
    start = torch.zeros(2, 6, dtype=torch.bool)
    start[:, 0] = True
    rule = ZeroOrderHold()
    _, state = evolve(A, rule, even, u, None, start, READ["s4d"])
    assert len(convolutions) == 1
    evolve(A, rule, even, u, None, None, READ["s4d"])
    assert len(convolutions) == 2
    uneven, inside, own = even.clone(), start.clone(), even.clone()
    uneven[1, 3], inside[1, 3], own[1] = 0.6, True, 0.7
    silent = ~start.roll(3, 1)
    evolve(A, rule, uneven, u, None, start, READ["s4d"])
    evolve(A, rule, own, u, None, start, READ["s4d"])
    evolve(A, rule, even, u, None, inside, READ["s4d"])
    evolve(A, rule, even, u, None, start, READ["s4d"], silent)
    evolve(A, rule, even, u, state, None, READ["s4d"])
    evolve(A, rule, even, u, None, start)
    evolve(A, rule, 0 * even, u, None, start, READ["s4d"])
    evolve(A, rule, even[:, :1], u[:, :1], None, start[:, :1], READ["s4d"])
    shared, wide = system("s5", 2, 6)
    evolve(shared, rule, even, wide, None, start, READ["s5"])
    assert len(convolutions) == 2
    evolve(A, rule, even.clone().requires_grad_(), u, None, start, READ["s4d"])
    assert len(convolutions) == 2
    # longer runs: only where there is no modal scan
    monkeypatch.setattr(hub, "SHORT_RUN", u.numel() - 1)
    evolve(A, rule, even, u, None, start, READ["s4d"])
    assert len(convolutions) == 2
    evolve(A, FirstOrderHold(), even, u, None, start, READ["s4d"])
    assert len(convolutions) == 3


@every_rule
@every_system
@pytest.mark.parametrize("masks", ["resets", "both"])
@pytest.mark.usefixtures("engine")
def test_pieces_cut_anywhere_equal_the_whole(rule: LinearDiscretization, kind: str, masks: str):
    A, u = system(kind, 2, 12)
    dt, (reset, active) = gaps(2, 12), MASKS[masks](2, 12)
    truth, ended = evolve(A, rule, dt, u, None, reset, READ[kind], active)
    for cuts in [(k,) for k in range(1, 12)] + [tuple(range(1, 12))]:
        state, answers = None, []
        for start, stop in zip((0, *cuts), (*cuts, 12), strict=True):
            here, on = (None if mask is None else mask[:, start:stop] for mask in (reset, active))
            # a piece without silent rows runs as layers run it, without a mask
            on = None if on is None or bool(on.all()) else on
            y, state = evolve(A, rule, dt[:, start:stop], u[:, start:stop], state, here, READ[kind], on)
            answers.append(y)
        torch.testing.assert_close(torch.cat(answers, 1), truth, **CLOSE)
        equal_runs((truth, state), (truth, ended))


@every_rule
@every_system
def test_a_reset_is_a_fresh_start(rule: LinearDiscretization, kind: str):
    A, u = system(kind, 1, 10)
    dt = gaps(1, 10)
    reset = torch.zeros(1, 10, dtype=torch.bool)
    reset[0, [0, 4, 5]] = True
    y, state = evolve(A, rule, dt, u, None, reset, READ[kind])
    for start, stop in ((0, 4), (4, 5), (5, 10)):
        alone, ended = evolve_loop(A, rule, dt[:, start:stop], u[:, start:stop], None, None, READ[kind])
        torch.testing.assert_close(y[:, start:stop], alone, **CLOSE)
    equal_runs((y, state), (y, ended))


@every_rule
@every_system
def test_a_reset_at_a_cut_forgets_also_the_silent_time_before(rule: LinearDiscretization, kind: str):
    A, u = system(kind, 1, 6)
    dt, active = gaps(1, 6), torch.tensor([[True, False, False]])
    _, state = evolve(A, rule, dt[:, :3], u[:, :3], None, None, READ[kind], active)
    assert float(state.since) > 0.1
    reset = torch.tensor([[True, False, False]])
    ours, _ = evolve(A, rule, dt[:, 3:], u[:, 3:], state, reset, READ[kind])
    torch.testing.assert_close(ours, evolve_loop(A, rule, dt[:, 3:], u[:, 3:], None, None, READ[kind])[0], **CLOSE)


@every_rule
@every_system
@pytest.mark.parametrize("form", [evolve_loop, evolve])
@pytest.mark.usefixtures("engine")
def test_silent_rows_leave_no_trace(rule: LinearDiscretization, kind: str, form):
    A, u = system(kind, 1, 12)
    dt, active = gaps(1, 12), some_active(1, 12)
    reset = torch.zeros(1, 12, dtype=torch.bool)
    reset[0, [0, 7]] = True
    dt[reset] = 1.0
    y, _ = form(A, rule, dt, u, None, reset, READ[kind], active)
    places, gap, first, passed, new = [], [], [], 0.0, False
    for k in range(12):
        new, passed = (True, 0.0) if reset[0, k] else (new, passed + float(dt[0, k]))
        if active[0, k]:
            places.append(k)
            gap.append(1.0 if new else passed)
            first.append(new)
            new, passed = False, 0.0
    alone = torch.tensor([gap], dtype=torch.float64), u[:, places], None, torch.tensor([first])
    torch.testing.assert_close(y[:, places], form(A, rule, *alone, READ[kind])[0], **CLOSE)
    other = torch.where(active.reshape(1, 12, *(1,) * (u.dim() - 2)), u, 99.0)
    torch.testing.assert_close(form(A, rule, dt, other, None, reset, READ[kind], active)[0], y, **CLOSE)


@every_system
@pytest.mark.parametrize("form", [evolve_loop, evolve])
def test_answers_at_silent_rows_are_the_closed_form(kind: str, form):
    A, u = system(kind, 2, 8)
    dt = gaps(2, 8)
    active = torch.tensor([True] + [False] * 7).expand(2, 8)
    x, _ = form(A, ZeroOrderHold(), dt, u, None, None, None, active)
    for k in range(1, 8):
        tau = dt[:, 1 : k + 1].sum(1).reshape(2, *(1,) * (x.dim() - 2))
        torch.testing.assert_close(x[:, k], torch.exp(A.eigenvalues * tau) * x[:, 0], **CLOSE)


@pytest.mark.parametrize("rule", [ZeroOrderHold(), FirstOrderHold()], ids=["held", "linear"])
@every_system
@every_mask
@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.usefixtures("engine")
def test_memory_pieces_equal_the_whole(rule, kind: str, masks: str, carried: bool, monkeypatch: pytest.MonkeyPatch):
    A, u = system(kind, 2, 11)
    dt, (reset, active) = gaps(2, 11), MASKS[masks](2, 11)
    state = evolve_loop(A, rule, dt, u.flip(1), None, reset, None, active)[1] if carried else None

    def run(values: Tensor, dt: Tensor, u: Tensor) -> Tensor:
        y, after = evolve(Diagonal(values), rule, dt, u, state, reset, READ[kind], active)
        return torch.cat([y.flatten(), after.x.real.flatten(), after.x.imag.flatten()])

    truth = with_gradients(run, A.eigenvalues, dt, u)
    numbers = A.eigenvalues.numel() * 2
    for at_once in (1, 4 * numbers + 1):
        monkeypatch.setattr(hub, "STATES_AT_ONCE", at_once)
        for mine, theirs in zip(with_gradients(run, A.eigenvalues, dt, u), truth, strict=True):
            torch.testing.assert_close(mine, theirs, **CLOSE)


def saved_bytes(run) -> int:
    """Bytes that the graph of a run keeps for its backward pass, each storage once."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = run()
    assert y.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("even", [True, False])
def test_states_are_never_all_in_memory(even: bool, monkeypatch: pytest.MonkeyPatch):
    b, l, h, n = 16, 256, 8, 16
    A, C = Diagonal(eigenvalues(h, n).requires_grad_()), torch.ones(h, n, dtype=torch.complex128)
    u = torch.randn(b, l, h, 1, dtype=torch.float64)
    dt = torch.full((b, l), 0.5, dtype=torch.float64) if even else torch.rand(b, l, dtype=torch.float64)
    states = b * l * h * n * 16

    def saved(rule: LinearDiscretization) -> int:
        return saved_bytes(lambda: evolve(A, rule, dt, u, None, None, C)[0])

    assert saved(ZeroOrderHold()) < states / 10
    if even:
        # a convolution
        assert saved(FirstOrderHold()) < states / 2
        return
    assert saved(FirstOrderHold()) > states
    monkeypatch.setattr(hub, "STATES_AT_ONCE", b * h * n * 8)
    assert saved(FirstOrderHold()) < states / 2


@every_rule
@pytest.mark.parametrize("wide", [True, False])
def test_dense_and_low_rank_equal_the_diagonal_they_are_similar_to(rule: LinearDiscretization, wide: bool):
    values, V = eigenvalues(4), torch.randn(4, 4, dtype=torch.complex128)
    inverse = torch.linalg.inv(V)
    full = V @ torch.diag(values) @ inverse
    P, Q = torch.randn(2, 4, 1, dtype=torch.complex128)
    dt, (reset, active) = gaps(2, 9), MASKS["both"](2, 9)
    u = torch.randn(2, 9, 4 if wide else 1, dtype=torch.complex128)
    fed = u.expand(2, 9, 4)
    modes, _ = evolve(Diagonal(values), rule, dt, fed @ inverse.mT, None, reset, None, active)
    truth = modes @ V.mT
    split = DPLR(torch.linalg.eigvals(full), torch.zeros_like(P), Q)
    for A in (Dense(full), DPLR(torch.zeros(4, dtype=torch.complex128), -full, torch.eye(4, dtype=torch.complex128))):
        y, state = evolve(A, rule, dt, u, None, reset, None, active)
        torch.testing.assert_close(y, truth, rtol=1e-8, atol=1e-8)
        head, half = evolve(A, rule, dt[:, :4], u[:, :4], None, reset[:, :4], None, active[:, :4])
        tail, ended = evolve(A, rule, dt[:, 4:], u[:, 4:], half, reset[:, 4:], None, active[:, 4:])
        torch.testing.assert_close(torch.cat([head, tail], 1), y, **CLOSE)
        torch.testing.assert_close(ended.x, state.x, **CLOSE)
    ours, _ = evolve(split, rule, dt, fed, None, reset, None, active)
    torch.testing.assert_close(
        ours, evolve_loop(Diagonal(split.eigenvalues), rule, dt, fed, None, reset, None, active)[0]
    )


def test_lsim_on_an_irregular_grid():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(3, 3)) - 3 * np.eye(3)
    B, dt = rng.normal(size=(3, 2)), rng.uniform(0.1, 1.0, 20)
    times, v = np.cumsum(dt), rng.normal(size=(20, 2))
    values, V = np.linalg.eig(A)
    inputs = torch.from_numpy(v @ (np.linalg.inv(V) @ B).T).unsqueeze(0)
    back = torch.from_numpy(V.astype(complex))
    field, grid = Diagonal(torch.from_numpy(values.astype(complex))), torch.from_numpy(dt).unsqueeze(0)
    y, _ = evolve(field, FirstOrderHold(), grid, inputs.to(torch.complex128), None, None, back)
    # lsim wants an even grid and starts at its first input: cross each gap by its own two-point run
    x, before = np.zeros(3), np.zeros(2)
    for k in range(20):
        _, _, path = lsim((A, B, np.eye(3), np.zeros((3, 2))), np.stack([before, v[k]]), [0.0, dt[k]], x)
        x, before = path[-1], v[k]
        np.testing.assert_allclose(y[0, k].numpy(), x, rtol=1e-9, atol=1e-9)
    held, _ = evolve(field, ZeroOrderHold(), grid, inputs.to(torch.complex128), None, None, back)
    x = np.zeros(3)
    for k in range(20):
        block = np.zeros((4, 4))
        block[:3, :3], block[:3, 3] = A, B @ v[k]
        x = (scipy.linalg.expm(dt[k] * block) @ np.append(x, 1.0))[:3]
        np.testing.assert_allclose(held[0, k].numpy(), x, rtol=1e-9, atol=1e-9)
    assert times[-1] > 5


class Pendulum(nn.Module, Field):
    """A damped pendulum under a torque and a wind that changes with the clock of the series."""

    def forward(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        torque = 0.0 if u is None else u[..., 1]
        angle, speed = x.unbind(-1)
        return torch.stack([speed, -angle.sin() - 0.2 * speed + torque + 0.5 * torch.sin(t)], -1)


def wind_truth(dt: Tensor, u: Tensor) -> np.ndarray:
    """The pendulum by scipy, the torque linear between rows and rising from 0 in the first gap."""
    answers = np.zeros((*dt.shape, 2))
    for i, (gap, torque) in enumerate(zip(dt.numpy(), u[..., 1].numpy(), strict=True)):
        knots, levels = np.append(0.0, np.cumsum(gap)), np.append(0.0, torque)

        def slope(t, x, knots=knots, levels=levels):
            return [x[1], -np.sin(x[0]) - 0.2 * x[1] + np.interp(t, knots, levels) + 0.5 * np.sin(t)]

        x = np.zeros(2)
        for k in range(len(gap)):
            x = solve_ivp(slope, knots[k : k + 2], x, rtol=1e-10, atol=1e-10).y[:, -1]
            answers[i, k] = x
    return answers


@pytest.mark.parametrize("rule", [RK4(substeps=40), Torchdiffeq(rtol=1e-9, atol=1e-9)], ids=["rk4", "torchdiffeq"])
def test_a_nonlinear_field_through_a_solver(rule):
    dt, u = torch.rand(2, 6, dtype=torch.float64) + 0.2, torch.randn(2, 6, 2, dtype=torch.float64)
    y, _ = evolve(Pendulum(), rule, dt, u)
    np.testing.assert_allclose(y.numpy(), wind_truth(dt, u), rtol=1e-6, atol=1e-6)


@every_mask
def test_a_field_that_looks_at_the_clock_runs_in_pieces(masks: str):
    dt, u = torch.rand(2, 10, dtype=torch.float64) + 0.2, torch.randn(2, 10, 2, dtype=torch.float64)
    reset, active = MASKS[masks](2, 10)
    rule = RK4(substeps=3)
    truth, _ = evolve(Pendulum(), rule, dt, u, None, reset, None, active)
    for cut in range(1, 10):
        head = [None if mask is None else mask[:, :cut] for mask in (reset, active)]
        tail = [None if mask is None else mask[:, cut:] for mask in (reset, active)]
        first, state = evolve(Pendulum(), rule, dt[:, :cut], u[:, :cut], None, head[0], None, head[1])
        second, _ = evolve(Pendulum(), rule, dt[:, cut:], u[:, cut:], state, tail[0], None, tail[1])
        torch.testing.assert_close(torch.cat([first, second], 1), truth, **CLOSE)


def test_the_clock_of_a_field_starts_with_its_series_and_ignores_silent_rows():
    dt, u = torch.rand(1, 8, dtype=torch.float64) + 0.2, torch.randn(1, 8, 2, dtype=torch.float64)
    reset = torch.zeros(1, 8, dtype=torch.bool)
    reset[0, [0, 4]] = True
    y, _ = evolve(Pendulum(), RK4(), dt, u, None, reset)
    torch.testing.assert_close(y[:, 4:], evolve(Pendulum(), RK4(), dt[:, 4:], u[:, 4:])[0], **CLOSE)
    active = torch.tensor([[True, False, True, False, False, True, True, True]])
    asked, _ = evolve(Pendulum(), RK4(), dt, u, None, None, None, active)
    gap = torch.stack([dt[0, 0], dt[0, 1:3].sum(), dt[0, 3:6].sum(), dt[0, 6], dt[0, 7]]).unsqueeze(0)
    alone, _ = evolve(Pendulum(), RK4(), gap, u[active].unsqueeze(0))
    torch.testing.assert_close(asked[active].unsqueeze(0), alone, **CLOSE)


@every_system
def test_gradcheck(kind: str):
    A, u = system(kind, 2, 4)
    dt = torch.rand(2, 4, dtype=torch.float64) + 0.2
    active = torch.tensor([[True, False, True, True], [False, True, True, False]])

    def run(values: Tensor, dt: Tensor, u: Tensor) -> Tensor:
        return evolve(Diagonal(values), Bilinear(), dt, u, None, None, READ[kind], active)[0]

    assert gradcheck(run, [part.clone().requires_grad_() for part in (A.eigenvalues, dt, u)])


@pytest.mark.usefixtures("engine")
@every_system
@pytest.mark.parametrize("lower", ["matrix", "inputs", "gaps"])
def test_mixed_precision_is_promoted(kind: str, lower: str):
    A, u = system(kind, 2, 9)
    dt = gaps(2, 9)
    truth, _ = evolve_loop(A, ZeroOrderHold(), dt, u, None, None, READ[kind])
    if lower == "matrix":
        A = Diagonal(A.eigenvalues.to(torch.complex64))
    u = u.to(torch.complex64 if u.is_complex() else torch.float32) if lower == "inputs" else u
    y, _ = evolve(A, ZeroOrderHold(), dt.float() if lower == "gaps" else dt, u, None, None, READ[kind])
    torch.testing.assert_close(y, truth, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("engine")
def test_real_modes_with_complex_inputs_or_readouts():
    A, dt = Diagonal(-torch.rand(N, dtype=torch.float64) - 0.1), gaps(2, 9)
    u = torch.randn(2, 9, N, dtype=torch.complex128)
    for C in (None, READ["s5"]):
        equal_runs(
            evolve(A, ZeroOrderHold(), dt, u, None, None, C), evolve_loop(A, ZeroOrderHold(), dt, u, None, None, C)
        )
    A, u = Diagonal(-torch.rand(H, N, dtype=torch.float64) - 0.1), torch.randn(2, 9, H, 1, dtype=torch.float64)
    ours, truth = (form(A, ZeroOrderHold(), dt, u, None, None, READ["s4d"]) for form in (evolve, evolve_loop))
    equal_runs(ours, truth)
