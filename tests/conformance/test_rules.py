"""What every rule keeps: no gap is no step, linear in state and input, right to first order, rows with their own gaps."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from tests.conformance.kinds import every_rule, small_rule
from tsssm.dynamics import Dense, Diagonal, Dirac, Discretization, LinearDiscretization, StochasticField
from tsssm.dynamics.solvers import ExactLinear, ExponentialEulerMaruyama, LogEuler
from tsssm.dynamics.stochastic_fields import GeometricField, LinearSDE

# an adaptive solver holds its tolerance, not the last digit
LOOSE = {"rtol": 1e-4, "atol": 1e-4}
CLOSE = {"rtol": 1e-10, "atol": 1e-10}
VALUES = torch.tensor([-0.5, -1.0, -0.2], dtype=torch.float64)


class Quiet(StochasticField):
    """A linear field with noise of size zero, so that stochastic solvers can be checked like the others."""

    calculus, noise = "ito", "additive"

    def __call__(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        return Diagonal(VALUES.to(x.dtype))(t, x, u)

    def diffusion(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        return torch.zeros_like(x)


class QuietGrowth(GeometricField):
    """The same in proportion to the state, which leaves no room for an input."""

    calculus = "ito"

    def rate(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        return VALUES.expand_as(x)

    def volatility(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        return torch.zeros_like(x)


def field_for(rule: Discretization):
    if isinstance(rule, LogEuler):
        return QuietGrowth()
    if isinstance(rule, (ExactLinear, ExponentialEulerMaruyama)):
        return LinearSDE(Diagonal(VALUES), torch.zeros(3, dtype=torch.float64))
    return Diagonal(VALUES) if isinstance(rule, LinearDiscretization) else Quiet()


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@every_rule
def test_no_gap_is_no_step(kind: type[Discretization]):
    rule, x, u = small_rule(kind), normal(2, 3), normal(2, 3)
    moved = rule.step(field_for(rule), torch.zeros(2), torch.zeros(2, dtype=torch.float64), x, u, 2 * u)
    torch.testing.assert_close(moved, x + u if isinstance(rule, Dirac) else x, **CLOSE)


@every_rule
def test_linear_fields_give_linear_steps(kind: type[Discretization]):
    rule, field, dt = small_rule(kind), field_for(small_rule(kind)), torch.tensor([0.3, 0.8], dtype=torch.float64)
    t = torch.zeros(2, dtype=torch.float64)
    (x, u, v), (y, w, z) = normal(3, 2, 3), normal(3, 2, 3)
    sides = rule.step(field, t, dt, x + 2 * y, u + 2 * w, v + 2 * z)
    torch.testing.assert_close(sides, rule.step(field, t, dt, x, u, v) + 2 * rule.step(field, t, dt, y, w, z), **LOOSE)


@every_rule
def test_small_steps_follow_the_field(kind: type[Discretization]):
    # one step of h differs from x + h f by O(h^2): a quarter of the step, a sixteenth of the difference
    rule = small_rule(kind)
    if isinstance(rule, Dirac):
        return
    field, x, u = field_for(rule), normal(1, 3), normal(1, 3)
    zero = torch.zeros(1, dtype=torch.float64)
    errors = []
    for h in (1e-2, 2.5e-3):
        moved = rule.step(field, zero, torch.full((1,), h, dtype=torch.float64), x, u, u)
        errors.append(float((moved - x - h * field(zero, x, u)).abs().max()))
    assert errors[1] <= errors[0] / 10 + 1e-12


@every_rule
def test_rows_have_their_own_gaps(kind: type[Discretization]):
    rule, x, u = small_rule(kind), normal(3, 3), normal(3, 3)
    dt = torch.tensor([0.2, 0.0, 1.0], dtype=torch.float64)
    t = torch.tensor([0.0, 5.0, 2.0], dtype=torch.float64)
    together = rule.step(field_for(rule), t, dt, x, u, u)
    for i in range(3):
        here = slice(i, i + 1)
        alone = rule.step(field_for(rule), t[here], dt[here], x[here], u[here], u[here])
        torch.testing.assert_close(together[here], alone, **LOOSE)


@every_rule
def test_no_input_is_zero_input_and_one_input_is_held(kind: type[Discretization]):
    rule, x, u = small_rule(kind), normal(2, 3), normal(2, 3)
    t, dt = torch.zeros(2, dtype=torch.float64), torch.tensor([0.4, 0.9], dtype=torch.float64)
    field = field_for(rule)
    nothing = rule.step(field, t, dt, x, torch.zeros_like(u), torch.zeros_like(u))
    torch.testing.assert_close(rule.step(field, t, dt, x, None), nothing, **CLOSE)
    torch.testing.assert_close(rule.step(field, t, dt, x, u), rule.step(field, t, dt, x, u, u), **LOOSE)


@every_rule
def test_gradients(kind: type[Discretization]):
    rule = small_rule(kind)
    x, u, before = normal(2, 3), normal(2, 3), normal(2, 3)
    dt, t = torch.tensor([0.4, 0.9], dtype=torch.float64), torch.zeros(2, dtype=torch.float64)

    def run(x: Tensor, u: Tensor, before: Tensor) -> Tensor:
        return rule.step(field_for(rule), t, dt, x, u, before)

    assert gradcheck(run, [part.requires_grad_() for part in (x, u, before)], rtol=1e-3, atol=1e-4)


@every_rule
def test_linear_rules_agree_with_their_matrices_for_every_structure(kind: type[Discretization]):
    rule = small_rule(kind)
    if not isinstance(rule, LinearDiscretization):
        return
    dt, (x, u, v) = torch.tensor([0.4, 0.9], dtype=torch.float64), normal(3, 2, 3)
    for A in (Diagonal(VALUES), Dense(torch.diag(VALUES))):
        parts = [None if part is None else part.dense() for part in rule.matrices(A, dt)]
        truth = sum(
            (part @ value.unsqueeze(-1)).squeeze(-1)
            for part, value in zip(parts, (x, v, u), strict=True)
            if part is not None
        )
        torch.testing.assert_close(rule.step(A, 0.0, dt, x, u, v), truth, **CLOSE)


@every_rule
def test_rules_are_values(kind: type[Discretization]):
    rule = small_rule(kind)
    assert rule == small_rule(kind) and hash(rule) == hash(small_rule(kind))
    assert repr(rule).startswith(kind.__name__)
    assert pickle.loads(pickle.dumps(rule)) == rule
