"""Exponential: layers that decay by themselves and are driven by a bounded network, in exponential steps."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from tsssm.dynamics.driven import driven
from tsssm.dynamics.mlp_fields import MLPField
from tsssm.errors import explain
from tsssm.grid import Grid
from tsssm.layers.driven import Driven, Steps


class Affine(NamedTuple):
    """A step in all but its drift, (b, l, p, n): x' = carry x + weight f + kick."""

    carry: Tensor
    weight: Tensor
    kick: Tensor


class Exponential(Driven):
    """Base of the kinds ``dx = a (f(x, u) - x) dt + noise``, with a > 0 and f a network of tanh units, so bounded.

    f does not see the time: with log(1 + t) beside u, values dropped cost two points more (benchmarks/README.md), and records
    longer than those fitted to are new to it. The features of a row act over the gap before it. Exponential steps are exact in the linear part, so no gap, however
    long, throws the state out.

    Parameters
    ----------
    d_model, d_state, paths : int
        See `Driven`.
    width, depth : int
        Size and number of the hidden layers of f.
    timescale : tuple of float
        Range of the initial decay rate a of each state, per median gap.
    """

    slow: ClassVar[tuple[str, ...]] = ("log_decay",)

    def __init__(
        self, d_model: int, d_state: int, width: int, depth: int, timescale: tuple[float, float], paths: int = 1
    ):
        super().__init__(d_model, d_state, paths)
        if not 0 < timescale[0] <= timescale[1]:
            raise ValueError(
                explain(
                    "`timescale` must be two rates with 0 < low <= high", f"{timescale} came", "Choose, say, (0.01, 1)"
                )
            )
        self.drift = MLPField(d_state, d_model, width, depth, "tanh")
        low, high = (math.log(bound) for bound in timescale)
        self.log_decay = torch.nn.Parameter(low + (high - low) * torch.rand(d_state))

    @property
    def decay(self) -> Tensor:
        """Rate a at which each state forgets, (n,), per median gap."""
        return rates(self.log_decay)

    @abstractmethod
    def affine(self, gap: Tensor, clock: Tensor, noise: Tensor | None) -> Affine:
        """All of a step but its drift; arguments as in `terms`."""

    def terms(self, u: Tensor, gap: Tensor, clock: Tensor, noise: Tensor | None) -> tuple[Tensor, ...]:
        return *self.affine(gap, clock, noise), u

    def move(self, x: Tensor, carry: Tensor, weight: Tensor, kick: Tensor, features: Tensor) -> Tensor:
        beside = features.expand(*x.shape[:-1], features.shape[-1])
        return carry * x + weight * self.drift(x, self.value(x), beside) + kick

    def run(self, terms: tuple[Tensor, ...], first: Tensor, steps: Steps, grid: Grid, x: Tensor) -> Tensor:
        carry, weight, kick, features = terms
        if grid.single and not grid.silent and grid.dt.shape[1] > 1:
            # the first row is the start: no masks, which take as long as the recursion
            begin = first[:, 0].expand_as(x)
            later = (part[:, 1:] for part in (carry, weight, kick, features.squeeze(2)))
            return torch.cat([begin.unsqueeze(1), driven(self.drift, *later, begin, self.log)], 1)
        wide = (..., None, None)
        moves, starts = (steps.moves & grid.active)[wide], steps.starts[wide]
        states = driven(
            self.drift,
            torch.where(moves, carry, torch.where(starts | grid.reset[wide], 0.0, 1.0).to(carry)),
            torch.where(moves, weight, 0.0),
            torch.where(moves, kick, torch.where(starts, first, 0.0)),
            features.squeeze(2),
            x,
            self.log,
        )
        if not grid.silent:
            return states
        reads = (steps.moves & ~grid.active)[wide]
        before = torch.cat([x.unsqueeze(1), states[:, :-1]], 1)
        return torch.where(reads, self.move(before, *terms), states)


def rates(log_decay: Tensor) -> Tensor:
    """Rates of which these are the logarithms, kept from 0 and infinity."""
    return log_decay.clamp(-14, 7).exp()
