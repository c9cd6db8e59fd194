"""Noise of neural SDEs: how large it is at each time, and what it adds to a step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# units for a function of one number: 64 of them took a third of a pass through a layer
HIDDEN = 8


class Size(nn.Module):
    """A network of the clock, nearly constant at the start: how large the noise is, before it is made positive.

    Parameters
    ----------
    d_state : int
        Numbers to give.
    level : float
        What it gives at the start.
    """

    def __init__(self, d_state: int, level: float):
        super().__init__()
        self.hidden, self.out = nn.Linear(1, HIDDEN), nn.Linear(HIDDEN, d_state)
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.constant_(self.out.bias, level)

    def forward(self, clock: Tensor) -> Tensor:
        """(..., 1) to (..., n)."""
        return self.out(torch.tanh(self.hidden(clock)))


def root(x: Tensor) -> Tensor:
    """Square root whose derivative at 0 is 0: steps of no length must not turn gradients into NaN."""
    moves = x > 0
    return torch.where(moves, x, 1.0).sqrt() * moves
