"""Beside: a layer, and beside it another one whose output no norm bounds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tsssm.grid import Grid
from tsssm.layers.base import Layer, Recipe


class Beside(Layer):
    """Sum of two layers from the same features, y = layer(x) + W straight(x), where W is small at first.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    layer : Recipe
        Say a `Stack` without norms, which would make its output forget how large its input is.
    straight : Recipe
        Say an `S5`: linear in its input at any size.

    Notes
    -----
    The cost of both.

    Examples
    --------
    >>> import torch
    >>> from tsssm.layers import S5, Beside, Recipe, Stack
    >>> layer = Beside(8, Recipe(Stack, layer=Recipe(S5)), Recipe(S5))
    >>> layer(torch.randn(2, 5, 8), Grid.regular(2, 5))[0].shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, d_model: int, layer: Recipe, straight: Recipe):
        super().__init__()
        self.layer, self.straight = layer.build(d_model), straight.build(d_model)
        self.gain = nn.Linear(d_model, d_model, bias=False)
        with torch.no_grad():
            # slow modes add up many rows: at full size they would drown the other layer
            self.gain.weight.mul_(0.01)
        self.causal = self.layer.causal and self.straight.causal

    def forward(self, x: Tensor, grid: Grid, state: tuple | None = None) -> tuple[Tensor, tuple[Any, Any]]:
        own, other = state or (None, None)
        y, own = self.layer(x, grid, own)
        z, other = self.straight(x, grid, other)
        return y + self.gain(z), (own, other)
