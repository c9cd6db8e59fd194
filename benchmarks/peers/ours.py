"""Our side: the only calls of this library that are timed, all of them public."""

from __future__ import annotations

import torch
from torch import Tensor

from tsssm.dynamics import Diagonal, ZeroOrderHold, evolve
from tsssm.grid import Grid
from tsssm.layers import S5


def scan(u: Tensor, dt: Tensor, rate: Tensor, C: Tensor, reset: Tensor | None = None) -> Tensor:
    """y_k = Re sum_n C_n x_k of x' = rate x + u, u (b, l, h) held over each gap dt (b, l)."""
    y, _ = evolve(Diagonal(rate), ZeroOrderHold(), dt, u.unsqueeze(-1), reset=reset, readout=C)
    return y


def s5_layer(size: tuple[int, int]) -> S5:
    """A layer of our own with `size` = (width, conjugate pairs), all of whose time scales are fast enough to matter."""
    torch.manual_seed(0)
    width, pairs = size
    return S5(width, d_state=2 * pairs, timescale=(0.01, 0.1))


def run_s5(layer: S5, u: Tensor, dt: Tensor, **weights: Tensor) -> Tensor:
    """The layer with other weights, so that gradients by them can be asked for."""
    y, _ = torch.func.functional_call(layer, weights, (u, Grid.from_gaps(dt)))
    return y
