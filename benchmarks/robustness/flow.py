"""Flow: the observed values themselves as the state of an SDE, which is integrated from the last ones to the times asked."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

Noise = Literal["none", "additive", "linear"]


class Last(NamedTuple):
    """What a forecast starts from: values of the last row (b, c), slopes to it from the rows before, gaps, lateness (b,).

    `gaps` (b, 2) are those of the two slopes, in steps, and `late` is how many steps ago the last row was seen.
    """

    value: Tensor
    slope: Tensor
    earlier: Tensor
    gaps: Tensor
    late: Tensor


class Flow(nn.Module):
    """State (x, v) of values and their changes a step: ``x' = x + v'`` and ``v' = v + A (x, v) + f(x, v) + s dW``.

    Beside the noise this is a recursion of one step, learned from errors of forecasts of many: the residual to the last
    value, and to the last slope, is what the network answers. v starts at the last slope, corrected by a network that sees
    how old it is.

    Parameters
    ----------
    scale : Tensor, (2, c)
        Centre and spread of the values.
    pace : Tensor, (c,)
        Spread of their changes a step, in spreads of the values.
    noise : "none", "additive" or "linear"
        An ODE; the noise of the Langevin SDE, which does not see the state; or that in proportion to v.
    """

    def __init__(self, scale: Tensor, pace: Tensor, noise: Noise, width: int = 128, dropout: float = 0.1):
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("pace", pace)
        c = len(pace)
        self.noise = noise
        self.linear = nn.Linear(2 * c, c)
        self.net = network(2 * c, width, c, dropout)
        self.first = network(3 * c + 2, width, c, dropout)
        self.level = nn.Parameter(torch.full((c,), -2.0))
        for last in (self.linear, self.net[-1], self.first[-1]):
            with torch.no_grad():
                last.weight.mul_(0.1)
                last.bias.zero_()

    def forward(self, last: Last, steps: int) -> Tensor:
        """Values at the next steps, (b, steps, c); noise is drawn anew in training, and is absent otherwise."""
        x = (last.value - self.scale[0]) / self.scale[1]
        unit = self.scale[1] * self.pace
        v, earlier = (slope / unit for slope in (last.slope, last.earlier))
        v = v + self.first(torch.cat([x, v, earlier, last.gaps.log1p()], -1))
        late, out = int(last.late.max()), []
        for step in range(-late, steps):
            moves = (step >= -last.late).unsqueeze(-1)
            after = self.step(x, v)
            v = torch.where(moves, after, v)
            x = torch.where(moves, x + self.pace * after, x)
            if step >= 0:
                out.append(x)
        return torch.stack(out, 1) * self.scale[1] + self.scale[0]

    def step(self, x: Tensor, v: Tensor) -> Tensor:
        """The changes after one step."""
        seen = torch.cat([x, v], -1)
        after = v + self.linear(seen) + self.net(seen)
        if self.noise == "none" or not self.training:
            return after
        size = functional.softplus(self.level)
        return after + size * torch.randn_like(v) * (v if self.noise == "linear" else 1.0)


def network(n_in: int, width: int, n_out: int, dropout: float) -> nn.Sequential:
    """Two hidden layers."""
    hidden = [nn.Linear(n_in, width), nn.SiLU(), nn.Dropout(dropout)]
    return nn.Sequential(*hidden, nn.Linear(width, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, n_out))
