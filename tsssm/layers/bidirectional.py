"""Bidirectional: a layer run forwards and another run backwards."""

from __future__ import annotations

from torch import Tensor

from tsssm.grid import Grid
from tsssm.layers.base import Layer, Recipe


class Bidirectional(Layer):
    """Two layers of one recipe, one along time and one against it: y = forward(x) + backward(x).

    Backwards the gaps are shifted, not flipped: what lies before a row of the reversed series is what lay after it.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    layer : Recipe
        The layer to run in both directions.

    Notes
    -----
    Twice the cost of the layer. Not causal: it cannot stream.

    Examples
    --------
    >>> import torch
    >>> from tsssm.layers import S5, Bidirectional, Recipe
    >>> y, _ = Bidirectional(8, Recipe(S5))(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    causal = False

    def __init__(self, d_model: int, layer: Recipe):
        super().__init__()
        self.ahead, self.back = layer.build(d_model), layer.build(d_model)

    def forward(self, x: Tensor, grid: Grid, state: None = None) -> tuple[Tensor, None]:
        y, _ = self.ahead(x, grid)
        z, _ = self.back(x.flip(1), grid.reversed())
        return y + z.flip(1), None
