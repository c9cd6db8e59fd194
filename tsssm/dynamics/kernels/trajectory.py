"""Whole trajectories of a network, forward and backward: in torch operations with all but the recursion done at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tsssm.dynamics.mlp_fields import ACTIVATIONS

# numbers of a piece of the backward pass, which holds all activations of its rows: 32 MB a copy
NUMBERS_AT_ONCE = 1 << 22


class Chain(NamedTuple):
    """A Runge-Kutta method whose stages look at the one before them only.

    Stage s evaluates the field at ``x + h lead[s] k[s-1]``, ``nodes[s]`` into the step; then ``x' = x + h sum share[s] k[s]``.
    """

    lead: tuple[float, ...]
    share: tuple[float, ...]
    nodes: tuple[float, ...]


class Run(NamedTuple):
    """What a trajectory is, beside its numbers: the method, which of the given features each stage sees, the
    activation of the network, and whether the noise is multiplied by the state."""

    chain: Chain
    place: tuple[int, ...]
    activation: str
    linear: bool = False


class Numbers(NamedTuple):
    """Tensors of a trajectory of l steps: x' = x + h sum share k + root size normal, this times x if noise is linear.

    Attributes
    ----------
    x0 : Tensor, (b, d)
    dt : Tensor, (b, l)
    normals : Tensor, (b, l, d), or None for no noise
    root : Tensor, (b, l), or None
        Roots of the steps.
    size : Tensor, (b, l, d) or (d,), or None
    features : Tensor, (b, l, p, m), or None
        What the network sees beside the state, at p places of a step.
    weights : sequence of Tensor
        Matrix (out, in) and bias (out) of each layer.
    """

    x0: Tensor
    dt: Tensor
    normals: Tensor | None
    root: Tensor | None
    size: Tensor | None
    features: Tensor | None
    weights: Sequence[Tensor]

    @property
    def kick(self) -> Tensor | None:
        """What the noise adds, or multiplies the state by: (b, l, d)."""
        if self.normals is None or self.root is None or self.size is None:
            return None
        return self.root.unsqueeze(-1) * self.size * self.normals


class Wanted(NamedTuple):
    """Which gradients are wanted of those that cost something: all others always come."""

    dt: bool
    features: bool
    normals: bool


class Gradients(NamedTuple):
    """Gradients by the fields of `Numbers`; None where there is no tensor or nobody asked."""

    x0: Tensor
    dt: Tensor | None
    normals: Tensor | None
    root: Tensor | None
    size: Tensor | None
    features: Tensor | None
    weights: Sequence[Tensor]


def forward(run: Run, numbers: Numbers) -> Tensor:
    """States (b, l, d) after each step; differentiable as it stands, one small operation after another.

    The features' part of the first layer comes before the loop, for all steps in one product.
    """
    x, dt, features, kick = numbers.x0, numbers.dt, numbers.features, numbers.kick
    matrix, bias, *rest = numbers.weights
    d, l = x.shape[-1], dt.shape[1]
    gaps = dt.unsqueeze(-1).unbind(1)
    kicks = (None,) * l if kick is None else kick.unbind(1)
    drives: Sequence[Sequence[Tensor]] = ((bias,),) * l
    if features is not None:
        drives = [part.unbind(0) for part in functional.linear(_by_step(features), matrix[:, d:], bias).unbind(0)]
    from_state = matrix[:, :d].T
    states = []
    for h, kick_k, drive in zip(gaps, kicks, drives, strict=True):
        total = rate = x
        for s, (lead, share) in enumerate(zip(run.chain.lead, run.chain.share, strict=True)):
            z = torch.addcmul(x, h, rate, value=lead) if s else x
            rate = _upper(run, torch.addmm(drive[run.place[s]], z, from_state), rest)
            total = torch.addcmul(total, h, rate, value=share)
        if kick_k is not None:
            total = torch.addcmul(total, kick_k, x) if run.linear else total + kick_k
        x = total
        states.append(x)
    return torch.stack(states, 1) if states else dt.new_empty(len(dt), 0, d)


def backward(run: Run, numbers: Numbers, states: Tensor, grad: Tensor, wanted: Wanted) -> Gradients:
    """Gradients from those of the states, without anything kept but the states.

    Given the states, the network is evaluated at all steps of a piece at once; then the adjoint runs back through the
    steps, two small products for each layer and stage; then the gradients of the weights are one product for each
    layer and stage.
    """
    x0, weights = numbers.x0, numbers.weights
    b, l, _ = states.shape
    before = torch.cat([x0.unsqueeze(1), states[:, :-1]], 1)[:, :l]
    each = b * len(run.chain.lead) * sum(len(bias) for bias in weights[1::2])
    at_once = max(1, NUMBERS_AT_ONCE // max(1, each))
    sums = [torch.zeros_like(weight) for weight in weights]
    adjoint, pieces = torch.zeros_like(x0), []
    for start in reversed(range(0, l, at_once)):
        rows = slice(start, start + at_once)
        timed = None if numbers.size is None or numbers.size.dim() == 1 else numbers.size[:, rows]
        normals, root, features = (
            None if part is None else part[:, rows] for part in (numbers.normals, numbers.root, numbers.features)
        )
        size = numbers.size if timed is None else timed
        piece = _Piece(run, Numbers(before[:, rows], numbers.dt[:, rows], normals, root, size, features, weights))
        adjoint, after = piece.sweep(adjoint, grad[:, rows])
        piece.add_weights(sums)
        to_dt = piece.to_dt(after) if wanted.dt else None
        pieces.append((to_dt, *piece.to_noise(after), piece.to_features(wanted.features)))
    to_dt, to_normals, to_root, to_size, to_features = (_joined(parts) for parts in zip(*reversed(pieces), strict=True))
    if to_size is not None and numbers.size is not None:
        to_size = to_size.sum_to_size(numbers.size.shape)
    return Gradients(adjoint, to_dt, to_normals, to_root, to_size, to_features, sums)


class _Piece:
    """Some steps of a trajectory, on tensors with steps first: the network at all of them, and the way back."""

    def __init__(self, run: Run, numbers: Numbers) -> None:
        self.run, self.numbers, self.weights, self.d = run, numbers, numbers.weights, numbers.x0.shape[-1]
        self.before, self.gap = numbers.x0.transpose(0, 1), numbers.dt.T.unsqueeze(-1)
        kick = numbers.kick
        self.kick = None if kick is None else kick.transpose(0, 1)
        features = None if numbers.features is None else _by_step(numbers.features)
        self.inputs: list[list[Tensor]] = []
        self.slopes: list[list[Tensor]] = []
        self.rates: list[Tensor] = []
        for s, lead in enumerate(run.chain.lead):
            z = torch.addcmul(self.before, self.gap, self.rates[-1], value=lead) if s else self.before
            self._evaluate(z if features is None else torch.cat([z, features[:, run.place[s]]], -1))

    def _evaluate(self, z: Tensor) -> None:
        inputs, slopes = [z], []
        for matrix, bias in zip(self.weights[:-2:2], self.weights[1:-2:2], strict=True):
            z, slope = _activate(self.run.activation, functional.linear(z, matrix, bias))
            inputs.append(z)
            slopes.append(slope)
        self.inputs.append(inputs)
        self.slopes.append(slopes)
        self.rates.append(functional.linear(z, *self.weights[-2:]))

    def sweep(self, adjoint: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Adjoint before the piece, and those after each of its steps; what enters each layer is kept in `back`."""
        lead, share, _ = self.run.chain
        stages, matrices = range(len(lead)), self.weights[::2]
        to_state = matrices[0][:, : self.d]
        slopes = [[slope.unbind(0) for slope in stage] for stage in self.slopes]
        back: list[list[list[Tensor]]] = [[[] for _ in matrices] for _ in stages]
        after = []
        rows = list(zip(self.gap, grad.transpose(0, 1), range(len(self.gap)), strict=True))
        for h, grad_k, k in reversed(rows):
            adjoint = adjoint + grad_k
            after.append(adjoint)
            total, later = adjoint, None
            for s in reversed(stages):
                flow = h * (share[s] * adjoint if later is None else share[s] * adjoint + lead[s + 1] * later)
                back[s][-1].append(flow)
                for i in range(len(matrices) - 1, 0, -1):
                    flow = torch.mm(flow, matrices[i]) * slopes[s][i - 1][k]
                    back[s][i - 1].append(flow)
                later = torch.mm(flow, to_state)
                total = total + later
            adjoint = torch.addcmul(total, adjoint, self.kick[k]) if self.run.linear else total
        self.back = [[torch.stack(layer[::-1]) for layer in stage] for stage in back]
        return adjoint, torch.stack(after[::-1])

    def add_weights(self, sums: list[Tensor]) -> None:
        """Add the gradients of the weights to `sums`."""
        for inputs, back in zip(self.inputs, self.back, strict=True):
            for i, (z, flow) in enumerate(zip(inputs, back, strict=True)):
                flow = flow.flatten(0, 1)
                sums[2 * i].addmm_(flow.T, z.flatten(0, 1))
                sums[2 * i + 1].add_(flow.sum(0))

    def to_dt(self, after: Tensor) -> Tensor:
        lead, share, _ = self.run.chain
        total = sum(weight * (after * rate).sum(-1) for weight, rate in zip(share, self.rates, strict=True))
        for s in range(1, len(lead)):
            to_stage = self.back[s][0] @ self.weights[0][:, : self.d]
            total = total + lead[s] * (to_stage * self.rates[s - 1]).sum(-1)
        return total.T

    def to_noise(self, after: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        _, _, normals, root, size, *_ = self.numbers
        if normals is None or root is None or size is None:
            return None, None, None
        flow = (after * self.before if self.run.linear else after).transpose(0, 1)
        root = root.unsqueeze(-1)
        return flow * root * size, (flow * size * normals).sum(-1), flow * root * normals

    def to_features(self, wanted: bool) -> Tensor | None:
        if not wanted:
            return None
        places: list[Tensor | int] = [0] * (1 + max(self.run.place))
        for place, back in zip(self.run.place, self.back, strict=True):
            places[place] = places[place] + back[0] @ self.weights[0][:, self.d :]
        return torch.stack(places, 1).permute(2, 0, 1, 3)


def _by_step(features: Tensor) -> Tensor:
    return features.permute(1, 2, 0, 3)


def _upper(run: Run, z: Tensor, rest: Sequence[Tensor]) -> Tensor:
    """What the layers above the first make of its output."""
    for matrix, bias in zip(rest[::2], rest[1::2], strict=True):
        z = torch.addmm(bias, ACTIVATIONS[run.activation](z), matrix.T)
    return z


def _activate(name: str, z: Tensor) -> tuple[Tensor, Tensor]:
    """Activation and its slope."""
    if name == "tanh":
        y = z.tanh()
        return y, 1 - y * y
    if name == "silu":
        s = z.sigmoid()
        y = z * s
        return y, s + y * (1 - s)
    return z.relu(), (z > 0).to(z.dtype)


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    return None if parts[0] is None else torch.cat([part for part in parts if part is not None], 1)
