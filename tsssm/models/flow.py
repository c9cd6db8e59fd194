"""Flow: a density that can be sampled, learned by changes of variables."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Flow(nn.Module):
    """A density p(x | c) of x = f(u), u standard normal, f a chain of affine couplings.

    Each coupling keeps one half of the numbers and moves the other, ``x_b = u_b exp(s(u_a, c)) + t(u_a, c)``, so that
    ``log p(x | c) = log N(u) - sum s``.

    Parameters
    ----------
    size : int
        Numbers in x.
    given : int
        Numbers in c; may be 0.
    couplings : int, default 6
    width : int, default 64
        Size of the hidden layers of s and t.

    Notes
    -----
    It starts as the standard normal. O(couplings width (size + width)) for each x. Source: Dinh, Sohl-Dickstein and Bengio,
    2017, Density estimation using real NVP, equations 7 and 8; s is bounded by a tanh as in their section 3.

    Examples
    --------
    >>> import torch
    >>> Flow(4, 0).log_prob(torch.zeros(1, 4), torch.zeros(1, 0))
    tensor([-3.6758], grad_fn=<SubBackward0>)
    """

    def __init__(self, size: int, given: int, couplings: int = 6, width: int = 64):
        super().__init__()
        self.size = size
        self.nets = nn.ModuleList()
        orders = []
        generator = torch.Generator().manual_seed(0)
        for k in range(couplings):
            # halves that change from coupling to coupling mix all numbers
            order = torch.randperm(size, generator=generator) if k > 1 else torch.arange(size).roll(k * (size // 2))
            orders.append(order)
            kept = size // 2
            net = nn.Sequential(
                nn.Linear(kept + given, width),
                nn.GELU(),
                nn.Linear(width, width),
                nn.GELU(),
                nn.Linear(width, 2 * (size - kept)),
            )
            nn.init.zeros_(net[-1].weight)
            nn.init.zeros_(net[-1].bias)
            self.nets.append(net)
        self.register_buffer("orders", torch.stack(orders))
        self.register_buffer("inverses", self.orders.argsort(1), persistent=False)
        self.shift, self.log_scale = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.zeros(size))

    def forward(self, u: Tensor, given: Tensor) -> Tensor:
        """x (..., size) of standard normal u (..., size) and c (..., given)."""
        for net, order, inverse in zip(self.nets, self.orders, self.inverses, strict=True):
            kept, moved = u.index_select(-1, order).split([self.size // 2, self.size - self.size // 2], -1)
            log_scale, shift = self._coupling(net, kept, given)
            u = torch.cat([kept, moved * log_scale.exp() + shift], -1).index_select(-1, inverse)
        return u * self.log_scale.exp() + self.shift

    def log_prob(self, x: Tensor, given: Tensor) -> Tensor:
        """log p(x | c), (...)."""
        u, volume = (x - self.shift) * torch.exp(-self.log_scale), self.log_scale.sum()
        for net, order, inverse in zip(reversed(self.nets), self.orders.flip(0), self.inverses.flip(0), strict=True):
            kept, moved = u.index_select(-1, order).split([self.size // 2, self.size - self.size // 2], -1)
            log_scale, shift = self._coupling(net, kept, given)
            volume = volume + log_scale.sum(-1)
            u = torch.cat([kept, (moved - shift) * torch.exp(-log_scale)], -1).index_select(-1, inverse)
        return -0.5 * (u.square().sum(-1) + self.size * math.log(2 * math.pi)) - volume

    def _coupling(self, net: nn.Module, kept: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        told = torch.cat([kept, given.expand(*kept.shape[:-1], -1)], -1) if given.shape[-1] else kept
        raw, shift = net(told).chunk(2, -1)
        return 2 * torch.tanh(raw / 2), shift
