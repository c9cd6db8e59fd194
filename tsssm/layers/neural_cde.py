"""NeuralCDE: a network says how the state follows every move of the features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsssm.dynamics.mlp_fields import MLPField
from tsssm.layers.driven import Driven


class NeuralCDE(Driven):
    """Neural controlled differential equation, ``dx = tanh(F(x)) dX``, along the features X = (log time passed, P u).

    Between samples the path is straight; each gap is one step of the midpoint rule over the increment of X.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 32
        Size of the state.
    d_path : int, default 8
        Channels of the path beside time, linear maps of the features.
    width, depth : int, default 64 and 1
        Size and number of the hidden layers of F.

    Raises
    ------
    ValueError
        If a size is too small.

    Notes
    -----
    O(b l width (width + d_state d_path)), row after row. Rates are bounded, so that |x| grows by at most the length of
    the path, in which a gap h counts as log(1 + h).

    References
    ----------
    Kidger et al., 2020, Neural controlled differential equations for irregular time series (arXiv 2005.08926), equation
    4. The path is linear and not a natural cubic spline, which would look ahead.

    Examples
    --------
    >>> import torch
    >>> from tsssm.grid import Grid
    >>> from tsssm.layers import NeuralCDE
    >>> y, state = NeuralCDE(8)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, d_model: int, d_state: int = 32, d_path: int = 8, width: int = 64, depth: int = 1):
        super().__init__(d_model, d_state)
        self.project = nn.Linear(d_model, d_path, bias=False)
        self.hidden = MLPField(d_state, 0, width, depth, "tanh")
        self.out = nn.Linear(d_state, d_state * (d_path + 1))

    def terms(self, u: Tensor, before: Tensor, gap: Tensor, clock: Tensor, noise: Tensor | None) -> tuple[Tensor, ...]:
        return (torch.cat([gap.clamp_min(0).log1p(), self.project(u - before)], -1),)

    def move(self, x: Tensor, increment: Tensor) -> Tensor:
        return x + self._rate(x + self._rate(x, increment) / 2, increment)

    def _rate(self, x: Tensor, increment: Tensor) -> Tensor:
        matrix = torch.tanh(self.out(torch.tanh(self.hidden(x, x, None)))).unflatten(-1, (self.d_state, -1))
        return (matrix @ increment.unsqueeze(-1)).squeeze(-1)
