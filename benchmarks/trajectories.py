"""Neural SDEs and ODEs along fixed steps beside torchsde and torchdiffeq: same field, results compared first.

python -m benchmarks.trajectories
python -m benchmarks.trajectories --steps 64 --repeats 9
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torchsde
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

from benchmarks.report import made_with
from tsssm.demo.page import Table
from tsssm.dynamics.mlp_fields import MLPField, NoisyMLP
from tsssm.dynamics.solvers import RK4, EulerMaruyama
from tsssm.dynamics.trajectories import trajectory, trajectory_loop

SERIES, STATE, WIDTH = 128, 16, 64
AGREES = 1e-4
"""Largest difference in float32, relative to the largest number, of values and gradients."""


class Increments(torchsde.BaseBrownian):
    """A Brownian motion on [0, length] whose increments (l, b, n) over equal steps are known."""

    def __init__(self, steps: Tensor, length: float = 1.0) -> None:
        super().__init__()
        self.steps, self.length = steps, length

    def __call__(self, ta: Tensor, tb: Tensor, return_U: bool = False, return_A: bool = False) -> Tensor:
        first, last = (round(float(abs(t)) / self.length * len(self.steps)) for t in (ta, tb))
        # the adjoint asks for it in reverse
        return self.steps[first:last].sum(0) if first <= last else -self.steps[last:first].sum(0)

    def __repr__(self) -> str:
        return "Increments"

    dtype = property(lambda self: self.steps.dtype)
    device = property(lambda self: self.steps.device)
    shape = property(lambda self: self.steps.shape[1:])
    levy_area_approximation = "none"


class Equation(nn.Module):
    """What torchsde and torchdiffeq ask for, without anything that would slow them down."""

    noise_type, sde_type = "diagonal", "ito"

    def __init__(self, field: NoisyMLP) -> None:
        super().__init__()
        self.field = field
        first, last = field.drift.layers
        self.network = nn.Sequential(first, nn.Tanh(), last)

    def f(self, t: Tensor, x: Tensor) -> Tensor:
        return self.network(x)

    def g(self, t: Tensor, x: Tensor) -> Tensor:
        return self.field.diffusion(t, x, None)

    forward = f


@dataclass
class Problem:
    """States wanted after each of l equal steps over one unit of time, and the gradient that comes back."""

    l: int

    def __post_init__(self) -> None:
        torch.manual_seed(self.l)
        self.field = NoisyMLP(MLPField(STATE, width=WIDTH), "linear", size=0.3)
        self.equation = Equation(self.field)
        self.x0, self.grad = torch.randn(SERIES, STATE), torch.randn(SERIES, self.l, STATE)
        self.noise = torch.randn(SERIES, self.l, STATE)
        # steps that are powers of two: with others torchsde takes an extra one, for its times round
        self.dt, self.times = torch.full((SERIES, self.l), 1 / self.l), torch.linspace(0, 1, self.l + 1)
        self.increments = Increments((self.noise / self.l**0.5).transpose(0, 1).contiguous())

    def sde(self, run: Callable = trajectory, given: bool = False) -> Tensor:
        return run(self.field, EulerMaruyama(), self.dt, self.x0, noise=self.noise if given else None)

    def torchsde(self, given: bool = False, integrate: Callable = torchsde.sdeint, **options: str) -> Tensor:
        brownian = self.increments if given else None
        states = integrate(self.equation, self.x0, self.times, bm=brownian, method="euler", dt=1 / self.l, **options)
        return states[1:].transpose(0, 1)

    def ode(self, run: Callable = trajectory, given: bool = False) -> Tensor:
        return run(self.field.drift, RK4(), self.dt, self.x0)

    def torchdiffeq(self, given: bool = False, integrate: Callable = odeint) -> Tensor:
        return integrate(self.equation, self.x0, self.times, method="rk4")[1:].transpose(0, 1)

    def gradients(self, states: Tensor) -> list[Tensor]:
        weights = list(self.field.parameters())
        found = torch.autograd.grad(states, weights, self.grad, allow_unused=True)
        return [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]


Candidate = Callable[..., Tensor]


def candidates(problem: Problem) -> list[tuple[str, Candidate, bool]]:
    """Name, run and whether its gradients are those of the discrete steps; the fast form before its peers."""
    adjoint = torchsde.sdeint_adjoint
    return [
        ("SDE: tsssm trajectory", problem.sde, True),
        ("SDE: tsssm step by step", lambda given=False: problem.sde(trajectory_loop, given), True),
        ("SDE: torchsde sdeint, euler", problem.torchsde, True),
        ("SDE: torchsde sdeint_adjoint, euler", lambda given=False: problem.torchsde(given, adjoint), False),
        (
            "SDE: torchsde sdeint_adjoint, euler both ways",
            lambda given=False: problem.torchsde(given, adjoint, adjoint_method="euler"),
            False,
        ),
        ("ODE: tsssm trajectory", problem.ode, True),
        ("ODE: tsssm step by step", lambda given=False: problem.ode(trajectory_loop), True),
        ("ODE: torchdiffeq odeint, rk4", problem.torchdiffeq, True),
        (
            "ODE: torchdiffeq odeint_adjoint, rk4",
            lambda given=False: problem.torchdiffeq(integrate=odeint_adjoint),
            False,
        ),
    ]


def difference(found: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    """Largest difference relative to the largest number of each tensor."""
    return max(float((a - b).abs().max() / b.abs().max().clamp_min(1e-9)) for a, b in zip(found, truth, strict=True))


def compare(problem: Problem) -> dict[str, float]:
    """Difference of each candidate from the first of its kind; raises where it is too large."""
    found, truth = {}, {}
    for name, run, discrete in candidates(problem):
        states = run(given=True)
        results = [states.detach(), *(problem.gradients(states) if discrete else ())]
        reference = truth.setdefault(name[:3], results)
        found[name] = difference(results, reference[: len(results)])
        if found[name] > AGREES:
            raise ValueError(f"{name} differs by {found[name]:.1e}")
    return found


def measure(problem: Problem, repeats: int) -> dict[str, float]:
    """Median milliseconds of forward and backward; the candidates take turns, so that a busy machine is so for all.

    The clock is that of the process, which has one thread.
    """
    spent: dict[str, list[float]] = {}
    for turn in range(repeats + 1):
        for name, run, _ in candidates(problem):
            start = time.process_time()
            run().backward(problem.grad)
            if turn:
                spent.setdefault(name, []).append(1000 * (time.process_time() - start))
            problem.field.zero_grad(set_to_none=True)
    return {name: float(np.median(times)) for name, times in spent.items()}


def main() -> None:
    """Print one table for each number of steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for l in arguments.steps:
        problem = Problem(l)
        differences, times = compare(problem), measure(problem, arguments.repeats)
        ours = {kind: times[f"{kind}: tsssm trajectory"] for kind in ("SDE", "ODE")}
        rows = [
            (name, f"{differences[name]:.0e}", f"{times[name]:.1f}", f"{times[name] / ours[name[:3]]:.1f}")
            for name in times
        ]
        print(f"{SERIES} series, states of {STATE}, {l} steps, one hidden layer of {WIDTH}, one thread\n")
        print(Table(("run", "difference", "forward + backward [ms]", "ratio"), rows).to_markdown() + "\n")
    print(made_with("benchmarks.trajectories"))


if __name__ == "__main__":
    main()
