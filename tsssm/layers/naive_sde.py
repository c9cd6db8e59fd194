"""NaiveSDE: the neural SDE without control or restraint, which the stable ones are measured by."""

from __future__ import annotations

import torch
from torch import Tensor

from tsssm.dynamics.mlp_fields import MLPField
from tsssm.layers.driven import Driven
from tsssm.layers.noise import root


class NaiveSDE(Driven):
    """Neural SDE ``dx = f(x, t) dt + g(x, t) dW`` that starts at the first sample and sees no other.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 32
        Size of the state.
    width, depth : int, default 64 and 1
        Size and number of the hidden layers of f and g.
    paths : int, default 8
        Sample paths whose mean is the answer outside of training, always the same ones; in training one is drawn.

    Raises
    ------
    ValueError
        If a size is too small.

    Notes
    -----
    Euler-Maruyama steps, O(b l paths d_state width), row after row. A control row for tables: what came after the first
    sample reaches the output of its own row only.

    References
    ----------
    The neural SDE without stable form of Oh, Lim and Kim, 2024 (arXiv 2402.14989), section 3.1.

    Examples
    --------
    >>> import torch
    >>> from tsssm.grid import Grid
    >>> from tsssm.layers import NaiveSDE
    >>> y, state = NaiveSDE(8)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    noisy = True

    def __init__(self, d_model: int, d_state: int = 32, width: int = 64, depth: int = 1, paths: int = 8):
        super().__init__(d_model, d_state, paths)
        self.drift = MLPField(d_state, 1, width, depth, "tanh")
        self.size = MLPField(d_state, 1, width, depth, "tanh")

    def terms(self, u: Tensor, gap: Tensor, clock: Tensor, noise: Tensor | None) -> tuple[Tensor, ...]:
        return self.drift.ahead(clock), self.size.ahead(clock), gap, root(gap.clamp_min(0)) * noise

    def move(self, x: Tensor, to_drift: Tensor, to_size: Tensor, gap: Tensor, kick: Tensor) -> Tensor:
        drift, noise = self.drift.beside(to_drift, x), torch.tanh(self.size.beside(to_size, x))
        return torch.addcmul(torch.addcmul(x, gap, drift), kick, noise)
