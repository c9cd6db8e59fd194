"""The work that is timed, its float64 truth, and how far a result is from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

Function = Callable[..., Tensor]
Results = dict[str, Tensor]
"""y, and the gradient of sum(weight * y) by each part of a problem that is differentiated."""


class Size(NamedTuple):
    """Series, rows of each, channels, states of each channel."""

    b: int
    l: int
    h: int
    n: int

    def __str__(self) -> str:
        return "x".join(map(str, self))


@dataclass(frozen=True, eq=False)
class Problem:
    """Arguments of a function of tensors, and a weight for its value.

    Attributes
    ----------
    parts : dict of str to Tensor
        Arguments by name; those in `batched` have the series as first axis.
    weight : Tensor
        Gradient of the loss by y.
    batched, fixed : set of str
        Names of arguments with a first axis of series, and of those that are not differentiated.
    """

    parts: dict[str, Tensor]
    weight: Tensor
    batched: frozenset[str] = frozenset({"u", "dt"})
    fixed: frozenset[str] = field(default_factory=frozenset)

    @property
    def wanted(self) -> list[str]:
        """Names of the arguments that are differentiated."""
        return [name for name in self.parts if name not in self.fixed]

    def series(self, start: int, stop: int) -> Problem:
        """Some of the series, with copies of what belongs to them."""
        parts = {name: part[start:stop].clone() if name in self.batched else part for name, part in self.parts.items()}
        return Problem(parts, self.weight[start:stop].clone(), self.batched, self.fixed)

    def head(self, rows: int) -> Problem:
        """The first rows of the first series: enough to start up what starts at its first use."""
        parts = {name: part[:1, :rows].clone() if name in self.batched else part for name, part in self.parts.items()}
        return Problem(parts, self.weight[:1, :rows].clone(), self.batched, self.fixed)

    def double(self) -> Problem:
        """The same numbers in float64 and complex128; masks stay as they are."""
        parts = {
            name: part if part.dtype == torch.bool else part.to(torch.promote_types(part.dtype, torch.float64))
            for name, part in self.parts.items()
        }
        return Problem(parts, self.weight.double(), self.batched, self.fixed)


@dataclass(frozen=True, eq=False)
class Truth:
    """Results of each series on its own, so that those of any first few of them are known."""

    each: list[Results]
    batched: frozenset[str]

    def first(self, series: int) -> Results:
        """The results of a problem of the first few series."""
        names = {"y", *self.batched}
        return {
            name: torch.cat(parts) if name in names else torch.stack(parts).sum(0)
            for name in self.each[0]
            for parts in [[results[name] for results in self.each[:series]]]
        }


def truth_of(function: Function, problem: Problem, series: int) -> Truth:
    """Run a plain loop in float64 on the first few series, one after another."""
    each = [evaluate(function, problem.series(i, i + 1).double()) for i in range(series)]
    return Truth(each, problem.batched)


def evaluate(function: Function, problem: Problem) -> Results:
    """Value and gradients by autograd."""
    leaves = {name: problem.parts[name].detach().clone().requires_grad_() for name in problem.wanted}
    y = function(**{**problem.parts, **leaves})
    gradients = torch.autograd.grad(y, list(leaves.values()), problem.weight)
    return {"y": y.detach(), **dict(zip(leaves, gradients, strict=True))}


def errors(results: Results, truth: Results) -> dict[str, float]:
    """Norm of the difference over the norm of the truth, for each result."""
    return {name: float((results[name] - true).norm() / true.norm()) for name, true in truth.items()}


def scan_problem(size: Size, unique: int | None = None, fixed: frozenset[str] = frozenset(), seed: int = 0) -> Problem:
    """S4D-Lin states with steps between 0.001 and 0.1, on exponential gaps of mean 1 or on few different ones.

    Parameters
    ----------
    size : Size
    unique : int, optional
        Number of different gaps, 1 for an even grid; exponential gaps if not given.
    fixed : set of str
        See `Problem`.
    seed : int
    """
    draw = torch.Generator().manual_seed(seed)
    b, l, h, n = size
    step = torch.empty(h, 1).uniform_(math.log(0.001), math.log(0.1), generator=draw).exp()
    frequency = math.pi * torch.arange(n).repeat(h, 1) * (1 + 0.05 * torch.rand(h, n, generator=draw))
    rate = torch.complex(torch.full((h, n), -0.5) * step, frequency * step)
    # C of unit size with the step in it, as layers have it: the gain of x' = rate x + u is 1 / rate
    C = 2 * torch.randn(h, n, dtype=torch.complex64, generator=draw) * step
    if unique is None:
        dt = torch.empty(b, l).exponential_(1.0, generator=draw)
    else:
        dt = torch.randint(1, unique + 1, (b, l), generator=draw) / ((unique + 1) / 2)
    u, weight = (torch.randn(b, l, h, generator=draw) for _ in range(2))
    return Problem({"u": u, "dt": dt, "rate": rate, "C": C}, weight, fixed=fixed)


def python_loop(u: Tensor, dt: Tensor, rate: Tensor, C: Tensor) -> Tensor:
    """x_k = a x_{k-1} + (a - 1) / rate u_k with a = exp(rate dt_k); y_k = Re sum_n C_n x_k: one row after another."""
    x = torch.zeros_like(rate).expand(len(u), *rate.shape)
    gain = 1 / rate
    ys = []
    # a slice a row would make the backward pass quadratic in the length
    for u_k, gap in zip(u.unbind(1), dt.unbind(1), strict=True):
        a = torch.exp(rate * gap[:, None, None])
        x = a * x + (a - 1) * gain * u_k[..., None]
        ys.append((C * x).sum(-1).real)
    return torch.stack(ys, 1)


class Runner(NamedTuple):
    """A problem made ready for one implementation: what is timed, and how its answer is read."""

    forward: Callable[[], Any]
    both: Callable[[], Any]
    results: Callable[[Any], Results]


Maker = Callable[[Problem], Runner]


def with_autograd(function: Function) -> Maker:
    """Give the maker of runners of a function of torch tensors."""

    def make(problem: Problem) -> Runner:
        def forward() -> Tensor:
            with torch.no_grad():
                return function(**problem.parts)

        return Runner(forward, lambda: evaluate(function, problem), lambda results: results)

    return make
