"""BoundedSDE: stable neural SDEs in the form of their released code, to compare with published scores."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from tsssm.dynamics.mlp_fields import MLPField
from tsssm.errors import explain
from tsssm.layers.driven import Driven
from tsssm.layers.noise import Size, root


class BoundedSDE(Driven):
    """Neural SDE whose drift and noise pass through tanh, ``dx = tanh(f) dt + tanh(c h) dW``, in Euler-Maruyama steps.

    f is a network of (x, u, t), for geometric noise times tanh x; h is a network of t cut off below 0, for linear and
    geometric noise times x; c is a number in (0, 1). Close to 0 this is like the equation of the name, farther out it is
    not: signs are not kept, and nothing pulls the state back.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    noise : "additive", "linear" or "geometric", default "linear"
        Which equation: `LangevinSDE`, `LinearNoiseSDE` or `GeometricSDE` in their bounded form.
    d_state : int, default 32
        Size of the state.
    width, depth : int, default 64 and 1
        Size and number of the hidden layers of f.
    paths : int, default 8
        Sample paths whose mean is the answer outside of training, always the same ones; in training one is drawn.

    Raises
    ------
    ValueError
        If the noise is unknown or a size too small.

    Notes
    -----
    O(b l paths d_state width), row after row. A state moves by at most h a step of length h, beside the noise.

    References
    ----------
    Oh, Lim and Kim, 2024 (arXiv 2402.14989): not the equations of the paper, but what its released program computes.

    Examples
    --------
    >>> import torch
    >>> from tsssm.grid import Grid
    >>> from tsssm.layers import BoundedSDE
    >>> y, state = BoundedSDE(8, noise="additive")(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    noisy = True

    def __init__(
        self,
        d_model: int,
        noise: Literal["additive", "linear", "geometric"] = "linear",
        d_state: int = 32,
        width: int = 64,
        depth: int = 1,
        paths: int = 8,
    ):
        super().__init__(d_model, d_state, paths)
        if noise not in ("additive", "linear", "geometric"):
            raise ValueError(
                explain("`noise` must be additive, linear or geometric", f"{noise!r} came", "Choose one of the three")
            )
        self.noise = noise
        self.drift = MLPField(d_state, d_model + 1, width, depth, "tanh")
        self.size = Size(d_state, 0.1)
        self.share = nn.Parameter(torch.ones(()))

    def terms(self, u: Tensor, gap: Tensor, clock: Tensor, noise: Tensor | None) -> tuple[Tensor, ...]:
        size = torch.sigmoid(self.share) * torch.relu(self.size(clock))
        return self.drift.ahead(torch.cat([u, clock], -1)), gap, size, root(gap.clamp_min(0)) * noise

    def move(self, x: Tensor, ahead: Tensor, gap: Tensor, size: Tensor, kick: Tensor) -> Tensor:
        f = self.drift.beside(ahead, x)
        drift = torch.tanh(f * torch.tanh(x) if self.noise == "geometric" else f)
        noise = torch.tanh(size if self.noise == "additive" else size * x)
        return torch.addcmul(torch.addcmul(x, gap, drift), kick, noise)
