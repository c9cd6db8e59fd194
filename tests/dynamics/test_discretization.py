"""Every linear rule against scipy, closed forms and explicit loops."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.signal import cont2discrete
from torch.autograd import gradcheck

from tsssm.dynamics.discretization import (
    BackwardEuler,
    Bilinear,
    Dirac,
    ExponentialEuler,
    ExponentialTrapezoid,
    FirstOrderHold,
    ForwardEuler,
    GeneralizedBilinear,
    LeftHold,
    LinearDiscretization,
    Step,
    ZeroOrderHold,
)
from tsssm.dynamics.fields import Field
from tsssm.dynamics.hippo import block_diagonal_normal
from tsssm.dynamics.matrices import DPLR, Dense, Diagonal, StateMatrix

RULES = [rule() for rule in LinearDiscretization.__subclasses__()]
NAMES = [type(rule).__name__ for rule in RULES]
every_rule = pytest.mark.parametrize("rule", RULES, ids=NAMES)
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def stable(n: int, seed: int = 0) -> np.ndarray:
    M = np.random.default_rng(seed).normal(size=(n, n))
    return M - (np.linalg.eigvals(M).real.max() + 0.3) * np.eye(n)


def entries(matrix: StateMatrix | None, n: int) -> np.ndarray:
    return np.zeros((n, n)) if matrix is None else matrix.dense().numpy()


def numpy_step(rule: LinearDiscretization, A: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = len(A)
    step = rule.matrices(Dense(torch.from_numpy(A)), dt)
    return entries(step.transition, n), entries(step.before, n), entries(step.after, n)


def test_all_rules_are_final_frozen_dataclasses() -> None:
    assert len(RULES) == 10
    for rule in RULES:
        assert not type(rule).__subclasses__()
        assert rule == type(rule)() and hash(rule) == hash(type(rule)())
        for parameter in dataclasses.fields(rule):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(rule, parameter.name, 1.0)
    assert repr(GeneralizedBilinear(0.25)) == "GeneralizedBilinear(alpha=0.25)"


# 1. scipy


@pytest.mark.parametrize("n", [1, 2, 5, 16])
@pytest.mark.parametrize("dt", [1e-3, 0.2, 2.0])
def test_cont2discrete(n: int, dt: float) -> None:
    A, B = stable(n), np.random.default_rng(1).normal(size=(n, 2))
    C, D = np.eye(n), np.zeros((n, 2))
    system = A, B, C, D

    def close(ours: np.ndarray, theirs: np.ndarray) -> None:
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)

    Ad, Bd, *_ = cont2discrete(system, dt, "zoh")
    for rule, place in ((LeftHold(), 1), (ZeroOrderHold(), 2)):
        ours = numpy_step(rule, A, dt)
        close(ours[0], Ad)
        close(ours[place] @ B, Bd)
        assert not ours[3 - place].any()

    # scipy's first-order hold moves w = x - after B u, hence its input and feed-through matrices.
    Ad, Bd, _, Dd, _ = cont2discrete(system, dt, "foh")
    transition, before, after = numpy_step(FirstOrderHold(), A, dt)
    close(transition, Ad)
    close(after @ B, Dd)
    close((before + transition @ after) @ B, Bd)

    for alpha in (0.0, 0.3, 0.5, 1.0):
        if alpha == 0.0 and np.abs(A * dt).max() > 10:
            continue
        Ad, Bd, *_ = cont2discrete(system, dt, "gbt", alpha=alpha)
        transition, _, after = numpy_step(GeneralizedBilinear(alpha), A, dt)
        close(transition, Ad)
        close(after @ B, Bd)
    for rule, method in ((ForwardEuler(), "euler"), (BackwardEuler(), "backward_diff")):
        Ad, Bd, *_ = cont2discrete(system, dt, method)
        transition, _, after = numpy_step(rule, A, dt)
        close(transition, Ad)
        close(after @ B, Bd)
    Ad, Bd, *_ = cont2discrete(system, dt, "bilinear")
    transition, before, after = numpy_step(Bilinear(), A, dt)
    close(transition, Ad)
    close((before + after) @ B, Bd)
    close(before, after)

    # scipy's impulse of weight dt acts before the transition, and its output sees it at once.
    Ad, Bd, _, Dd, _ = cont2discrete(system, dt, "impulse")
    transition, _, after = numpy_step(Dirac(), A, dt)
    close(transition, Ad)
    close(dt * after @ B, Dd)
    close(dt * transition @ after @ B, Bd)


# 2. semigroup


@every_rule
def test_two_half_gaps_equal_one_only_where_they_should(rule: LinearDiscretization) -> None:
    A = Dense(torch.from_numpy(stable(6)))
    x, u = torch.randn(2, 6, dtype=torch.float64)
    once = rule.step(A, 0.0, 0.8, x, u)
    twice = rule.step(A, 0.3, 0.5, rule.step(A, 0.0, 0.3, x, u), u)
    free = rule.step(A, 0.3, 0.5, rule.step(A, 0.0, 0.3, x, None), None) - rule.step(A, 0.0, 0.8, x, None)
    exact_for_held_input = isinstance(rule, ZeroOrderHold | LeftHold | FirstOrderHold)
    exact_transition = exact_for_held_input or isinstance(rule, ExponentialEuler | ExponentialTrapezoid | Dirac)
    assert ((once - twice).abs().max() < 1e-14 * 10) == exact_for_held_input
    assert (free.abs().max() < 1e-14 * 10) == exact_transition


# 3. order of convergence

ORDERS = {
    ZeroOrderHold(): 1,
    LeftHold(): 1,
    FirstOrderHold(): 2,
    Bilinear(): 2,
    GeneralizedBilinear(0.5): 1,
    GeneralizedBilinear(0.3): 1,
    ForwardEuler(): 1,
    BackwardEuler(): 1,
    ExponentialEuler(): 1,
    ExponentialTrapezoid(): 2,
    ExponentialTrapezoid(0.8): 1,
}


@pytest.mark.parametrize(("rule", "order"), ORDERS.items(), ids=map(repr, ORDERS))
def test_order_of_convergence_on_an_irregular_grid(rule: LinearDiscretization, order: int) -> None:
    # Small blocks: at 20 rad per unit of time forward Euler reaches its order only after ten halvings.
    eigenvalues, V = block_diagonal_normal(8, blocks=2)
    b = V.mH @ torch.ones(8, dtype=V.dtype)
    frequency, phase = 5.0, 0.3

    def signal(t: torch.Tensor) -> torch.Tensor:
        return torch.sin(frequency * t + phase)[..., None] * b

    def exact(t: torch.Tensor) -> torch.Tensor:
        # x' = a x + b sin(w t + p) with x(0) = 0, from its two exponentials.
        total = 0
        for sign in (1, -1):
            rate = 1j * sign * frequency
            weight = sign * np.exp(1j * sign * phase) / 2j * b / (rate - eigenvalues)
            total = total + weight * (torch.exp(rate * t[:, None]) - torch.exp(eigenvalues * t[:, None]))
        return total

    knots = torch.sort(torch.rand(30, dtype=torch.float64, generator=torch.Generator().manual_seed(3))).values
    times = torch.cat([knots.new_zeros(1), knots, knots.new_ones(1)])
    errors, levels = [], 8
    for _ in range(levels):
        u, dt = signal(times), times.diff()
        x, truth = torch.zeros_like(b), exact(times)
        step = rule.matrices(Diagonal(eigenvalues), dt)
        received = torch.zeros_like(u[1:])
        if step.before is not None:
            received = received + step.before @ u[:-1]
        if step.after is not None:
            received = received + step.after @ u[1:]
        states = [x]
        for a, b_k in zip(step.transition.eigenvalues, received, strict=True):
            states.append(a * states[-1] + b_k)
        errors.append((torch.stack(states) - truth).abs().max().item())
        times = torch.sort(torch.cat([times, (times[1:] + times[:-1]) / 2])).values
    slope = np.log2(errors[-3] / errors[-1]) / 2
    assert slope == pytest.approx(order, abs=0.15)


# 5. one system in all structures


@every_rule
def test_diagonal_dense_and_low_rank_agree(rule: LinearDiscretization) -> None:
    generator = torch.Generator().manual_seed(5)
    eigenvalues = torch.randn(6, dtype=torch.complex128, generator=generator) - 1
    P, Q = torch.randn(2, 6, 2, dtype=torch.complex128, generator=generator)
    x, u, u_before = torch.randn(3, 4, 6, dtype=torch.complex128, generator=generator)
    dt = torch.tensor([0.0, 0.01, 0.4, 3.0], dtype=torch.float64)
    for structured in (Diagonal(eigenvalues), DPLR(eigenvalues, P, Q), DPLR(eigenvalues, P[:, :1], Q[:, :1])):
        ours = rule.step(structured, 0.0, dt, x, u, u_before)
        dense = rule.step(Dense(structured.dense()), 0.0, dt, x, u, u_before)
        torch.testing.assert_close(ours, dense, **CLOSE)


@every_rule
def test_conjugate_pairs_equal_the_real_form(rule: LinearDiscretization) -> None:
    eigenvalues, V = block_diagonal_normal(8, blocks=2)
    real = Dense(2 * (V * eigenvalues @ V.mH).real)
    x, u, u_before = torch.randn(3, 8, dtype=torch.float64)
    half = [V.mH @ part.to(V.dtype) for part in (x, u, u_before)]
    pair = rule.step(Diagonal(eigenvalues), 0.0, 0.3, *half)
    torch.testing.assert_close(2 * (V @ pair).real, rule.step(real, 0.0, 0.3, x, u, u_before), **CLOSE)


# 6. sequences, by a plain loop over `step`


def run(rule: LinearDiscretization, A: StateMatrix, dt: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    x, previous, states = torch.zeros_like(u[0]), torch.zeros_like(u[0]), []
    for gap, now in zip(dt, u, strict=True):
        x = rule.step(A, 0.0, gap, x, now, previous)
        previous = now
        states.append(x)
    return torch.stack(states)


@every_rule
def test_equal_gaps_give_a_convolution(rule: LinearDiscretization) -> None:
    eigenvalues = torch.tensor([-0.5 + 3j, -1.0, 0.0], dtype=torch.complex128)
    u = torch.randn(40, 3, dtype=torch.complex128, generator=torch.Generator().manual_seed(2))
    step = rule.matrices(Diagonal(eigenvalues), 0.1)
    powers = step.transition.eigenvalues ** torch.arange(40)[:, None]
    kernel = torch.zeros_like(powers)
    if step.after is not None:
        kernel += powers * step.after.eigenvalues
    if step.before is not None:
        kernel[1:] += powers[:-1] * step.before.eigenvalues
    expected = np.stack([np.convolve(kernel[:, i], u[:, i])[:40] for i in range(3)], axis=1)
    states = run(rule, Diagonal(eigenvalues), torch.full((40,), 0.1, dtype=torch.float64), u)
    torch.testing.assert_close(states, torch.from_numpy(expected), **CLOSE)


@every_rule
def test_the_unit_of_time_does_not_matter(rule: LinearDiscretization) -> None:
    A = torch.from_numpy(stable(4))
    dt = torch.tensor([0.1, 0.7], dtype=torch.float64)
    hours, seconds = (rule.matrices(Dense(A / unit), dt * unit) for unit in (1.0, 3600.0))
    gain_unit = 1.0 if isinstance(rule, Dirac) else 3600.0
    for ours, theirs, scale in zip(hours, seconds, (1.0, gain_unit, gain_unit), strict=True):
        if ours is not None:
            torch.testing.assert_close(ours.dense() * scale, theirs.dense(), rtol=1e-11, atol=1e-11)


@every_rule
@pytest.mark.parametrize("kind", ["diagonal", "dplr", "dense"])
def test_no_gap_changes_nothing(rule: LinearDiscretization, kind: str) -> None:
    eigenvalues = torch.tensor([-0.5 + 3j, -1e-9, 0.0], dtype=torch.complex64)
    P = torch.ones(3, 1, dtype=torch.complex64)
    A = {
        "diagonal": Diagonal(eigenvalues),
        "dplr": DPLR(eigenvalues, P, P),
        "dense": Dense(torch.diag(eigenvalues) - P @ P.mH),
    }[kind]
    x, u, u_before = torch.randn(3, 2, 3, dtype=torch.complex64)
    result = rule.step(A, 0.0, torch.zeros(2), x, u, u_before)
    assert torch.equal(result, x + u if isinstance(rule, Dirac) else x)


@every_rule
def test_the_reverse_direction_uses_gaps_shifted_by_one(rule: LinearDiscretization) -> None:
    # Explicit double loop: row k of the reversed run sums what later samples send back over the gaps between them.
    eigenvalues = torch.tensor([-0.7 + 2j, -0.1], dtype=torch.complex128)
    generator = torch.Generator().manual_seed(4)
    dt = torch.rand(9, dtype=torch.float64, generator=generator) + 0.05
    u = torch.randn(9, 2, dtype=torch.complex128, generator=generator)
    backward_gaps = torch.cat([dt[:1], dt[1:].flip(0)])
    states = run(rule, Diagonal(eigenvalues), backward_gaps, u.flip(0)).flip(0)

    def gains(gap: torch.Tensor) -> list[torch.Tensor]:
        zero = torch.zeros_like(eigenvalues)
        return [zero if part is None else part.eigenvalues for part in rule.matrices(Diagonal(eigenvalues), gap)]

    for k in range(9):
        expected = torch.zeros_like(eigenvalues)
        for j in range(k, 9):
            _, before, after = gains(dt[0] if j == 8 else dt[j + 1])
            arrived = after * u[j] + (0 if j == 8 else before * u[j + 1])
            for i in range(k + 1, j + 1):
                arrived = gains(dt[i])[0] * arrived
            expected = expected + arrived
        torch.testing.assert_close(states[k], expected, **CLOSE)


# 7. exact solution


@pytest.mark.parametrize("rule", [FirstOrderHold(), ZeroOrderHold(), LeftHold()], ids=lambda rule: type(rule).__name__)
def test_holds_solve_the_equation_exactly(rule: LinearDiscretization) -> None:
    A = stable(4)
    rng = np.random.default_rng(6)
    times = np.cumsum(rng.uniform(0.05, 0.8, size=6))
    u = rng.normal(size=(6, 4))
    x, ours = rng.normal(size=4), None
    ours = torch.from_numpy(x.copy())
    for k in range(1, 6):
        start, gap = times[k - 1], times[k] - times[k - 1]

        def rate(t: float, x: np.ndarray, k: int = k, start: float = start, gap: float = gap) -> np.ndarray:
            s = {FirstOrderHold: (t - start) / gap, ZeroOrderHold: 1.0, LeftHold: 0.0}[type(rule)]
            return A @ x + (1 - s) * u[k - 1] + s * u[k]

        x = solve_ivp(rate, (start, times[k]), x, rtol=1e-11, atol=1e-13, method="DOP853").y[:, -1]
        now, before = torch.from_numpy(u[k]), torch.from_numpy(u[k - 1])
        ours = rule.step(Dense(torch.from_numpy(A)), start, gap, ours, now, before)
    np.testing.assert_allclose(ours.numpy(), x, rtol=1e-9, atol=1e-10)


# gradients, precision, shapes, errors


@every_rule
@pytest.mark.parametrize("is_complex", [True, False])
def test_gradients_with_respect_to_eigenvalues_and_gaps(rule: LinearDiscretization, is_complex: bool) -> None:
    eigenvalues = torch.tensor([0, 1e-9, -0.4 + 3j, -2.0], dtype=torch.complex128)
    eigenvalues = (eigenvalues if is_complex else eigenvalues.real.clone()).requires_grad_()
    dt = torch.tensor([0.0, 1e-9, 0.3, 2.0], dtype=torch.float64, requires_grad=True)

    def parts(eigenvalues: torch.Tensor, dt: torch.Tensor) -> list[torch.Tensor]:
        step: Step = rule.matrices(Diagonal(eigenvalues), dt)
        return [part.eigenvalues for part in step if part is not None]

    assert gradcheck(parts, (eigenvalues, dt))


@every_rule
def test_single_precision_keeps_its_digits_at_small_steps(rule: LinearDiscretization) -> None:
    eigenvalues = torch.tensor([-0.5 + 1e-3j, -0.5 + 30j, -1e-4], dtype=torch.complex64)
    dt = torch.logspace(-8, -1, 30)
    narrow = rule.matrices(Diagonal(eigenvalues), dt)
    wide = rule.matrices(Diagonal(eigenvalues.to(torch.complex128)), dt.to(torch.float64))
    for ours, theirs in zip(narrow, wide, strict=True):
        if ours is not None:
            error = (ours.eigenvalues - theirs.eigenvalues).abs() / theirs.eigenvalues.abs()
            assert error.max() < 1e-6


@every_rule
def test_shapes_of_many_systems_on_many_gaps(rule: LinearDiscretization) -> None:
    A = Diagonal(torch.randn(5, 4, dtype=torch.complex128) - 1)
    step = rule.matrices(A, torch.rand(2, 7, 1, dtype=torch.float64))
    for part in step:
        assert part is None or torch.broadcast_shapes(part.shape, (2, 7, 5, 4, 4)) == (2, 7, 5, 4, 4)
    x = torch.randn(2, 5, 4, dtype=torch.complex128)
    assert rule.step(A, 0.0, torch.rand(2, 1, dtype=torch.float64), x, x).shape == x.shape


class Bend(Field):
    def __call__(self, t, x, u):
        return -(x**3)


def test_errors_say_what_must_hold() -> None:
    for call, error, word in (
        (lambda: GeneralizedBilinear(1.5), ValueError, "alpha=1.5"),
        (lambda: ExponentialTrapezoid(-0.1), ValueError, "weight=-0.1"),
        (lambda: ZeroOrderHold().step(Bend(), 0.0, 0.1, torch.ones(1), None), TypeError, "Bend"),
    ):
        with pytest.raises(error, match=word):
            call()
