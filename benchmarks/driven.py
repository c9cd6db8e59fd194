"""The recursion under the neural SDE and ODE layers beside torchsde and torchdiffeq: results compared first.

One drift network -a x + f(x, u), its features u held over each step, 100 steps of length 1/16, and gradients to the features,
the network, the decay and the size of the noise. For the SDEs carry, weight and kick are those of Euler's step, so that all
compute the same numbers; the layers' own, exponential ones are other numbers for the same recursion. The geometric
equation is that of log z. The ODE takes its exponential step against four stages of rk4, another scheme, and is compared with the plain loop. "Whole layer"
does all the rest too: noise as a network of the clock, masks, carried states, readout.

python -m benchmarks.driven
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torchsde
from torch import Tensor, nn
from torchdiffeq import odeint

from benchmarks.report import made_with
from benchmarks.trajectories import AGREES, SERIES, STATE, WIDTH, Increments, difference
from tsssm.demo.page import Table
from tsssm.dynamics.driven import driven, driven_loop
from tsssm.dynamics.mlp_fields import MLPField
from tsssm.grid import Grid
from tsssm.layers import GeometricSDE, LangevinSDE, LinearNoiseSDE, NeuralODE

# a power of two, see benchmarks.trajectories; along 100 steps of length 1 gradients of the geometric equation explode
FEATURES, STEP = 16, 1 / 16
LAYERS = {"langevin": LangevinSDE, "linear noise": LinearNoiseSDE, "geometric": GeometricSDE, "ode": NeuralODE}


class Equation(nn.Module):
    """What torchsde and torchdiffeq ask for."""

    noise_type, sde_type = "diagonal", "ito"

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem

    def f(self, t: Tensor, x: Tensor) -> Tensor:
        of = self.problem
        # rk4 looks at the end of the last step too
        u = of.u[:, min(int(t / STEP), of.l - 1)]
        z = x.exp() if of.kind == "geometric" else x
        return of.network(torch.cat([z, u], -1)) - of.decay * x

    def g(self, t: Tensor, x: Tensor) -> Tensor:
        return self.problem.size * x if self.problem.kind == "linear noise" else self.problem.size.expand_as(x)

    forward = f


@dataclass
class Problem:
    """One kind of layer, and the gradient that comes back to its states."""

    kind: str
    l: int

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.drift = MLPField(STATE, FEATURES, WIDTH)
        first, last = self.drift.layers
        self.network = nn.Sequential(first, nn.Tanh(), last)
        self.decay, self.size = (
            torch.linspace(0.01, 0.9, STATE).requires_grad_(),
            torch.full((STATE,), 0.1).requires_grad_(),
        )
        self.u, self.x0 = torch.randn(SERIES, self.l, FEATURES, requires_grad=True), 0.1 * torch.randn(SERIES, STATE)
        self.grad, self.noise = torch.randn(2, SERIES, self.l, STATE)
        self.times = STEP * torch.arange(self.l + 1)
        self.equation = Equation(self)
        self.layer = LAYERS[self.kind](FEATURES, d_state=STATE, width=WIDTH)
        self.grid = Grid.regular(SERIES, self.l)

    def steps(self, given: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Carry, weight and kick, of Euler's step or, for the ODE, the exponential one."""
        one = torch.ones(1, 1, 1, STATE)
        if self.kind == "ode":
            passed = STEP * self.decay * one
            return torch.exp(-passed), -torch.expm1(-passed) / self.decay, 0 * one
        carry, weight = (1 - STEP * self.decay) * one, STEP * one
        noise = STEP**0.5 * self.size * (self.noise if given else torch.randn_like(self.noise)).unsqueeze(2)
        if self.kind == "linear noise":
            return carry + noise, weight, 0 * one
        return carry, weight, noise

    def ours(self, given: bool = False, run: Callable = driven) -> Tensor:
        return run(self.drift, *self.steps(given), self.u, self.x0.unsqueeze(1), self.kind == "geometric").squeeze(2)

    def loop(self, given: bool = False) -> Tensor:
        return self.ours(given, driven_loop)

    def peer(self, given: bool = False) -> Tensor:
        if self.kind == "ode":
            return odeint(self.equation, self.x0, self.times, method="rk4")[1:].transpose(0, 1)
        brownian = Increments(STEP**0.5 * self.noise.transpose(0, 1), STEP * self.l) if given else None
        states = torchsde.sdeint(self.equation, self.x0, self.times, bm=brownian, method="euler", dt=STEP)
        return states[1:].transpose(0, 1)

    def whole(self, given: bool = False) -> Tensor:
        return self.layer(self.u, self.grid)[0]

    def gradients(self, states: Tensor) -> list[Tensor]:
        wanted = [self.u, self.decay, self.size, *self.drift.parameters()]
        return [
            torch.zeros(1) if g is None else g
            for g in torch.autograd.grad(states, wanted, self.grad, allow_unused=True)
        ]


def compare(problem: Problem) -> dict[str, str]:
    """Differences from our recursion where the scheme is the same; raises where one is too large."""
    found, truth = {"ours": "", "peer": "other scheme", "whole": ""}, None
    for name in ("ours", "loop") if problem.kind == "ode" else ("ours", "loop", "peer"):
        states = getattr(problem, name)(given=True)
        results = [states.detach(), *problem.gradients(states)]
        truth = truth or results
        error = difference(results, truth)
        if not error < AGREES:
            raise ValueError(f"{problem.kind}, {name} differs by {error:.1e}")
        found[name] = f"{error:.0e}"
    return found


def measure(problem: Problem, repeats: int) -> dict[str, float]:
    """Median milliseconds of the process, forward and backward; all take turns."""
    spent: dict[str, list[float]] = {}
    for turn in range(repeats + 1):
        for name in ("ours", "loop", "peer", "whole"):
            start = time.process_time()
            getattr(problem, name)().backward(problem.grad)
            if turn:
                spent.setdefault(name, []).append(1000 * (time.process_time() - start))
    return {name: float(np.median(times)) for name, times in spent.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for kind, layer in LAYERS.items():
        problem = Problem(kind, arguments.steps)
        errors, times = compare(problem), measure(problem, arguments.repeats)
        names = {"ours": "recursion", "loop": "plain loop", "whole": "whole layer"}
        names["peer"] = "torchdiffeq odeint, rk4" if kind == "ode" else "torchsde sdeint, euler"
        rows += [
            (
                f"{layer.__name__}: {names[name]}",
                errors[name],
                f"{times[name]:.1f}",
                f"{times[name] / times['ours']:.1f}",
            )
            for name in ("ours", "loop", "peer", "whole")
        ]
    print(f"{SERIES} series, states of {STATE}, {arguments.steps} steps, one hidden layer of {WIDTH}, one thread\n")
    print(Table(("run", "difference", "forward + backward [ms]", "ratio"), rows).to_markdown() + "\n")
    print(made_with("benchmarks.driven"))


if __name__ == "__main__":
    main()
