"""The small GRUs that judge generated series, several trained side by side."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class Recurrent(nn.Module):
    """GRUs of r repeats, each with weights of its own: inputs (r, b, l, d) to outputs (r, b, l).

    ``u, g = sigmoid(W [x, h] + b)``, ``c = tanh(V [x, g h] + a)``, ``h' = u h + (1 - u) c``, then a linear map to one number
    (or `outputs` numbers).

    Parameters
    ----------
    repeats : int
    inputs, width, outputs : int
        Channels d, size of h, numbers given for each row.
    generator : torch.Generator
        Of the first weights.

    Notes
    -----
    The cell and its first weights (Glorot's uniform ones, 1 for the biases of the gates) are those of TensorFlow 1's
    `GRUCell`, in which the protocol of TimeGAN is written; torch's own GRU multiplies by the gate after the product.
    """

    def __init__(self, repeats: int, inputs: int, width: int, outputs: int, generator: torch.Generator):
        super().__init__()

        def glorot(rows: int, columns: int) -> nn.Parameter:
            bound = math.sqrt(6 / (rows + columns))
            return nn.Parameter((2 * torch.rand(repeats, rows, columns, generator=generator) - 1) * bound)

        self.inputs, self.width = inputs, width
        self.gates, self.candidate = glorot(inputs + width, 2 * width), glorot(inputs + width, width)
        self.readout = glorot(width, outputs)
        self.gate_bias = nn.Parameter(torch.ones(repeats, 1, 2 * width))
        self.candidate_bias = nn.Parameter(torch.zeros(repeats, 1, width))
        self.readout_bias = nn.Parameter(torch.zeros(repeats, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """States (r, b, l, width) along the rows."""
        return torch.stack(self.steps(x), 1).permute(0, 3, 1, 2)

    def steps(self, x: Tensor) -> list[Tensor]:
        """The state (r, width, b) at each row: with the batch last, products of matrices this small are several times faster."""
        r, b, l, d = x.shape
        flat = x.permute(0, 3, 2, 1).reshape(r, d, l * b)
        gates = torch.baddbmm(self.gate_bias.mT, self.gates[:, :d].mT, flat).view(r, -1, l, b).unbind(2)
        candidates = torch.baddbmm(self.candidate_bias.mT, self.candidate[:, :d].mT, flat).view(r, -1, l, b).unbind(2)
        W, V = self.gates[:, d:].mT.contiguous(), self.candidate[:, d:].mT.contiguous()
        h, states = x.new_zeros(r, self.width, b), []
        for gate, candidate in zip(gates, candidates, strict=True):
            reset, update = torch.sigmoid(torch.baddbmm(gate, W, h)).chunk(2, 1)
            h = torch.lerp(torch.tanh(torch.baddbmm(candidate, V, reset * h)), h, update)
            states.append(h)
        return states

    def read(self, states: Tensor) -> Tensor:
        """Answers (r, b, ..., outputs) of states (r, b, ..., width)."""
        flat = states.flatten(1, -2)
        return torch.baddbmm(self.readout_bias, flat, self.readout).view(*states.shape[:-1], -1)


def train(network: Recurrent, steps: int, loss: Callable[[], Tensor]) -> None:
    """Minimise a loss that is a sum over repeats, by Adam at its usual rate of 0.001."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()


class Draws:
    """Batches (r, b, l, c) of series (n, l, c) drawn at random, each repeat with its own numbers.

    Parameters
    ----------
    series : Tensor, (n, l, c)
    members : ndarray of int, (r, m)
        Series that each repeat may draw.
    size : int
        b.
    rng : Generator
    """

    def __init__(self, series: Tensor, members: np.ndarray, size: int, rng: np.random.Generator):
        self.series, self.members, self.rng = series, members, rng
        self.size = min(size, members.shape[1])

    def __call__(self) -> Tensor:
        picked = [own[self.rng.integers(0, len(own), self.size)] for own in self.members]
        return self.series[torch.from_numpy(np.stack(picked))]


def logits(network: Recurrent, x: Tensor) -> Tensor:
    """One number (r, b) for each series (r, b, l, c), read off the last state."""
    return network.read(network.steps(x)[-1].mT).squeeze(-1)


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """Sum over repeats of the mean cross-entropy of real series from generated ones, logits (r, b)."""
    return functional.softplus(-real).mean(1).sum() + functional.softplus(fake).mean(1).sum()
