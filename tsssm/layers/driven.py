"""Driven: layers whose state is moved by a network of itself and of the features, under noise or without."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tsssm.dynamics.driven import MOST_LOG, driven
from tsssm.dynamics.mlp_fields import MLPField
from tsssm.errors import explain
from tsssm.grid import Grid, held_gap, previous_active, time_since
from tsssm.layers.base import Layer

# normal numbers that answers are computed with: row i of a series takes those of place i modulo this
NOISES = 1024


class Carried(NamedTuple):
    """Where a run stands: state (b, p, n) at the last active row, time since (b,), clock and count of steps there (b,)."""

    x: Tensor
    seen: Tensor
    since: Tensor
    time: Tensor
    count: Tensor


class Steps(NamedTuple):
    """Each row's step from the last active row before it: its length and the clock at its start (b, l), its number in the
    series, whether it starts a series, and whether the state moves at all."""

    gap: Tensor
    time: Tensor
    count: Tensor
    starts: Tensor
    moves: Tensor


class Affine(NamedTuple):
    """A step in all but its drift, (b, l, p, n): x' = carry x + weight f + kick."""

    carry: Tensor
    weight: Tensor
    kick: Tensor


class Driven(Layer):
    """Base of the neural differential equations: a state x of size n that starts at ``W x_1 + b``, moves as the kind says,
    and is read as ``y = C x + D u``.

    The features of a row act over the gap before it. Rates are bounded by construction, so that no gap, however long,
    throws the state out.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int
        Size of the state.
    width, depth : int
        Size and number of the hidden layers of the drift.
    timescale : tuple of float
        Range of the initial decay rate of each state, per median gap.
    """

    slow: ClassVar[tuple[str, ...]] = ("log_decay",)
    log: ClassVar[bool] = False
    """Whether the state is the logarithm of what is read."""
    paths: int = 1
    """Sample paths whose mean is the answer outside of training."""

    def __init__(self, d_model: int, d_state: int, width: int, depth: int, timescale: tuple[float, float]):
        super().__init__()
        if not 0 < timescale[0] <= timescale[1]:
            raise ValueError(
                explain(
                    "`timescale` must be two rates with 0 < low <= high", f"{timescale} came", "Choose, say, (0.01, 1)"
                )
            )
        self.start = nn.Linear(d_model, d_state)
        self.drift = MLPField(d_state, d_model + 1, width, depth, "tanh")
        low, high = (math.log(bound) for bound in timescale)
        self.log_decay = nn.Parameter(low + (high - low) * torch.rand(d_state))
        self.C = nn.Parameter(torch.randn(d_model, d_state) / math.sqrt(d_state))
        self.D = nn.Parameter(torch.randn(d_model))

    @property
    def decay(self) -> Tensor:
        """Rate at which each state forgets, (n,), > 0, per median gap."""
        return self.log_decay.clamp(-14, 7).exp()

    @abstractmethod
    def affine(self, gap: Tensor, clock: Tensor, noise: Tensor | None) -> Affine:
        """All of a step but its drift.

        Parameters
        ----------
        gap : Tensor, (b, l, 1, 1)
            Length, >= 0.
        clock : Tensor, (b, l, 1, 1)
            log(1 + t) at its start.
        noise : Tensor, (b, l, p, n), or None
            Standard normal numbers, where the kind has noise.
        """

    def forward(self, x: Tensor, grid: Grid, state: Carried | None = None) -> tuple[Tensor, Carried]:
        steps = steps_of(grid, state)
        last = self._fresh(x) if state is None else state
        with torch.autocast(x.device.type, enabled=False):
            seen = x.to(self.D.dtype)
            states, features = self._run(seen, grid, steps, last)
            y = (states.clamp(max=MOST_LOG).exp() if self.log else states).mean(2) @ self.C.T
        return y + self.D * x, self._after(states, features, grid, steps, last, state)

    def _run(self, x: Tensor, grid: Grid, steps: Steps, last: Carried) -> tuple[Tensor, Tensor]:
        """States at all rows, those of silent ones read off, (b, l, p, n), and the features that act on each row."""
        clock = steps.time.log1p().unsqueeze(-1)
        index = previous_active(grid.reset, grid.active)
        x = _held(x, last.seen, index, grid) if grid.silent else x
        features = torch.cat([x, clock], -1)
        wide = (..., None, None)
        part = self.affine(steps.gap[wide], clock.unsqueeze(-1), self._noise(steps, last.x))
        moves, starts = (steps.moves & grid.active)[wide], steps.starts[wide]
        carry = torch.where(moves, part.carry, torch.where(starts | grid.reset[wide], 0.0, 1.0).to(part.carry))
        weight = torch.where(moves, part.weight, 0.0)
        kick = torch.where(moves, part.kick, torch.where(starts, self.start(x).unsqueeze(2), 0.0))
        states = driven(self.drift, carry, weight, kick, features, last.x, self.log)
        if grid.silent:
            # a silent row reads the state of the last active row moved on by its own gap; nothing reads it
            before = torch.cat([last.x.unsqueeze(1), states[:, :-1]], 1)
            reads = steps.moves & ~grid.active
            states = torch.where(reads[wide], self._moved(part, features, before), states)
        return states, features

    def _moved(self, part: Affine, features: Tensor, x: Tensor) -> Tensor:
        z = x.clamp(max=MOST_LOG).exp() if self.log else x
        beside = features.unsqueeze(2).expand(*x.shape[:-1], features.shape[-1])
        return part.carry * x + part.weight * self.drift(x, z, beside) + part.kick

    def _noise(self, steps: Steps, like: Tensor) -> Tensor | None:
        """Fresh noise in training; else the same for every series and call, so that an answer depends on nothing else."""
        if self.paths == 1:
            return None
        shape = (*steps.gap.shape, *like.shape[1:])
        if self.training:
            return torch.randn(shape, dtype=like.dtype, device=like.device)
        table = torch.randn(NOISES, *like.shape[1:], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        return table.to(like)[steps.count % NOISES]

    def _fresh(self, x: Tensor) -> Carried:
        b, n = len(x), self.drift.d_state
        zero = torch.zeros(b, dtype=torch.float64, device=x.device)
        state = self.D.new_zeros(b, 1 if self.training else self.paths, n)
        return Carried(state, self.D.new_zeros(b, x.shape[-1]), zero, zero, zero.long())

    def _after(
        self, states: Tensor, features: Tensor, grid: Grid, steps: Steps, last: Carried, state: Carried | None
    ) -> Carried:
        """What the next piece goes on from: all of it as it was at the last active row."""
        fresh = grid.reset.any(1)
        row = previous_active(*(torch.cat([m, torch.zeros_like(m[:, :1])], 1) for m in (grid.reset, grid.active)))[
            :, -1
        ]
        found, at = row >= 0, (torch.arange(len(row), device=row.device), row.clamp_min(0))

        def pick(here: Tensor, before: Tensor) -> Tensor:
            wide = (...,) + (None,) * (before.dim() - 1)
            return torch.where(found[wide], here[at], torch.where(fresh[wide], 0, before))

        moved = torch.where(steps.moves, steps.gap.double(), 0.0)
        since = time_since(grid.dt, grid.reset, grid.active, None if state is None else state.since)
        return Carried(
            pick(states, last.x),
            pick(features[..., :-1], last.seen),
            since,
            pick(steps.time.double() + moved, last.time),
            pick(steps.count + 1, last.count),
        )


def steps_of(grid: Grid, state: Carried | None) -> Steps:
    """What is known of each row's step before the features are."""
    since = None if state is None else state.since
    index = previous_active(grid.reset, grid.active)
    running = grid.reset.cumsum(1) == 0
    bare = torch.ones_like(grid.dt[:, 0], dtype=torch.bool) if since is None else since.signbit()
    known = (index >= 0) | (running & ~bare.unsqueeze(1))
    gap = held_gap(grid.dt, grid.reset, grid.active, since)
    # padding takes no time
    moves = known & grid.valid
    own = torch.where(moves & grid.active, gap.double(), 0.0)
    time = _since_start(own, grid) + (0 if state is None else torch.where(running, state.time.unsqueeze(1), 0.0))
    count = _since_start(grid.active.long(), grid) + (
        0 if state is None else torch.where(running, state.count.unsqueeze(1), 0)
    )
    return Steps(gap, time.to(gap.dtype), count, grid.active & grid.valid & ~known, moves)


def _since_start(own: Tensor, grid: Grid) -> Tensor:
    """Sum over the rows of the series before each row, (b, l)."""
    before = own.cumsum(1) - own
    rows = torch.arange(own.shape[1], device=own.device)
    start = torch.where(grid.reset, rows, 0).cummax(1).values
    return before - before.gather(1, start)


def _held(x: Tensor, before: Tensor, index: Tensor, grid: Grid) -> Tensor:
    """Features (b, l, d) of active rows, and at silent ones those of the last active row."""
    wide = (..., None)
    running = (grid.reset.cumsum(1) == 0)[wide]
    last = x.gather(1, index.clamp_min(0)[wide].expand_as(x))
    last = torch.where((index >= 0)[wide], last, torch.where(running, before.unsqueeze(1), 0.0))
    return torch.where(grid.active[wide], x, last)
