"""Driven: layers whose state is moved by a network of itself and of the features, under noise or without."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tsssm.dynamics.driven import MOST_LOG
from tsssm.errors import explain
from tsssm.grid import Grid, held_gap, last_active, previous_active, time_since
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


class Driven(Layer):
    """Base of the neural differential equations: a state x of size n that starts at ``W u_1 + b``, moves as the kind says,
    and is read as ``y = C x + D u``.

    A kind gives `terms` of all steps at once, all that can be computed without the state, and `move`, one step.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int
        Size of the state.
    paths : int, default 1
        Sample paths whose mean is the answer outside of training, for kinds with noise.
    """

    log: ClassVar[bool] = False
    """Whether the state is the logarithm of what is read."""
    noisy: ClassVar[bool] = False
    """Whether steps draw normal numbers."""

    def __init__(self, d_model: int, d_state: int, paths: int = 1):
        super().__init__()
        if min(d_state, paths) < 1:
            raise ValueError(
                explain(
                    "`d_state` and `paths` must be at least 1", f"{d_state} and {paths} came", "Choose, say, 32 and 8"
                )
            )
        self.d_state, self.paths = d_state, paths
        self.start = nn.Linear(d_model, d_state)
        self.C = nn.Parameter(torch.randn(d_model, d_state) / math.sqrt(d_state))
        self.D = nn.Parameter(torch.randn(d_model))

    @abstractmethod
    def terms(self, u: Tensor, gap: Tensor, clock: Tensor, noise: Tensor | None) -> tuple[Tensor, ...]:
        """What each step needs beside the state, each (b, l, p, ...) or with 1 for p.

        Parameters
        ----------
        u : Tensor, (b, l, 1, d_model)
            Features that act over the step.
        gap, clock : Tensor, (b, l, 1, 1)
            Its length, >= 0 in median gaps, and log(1 + t) of the time t at its start.
        noise : Tensor, (b, l, p, n), or None
            Standard normal numbers, where the kind is noisy.
        """

    @abstractmethod
    def move(self, x: Tensor, *terms: Tensor) -> Tensor:
        """State (..., p, n) after the step with these terms."""

    def forward(self, x: Tensor, grid: Grid, state: Carried | None = None) -> tuple[Tensor, Carried]:
        steps = steps_of(grid, state)
        last = self.fresh(x) if state is None else state
        with torch.autocast(x.device.type, enabled=False):
            states, seen = self.paths_of(x.to(self.D.dtype), grid, steps, last)
            y = self.value(states).mean(2) @ self.C.T
        return y + self.D * x, self._after(states, seen, grid, steps, last, state)

    def paths_of(self, u: Tensor, grid: Grid, steps: Steps, last: Carried) -> tuple[Tensor, Tensor]:
        """States (b, l, p, n) at all rows, and the features (b, l, d_model) that act on each."""
        seen = _held(u, last.seen, grid) if grid.silent else u
        clock = steps.time.log1p().to(u.dtype)[..., None, None]
        noise = self._noise(steps, last.x) if self.noisy else None
        terms = self.terms(seen.unsqueeze(2), steps.gap[..., None, None], clock, noise)
        return self.run(terms, self.start(seen).unsqueeze(2), steps, grid, last.x), seen

    def fresh(self, x: Tensor) -> Carried:
        """What a run over features x (b, l, d_model) starts from."""
        b, n = len(x), self.d_state
        zero = torch.zeros(b, dtype=torch.float64, device=x.device)
        state = self.D.new_zeros(b, 1 if self.training else self.paths, n)
        return Carried(state, self.D.new_zeros(b, x.shape[-1]), zero, zero, zero.long())

    def run(self, terms: tuple[Tensor, ...], first: Tensor, steps: Steps, grid: Grid, x: Tensor) -> Tensor:
        """States at all rows, (b, l, p, n); a silent row reads that of the last active row moved on by its own gap."""
        return row_by_row(self.move, terms, first, steps, grid, x)

    def value(self, x: Tensor) -> Tensor:
        """What a state (..., n) stands for."""
        return x.clamp(max=MOST_LOG).exp() if self.log else x

    def _noise(self, steps: Steps, like: Tensor) -> Tensor | None:
        """Fresh noise in training; else the same for every series and call, so that an answer depends on nothing else."""
        shape = (*steps.gap.shape, *like.shape[1:])
        if self.training:
            return torch.randn(shape, dtype=like.dtype, device=like.device)
        table = torch.randn(NOISES, *like.shape[1:], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        return table.to(like)[steps.count % NOISES]

    def _after(
        self, states: Tensor, seen: Tensor, grid: Grid, steps: Steps, last: Carried, state: Carried | None
    ) -> Carried:
        """What the next piece goes on from: all of it as it was at the last active row."""
        fresh = grid.reset.any(1)
        row = last_active(grid.reset, grid.active)
        found, at = row >= 0, (torch.arange(len(row), device=row.device), row.clamp_min(0))

        def pick(here: Tensor, before: Tensor) -> Tensor:
            wide = (...,) + (None,) * (before.dim() - 1)
            return torch.where(found[wide], here[at], torch.where(fresh[wide], 0, before))

        moved = torch.where(steps.moves, steps.gap.double(), 0.0)
        since = time_since(grid.dt, grid.reset, grid.active, None if state is None else state.since)
        return Carried(
            pick(states, last.x),
            pick(seen, last.seen),
            since,
            pick(steps.time + moved, last.time),
            pick(steps.count + 1, last.count),
        )


def row_by_row(
    move: Callable[..., Tensor], terms: tuple[Tensor, ...], first: Tensor, steps: Steps, grid: Grid, x: Tensor
) -> Tensor:
    """States at all rows, (b, l, p, n), under ``move(x, *terms of the row)``; see `Driven.run`."""
    parts = zip(*(term.expand(*grid.dt.shape, *term.shape[2:]).unbind(1) for term in terms), strict=True)
    silent, states = steps.moves & ~grid.active, []
    masks = [_by_row(mask) for mask in (grid.reset & ~steps.starts, steps.starts, ~steps.moves, silent)]
    for part, begin, clears, starts, stays, asks in zip(parts, first.unbind(1), *masks, strict=True):
        x = _put(clears, 0.0, _put(starts, begin, x))
        here = _put(stays, x, move(x, *part))
        x = _put(asks, x, here)
        states.append(here)
    return torch.stack(states, 1)


def _by_row(mask: Tensor) -> list[Tensor | None]:
    """A mask (b, l) for each row, None where it is empty: most are, and the time goes into small operations."""
    rows = mask[..., None, None].unbind(1)
    return [row if any_here else None for row, any_here in zip(rows, mask.any(0).tolist(), strict=True)]


def _put(mask: Tensor | None, new: Tensor | float, x: Tensor) -> Tensor:
    return x if mask is None else torch.where(mask, new, x)


def steps_of(grid: Grid, state: Any) -> Steps:
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
    return Steps(gap, time, count, grid.active & grid.valid & ~known, moves)


def _since_start(own: Tensor, grid: Grid) -> Tensor:
    """Sum over the rows of the series before each row, (b, l)."""
    before = own.cumsum(1) - own
    rows = torch.arange(own.shape[1], device=own.device)
    start = torch.where(grid.reset, rows, 0).cummax(1).values
    return before - before.gather(1, start)


def _held(u: Tensor, carried: Tensor, grid: Grid) -> Tensor:
    """Features (b, l, d) that act on each row: its own, and those of the last active row where it is silent."""
    index = previous_active(grid.reset, grid.active).unsqueeze(-1)
    running = (grid.reset.cumsum(1) == 0).unsqueeze(-1)
    before = u.gather(1, index.clamp_min(0).expand_as(u))
    before = torch.where(index >= 0, before, torch.where(running, carried.unsqueeze(1), 0.0))
    return torch.where(grid.active.unsqueeze(-1), u, before)
