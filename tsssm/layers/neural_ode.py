"""NeuralODE: a network moves the state between samples."""

from __future__ import annotations

import torch
from torch import Tensor

from tsssm.layers.exponential import Affine, Exponential


class NeuralODE(Exponential):
    """Neural ordinary differential equation, ``x' = -a x + f(x, u, t)``, with a > 0 and f a bounded network.

    Steps are exponential: exact in the linear part, first order in the rest, stable at any gap.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 32
        Size of the state.
    width, depth : int, default 64 and 1
        Size and number of the hidden layers of f.
    timescale : tuple of float, default (0.01, 1.0)
        Range of the initial decay a of each state, per median gap.

    Raises
    ------
    ValueError
        If a size is too small or the range is none.

    Notes
    -----
    O(b l d_state width), row after row. |x| <= |x_1| + max |f| / a at all times.

    References
    ----------
    Chen et al., 2018, Neural ordinary differential equations; with an input as Kidger et al., 2020, equation 5. The
    exponential step is Hochbruck and Ostermann, 2010, equation 2.3.

    Examples
    --------
    >>> import torch
    >>> from tsssm.grid import Grid
    >>> from tsssm.layers import NeuralODE
    >>> y, state = NeuralODE(8)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 32,
        width: int = 64,
        depth: int = 1,
        timescale: tuple[float, float] = (0.01, 1.0),
    ):
        super().__init__(d_model, d_state, width, depth, timescale)

    def affine(self, gap: Tensor, clock: Tensor, noise: Tensor | None) -> Affine:
        passed = self.decay * gap
        return Affine(torch.exp(-passed), -torch.expm1(-passed) / self.decay, torch.zeros_like(passed))
