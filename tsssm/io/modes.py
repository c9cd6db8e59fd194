"""Cells of layers with diagonal matrices: real pairs instead of complex numbers, which ONNX does not have."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tsssm.dynamics import LinearDiscretization
from tsssm.io.along import Constants, Tensors, along, side_by_side
from tsssm.layers import LRU, S4D, S5, Selective


class Clock(NamedTuple):
    """Time since the active row before each row, (l, b) in float64, and which rows are active.

    `back` is the same of the rows read from the end, where a layer looks there.
    """

    gap: Tensor
    active: Tensor
    back: Tensor | None
    single: bool


class Cell(Constants):
    """A layer of all members in an exported graph: the `forward` of the layer on plain tensors, for whole series too."""

    sizes: tuple[tuple[int, ...], ...]
    """Shape of each tensor of the state of one member and one series; all are zero where a series starts."""

    @abstractmethod
    def forward(self, x: Tensor, clock: Clock, state: Tensors) -> tuple[Tensor, Tensors]:
        """Features (l, members, b, d) and the state (members, b, ...) to those after the rows."""


def expm1(a: Tensor) -> Tensor:
    """e^a - 1 for a not far above 0, by tanh: ONNX has no such operator, and exp(a) - 1 loses the digits of short gaps."""
    half = torch.tanh(a / 2)
    return 2 * half / (1 - half)


def growth(decay: Tensor, turns: Tensor, gap: Tensor, alpha: float | None) -> tuple[Tensor, Tensor]:
    """m = e^z - 1, or z / (1 - alpha z), as a pair; z = gap (decay + 2 pi i turns), with turns and gap in float64."""
    a = decay * gap.float()
    turned = turns * gap
    if alpha is not None:
        b = 2 * math.pi * turned.float()
        p, q = 1 - alpha * a, -alpha * b
        size = p * p + q * q
        return (a * p + b * q) / size, (b * p - a * q) / size
    # float32 would lose the phase after many turns
    half = math.pi * (turned - torch.round(turned)).float()
    grown, sine = expm1(a), torch.sin(half)
    twice = 2 * (grown + 1) * sine
    return grown - twice * sine, twice * torch.cos(half)


class Modes(Cell):
    """S5 and LRU: one state for all features, x = X + m (X + hold) + push, y = Re(C x) + D u."""

    def __init__(self, layers: Sequence[S5] | Sequence[LRU]):
        super().__init__()
        self.ring = isinstance(layers[0], LRU)
        self.rule = None if isinstance(layers[0], LRU) else layers[0].rule
        systems = [_of_lru(layer) if isinstance(layer, LRU) else _of_s5(layer) for layer in layers]
        rate, B, C = (torch.stack(part) for part in zip(*systems, strict=True))
        self.held, self.alpha = held_of(self.rule)
        # states in units of 1 / rate, as in the scans: no difference of near numbers
        B = B / rate.unsqueeze(-1) if self.held else B
        self.keep("decay", rate.real.unsqueeze(1))
        self.keep("turns", rate.imag.unsqueeze(1) / (2 * math.pi), torch.float64)
        self.keep("into", torch.cat([B.real, B.imag], 1).mT)
        self.keep("out", torch.cat([C.real, -C.imag], 2).mT)
        self.keep("through", side_by_side([layer.D for layer in layers]).unsqueeze(1))
        self.sizes = (tuple(rate.shape[1:]),) * 2

    def forward(self, x: Tensor, clock: Clock, state: Tensors) -> tuple[Tensor, Tensors]:
        u = x @ self.into
        gap = clock.gap.unsqueeze(1).unsqueeze(-1)
        if self.ring:
            power = -expm1(2 * self.decay * gap.float().clamp_min(0))
            u = u * power.clamp_min(0).sqrt().repeat(1, 1, 1, 2)
        elif not self.held:
            u = self.rule.modal(gap.float(), u, u).inputs
        u = torch.where(clock.active.unsqueeze(1).unsqueeze(-1), u, 0.0)
        state, (re, im) = along(self._row, state, (clock.gap, clock.active, *u.chunk(2, -1)), clock.single)
        return torch.cat([re, im], -1) @ self.out + self.through * x, state

    def _row(self, carry: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
        (re, im), (gap, active, u, v) = carry, row
        m, n = growth(self.decay, self.turns, gap.unsqueeze(-1), self.alpha)
        p, q = re + u, im + v
        a, b = (p, q) if self.held else (re, im)
        moved = (
            (re + (m * a - n * b), im + (m * b + n * a)) if self.held else (p + (m * a - n * b), q + (m * b + n * a))
        )
        on = active.unsqueeze(-1)
        return (torch.where(on, moved[0], re), torch.where(on, moved[1], im)), moved


def held_of(rule: LinearDiscretization | None) -> tuple[bool, float | None]:
    """Whether a rule holds its inputs, and its alpha; None pushes."""
    if rule is None:
        return False, None
    one = torch.ones(1)
    _, held, alpha = rule.modal(one, one, one)
    return held, alpha


def _of_s5(layer: S5) -> Tensors:
    """Rates (n,), B (n, d) and C (d, n), in complex128."""
    layer = layer.double()
    step = layer.log_timescale.clamp(-14, 4.6).exp()
    rate = torch.complex(-layer.log_decay.exp(), layer.frequency) * step
    return rate, torch.view_as_complex(layer.B) * step.unsqueeze(-1), 2 * torch.view_as_complex(layer.C)


def _of_lru(layer: LRU) -> Tensors:
    layer = layer.double()
    rate = torch.complex(-layer.log_decay.exp(), layer.log_frequency.exp())
    return rate, torch.view_as_complex(layer.B), torch.view_as_complex(layer.C)


class FeatureModes(Cell):
    """S4D: a state for each feature, read out row by row, so that the states of a series are never all in memory."""

    def __init__(self, layers: Sequence[S4D]):
        super().__init__()
        self.rule = layers[0].rule
        self.held, self.alpha = held_of(self.rule)
        systems = [self._system(layer.double()) for layer in layers]
        rate, C = (torch.stack(part) for part in zip(*systems, strict=True))
        C = C / rate if self.held else C
        self.keep("decay", rate.real.unsqueeze(1))
        self.keep("turns", rate.imag.unsqueeze(1) / (2 * math.pi), torch.float64)
        self.keep("real", C.real.unsqueeze(1))
        self.keep("imaginary", C.imag.unsqueeze(1))
        self.keep("through", side_by_side([layer.D for layer in layers]).unsqueeze(1))
        self.sizes = (tuple(rate.shape[1:]),) * 2

    @staticmethod
    def _system(layer: S4D) -> tuple[Tensor, Tensor]:
        step = layer.log_timescale.clamp(-14, 4.6).exp().unsqueeze(-1)
        rate = torch.complex(-layer.log_decay.exp(), layer.frequency) * step
        return rate, 2 * torch.view_as_complex(layer.C) * step

    def forward(self, x: Tensor, clock: Clock, state: Tensors) -> tuple[Tensor, Tensors]:
        u = x if self.held else self.rule.modal(clock.gap.float().unsqueeze(1).unsqueeze(-1), x, x).inputs
        u = torch.where(clock.active.unsqueeze(1).unsqueeze(-1), u, 0.0)
        state, (y,) = along(self._row, state, (clock.gap, clock.active, u), clock.single)
        return y + self.through * x, state

    def _row(self, carry: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
        (re, im), (gap, active, u) = carry, row
        m, n = growth(self.decay, self.turns, gap.unsqueeze(-1).unsqueeze(-1), self.alpha)
        fed = re + u.unsqueeze(-1)
        a, b = fed if self.held else re, im
        moved, turned = (re if self.held else fed) + (m * a - n * b), im + (m * b + n * a)
        on = active.unsqueeze(-1).unsqueeze(-1)
        y = (self.real * moved - self.imaginary * turned).sum(-1)
        return (torch.where(on, moved, re), torch.where(on, turned, im)), (y,)


class SelectiveCell(Cell):
    """Selective: real rates, with the steps, inputs and readouts of each row."""

    def __init__(self, layers: Sequence[Selective]):
        super().__init__()
        first = layers[0]
        self.rule, self.gaps = first.rule, first.gaps
        self.held, self.alpha = held_of(self.rule)
        layers = [layer.double() for layer in layers]
        rate = -side_by_side([layer.log_decay for layer in layers]).clamp(-14, 14).exp()
        self.parts = [len(first.step_in), first.d_state, first.d_state]
        self.keep("rate", rate.unsqueeze(1))
        self.keep("weight", (1 / rate if self.held else torch.ones_like(rate)).unsqueeze(1))
        self.keep("into", side_by_side([torch.cat([layer.step_in, *layer.maps()]).T for layer in layers]))
        self.keep("step_out", side_by_side([layer.step_out.T for layer in layers]))
        self.keep("step_bias", side_by_side([layer.step_bias for layer in layers]).unsqueeze(1))
        self.keep("through", side_by_side([layer.D for layer in layers]).unsqueeze(1))
        self.sizes = (tuple(rate.shape[1:]),)

    def forward(self, x: Tensor, clock: Clock, state: Tensors) -> tuple[Tensor, Tensors]:
        low, B, C = (x @ self.into).split(self.parts, -1)
        gap = clock.gap.float().unsqueeze(1).unsqueeze(-1)
        wish = low @ self.step_out + self.step_bias
        if self.gaps == "scale":
            step = softplus(wish) * gap
        else:
            step = softplus(wish + gap.clamp_min(torch.finfo(gap.dtype).tiny).log())
        u = x if self.held else self.rule.modal(step, x, x).inputs
        u = torch.where(clock.active.unsqueeze(1).unsqueeze(-1), u, 0.0)
        state, (y,) = along(self._row, state, (clock.active, step, u, B, C), clock.single)
        return y + self.through * x, state

    def _row(self, carry: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
        (X,), (active, step, u, B, C) = carry, row
        z = self.rate * step.unsqueeze(-1)
        m = expm1(z) if self.alpha is None else z / (1 - self.alpha * z)
        fed = X + u.unsqueeze(-1) * B.unsqueeze(-2)
        moved = X + m * fed if self.held else fed + m * X
        y = (C.unsqueeze(-2) * self.weight * moved).sum(-1)
        return (torch.where(active.unsqueeze(-1).unsqueeze(-1), moved, X),), (y,)
