"""MixtureChain: a density of vectors, told number by number."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# a mixture is inverted between these many spreads from its outermost means, by this many halvings
REACH, HALVINGS = 9.0, 45
# log spreads of the parts, beside a scale for each number
NARROWEST, WIDEST = -7.0, 3.0


class MixtureChain(nn.Module):
    """A density ``p(x | c) = prod_i p(x_i | x_1 ... x_{i-1}, c)`` whose factors are mixtures of normals, told by one network.

    Starts of paths lie near curves and in clumps, where a smooth map of a normal vector leaves bridges between them; a
    mixture need not.

    Parameters
    ----------
    size : int
        Numbers in x.
    given : int
        Numbers in c; may be 0.
    width : int, default 128
        Size of the two hidden layers.
    parts : int, default 8
        Normals in each mixture.

    Notes
    -----
    A density costs one pass of the network, O(width (size + width + size parts)); a draw takes one for each number, without
    the answers for all others, O(size width (size + width + parts)). Source:
    Uria, Murray and Larochelle, 2013, RNADE: the real-valued neural autoregressive density-estimator, equations 2 and 9, with
    the masks of Germain, Gregor, Murray and Larochelle, 2015, MADE: masked autoencoder for distribution estimation, section 4.

    Examples
    --------
    >>> import torch
    >>> chain = MixtureChain(4, 0)
    >>> chain(torch.zeros(3, 4), torch.zeros(3, 0)).shape, chain.log_prob(torch.zeros(3, 4), torch.zeros(3, 0)).shape
    (torch.Size([3, 4]), torch.Size([3]))
    """

    def __init__(self, size: int, given: int, width: int = 128, parts: int = 8):
        super().__init__()
        self.size, self.parts = size, parts
        number = torch.arange(size)
        # what a hidden unit of this kind has seen: numbers before `seen`, all of c
        seen = torch.arange(width) % size
        first = torch.cat([seen[:, None] > number, torch.ones(width, given, dtype=torch.bool)], 1)
        last = (number[:, None] >= seen).repeat_interleave(3 * parts, 0)
        self.first = Masked(first)
        self.second = Masked(seen[:, None] >= seen)
        self.last = Masked(last)
        with torch.no_grad():
            self.last.weight.zero_()
            bias = self.last.bias.view(size, parts, 3)
            bias[..., 0], bias[..., 1], bias[..., 2] = 0.0, torch.linspace(-1.5, 1.5, parts), -0.5
        self.shift, self.log_scale = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.zeros(size))

    def mixtures(self, y: Tensor, given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights, means and log spreads (..., size, parts) of scaled numbers y (..., size), each told by those before."""
        return self._read(self.last(self._hidden(y, given)), self.size)

    def mixture(self, i: int, y: Tensor, given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `mixtures` gives for number i alone, (..., parts)."""
        own = slice(3 * self.parts * i, 3 * self.parts * (i + 1))
        raw = functional.linear(self._hidden(y, given), (self.last.weight * self.last.mask)[own], self.last.bias[own])
        return tuple(part.squeeze(-2) for part in self._read(raw, 1))

    def _hidden(self, y: Tensor, given: Tensor) -> Tensor:
        hidden = self.first(torch.cat([y, given.expand(*y.shape[:-1], -1)], -1))
        return functional.gelu(hidden + self.second(functional.gelu(hidden)))

    def _read(self, raw: Tensor, numbers: int) -> tuple[Tensor, Tensor, Tensor]:
        log_weight, mean, log_spread = raw.unflatten(-1, (numbers, self.parts, 3)).unbind(-1)
        return log_weight.log_softmax(-1), mean, log_spread.clamp(NARROWEST, WIDEST)

    def log_prob(self, x: Tensor, given: Tensor) -> Tensor:
        """log p(x | c), (...), of x (..., size) and c (..., given)."""
        y = (x - self.shift) * torch.exp(-self.log_scale)
        log_weight, mean, log_spread = self.mixtures(y, given)
        off = (y.unsqueeze(-1) - mean) * torch.exp(-log_spread)
        parts = log_weight - 0.5 * off.square() - log_spread - 0.5 * math.log(2 * math.pi)
        return parts.logsumexp(-1).sum(-1) - self.log_scale.sum()

    @torch.no_grad()
    def forward(self, u: Tensor, given: Tensor) -> Tensor:
        """x (..., size) drawn by standard normal u (..., size): each number is that quantile of its mixture."""
        level, y = torch.special.ndtr(u), torch.zeros_like(u)
        for i in range(self.size):
            log_weight, mean, log_spread = self.mixture(i, y, given)
            y[..., i] = _quantile(level[..., i], log_weight.exp(), mean, log_spread.exp())
        return y * self.log_scale.exp() + self.shift


class Masked(nn.Linear):
    """A linear map whose output j hears input i where ``mask[j, i]``."""

    def __init__(self, mask: Tensor):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight * self.mask, self.bias)


def _quantile(level: Tensor, weight: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """Where mixtures of normals (..., parts) reach a level (...) between 0 and 1."""
    low, high = (mean - REACH * spread).amin(-1), (mean + REACH * spread).amax(-1)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        below = (weight * torch.special.ndtr((middle.unsqueeze(-1) - mean) / spread)).sum(-1) < level
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return 0.5 * (low + high)
