"""LSSL: a state space with a dense trainable matrix, the reference member of the family."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from tsssm.dynamics import Dense, GeneralizedBilinear, LinearDiscretization, State
from tsssm.dynamics.channels import evolve_channels
from tsssm.dynamics.hippo import legs
from tsssm.grid import Grid
from tsssm.layers.base import Layer


class LSSL(Layer):
    """State space layer with a dense matrix, x' = s (A x + B u), y = C x + D u, that starts as HiPPO-LegS.

    Features share A and B and have their own step s and output C. A = W - W^T - S S^T learns every entry.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 32
        Number of states of each feature.
    rule : LinearDiscretization, default GeneralizedBilinear(0.5)
        How a gap is crossed; another weight of `GeneralizedBilinear` gives the other members of the paper's family.
    timescale : tuple of float, default (0.001, 0.1)
        Range of the initial step s of each feature, as a share of the median gap.

    Notes
    -----
    Even grids are an FFT convolution, O(d_model (n^3 log l + n l)) for the kernel. Others solve one dense system for
    each distinct gap of the batch and each feature, O(n^3), and then take O(b l d_model n^2): meant for small states, and
    to compare the others with. A + A^T = -2 S S^T has no positive eigenvalue, so that A has none right of the imaginary
    axis, whatever is learned, and no step of the bilinear rule makes a state longer.

    References
    ----------
    Gu, Johnson, Goel, Saab, Dao, Rudra, Re, 2021, Combining Recurrent, Convolutional, and Continuous-time Models with
    Linear State-Space Layers (LSSL), equations 1 to 5 and section 4.

    Examples
    --------
    >>> import torch
    >>> from tsssm.layers import LSSL
    >>> y, state = LSSL(8, d_state=16)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    slow: ClassVar[tuple[str, ...]] = ("W", "S", "B", "log_timescale")

    def __init__(
        self,
        d_model: int,
        d_state: int = 32,
        rule: LinearDiscretization = GeneralizedBilinear(0.5),
        timescale: tuple[float, float] = (0.001, 0.1),
    ):
        super().__init__()
        self.d_state, self.rule = d_state, rule
        A, B = legs(d_state)
        # A = (A - A^T) / 2 + (A + A^T) / 2, and LegS has -(A + A^T) = I + 2 P P^T, which is positive
        self.W = nn.Parameter((A / 2).float())
        self.S = nn.Parameter(torch.linalg.cholesky(-(A + A.mT) / 2).contiguous().float())
        self.B = nn.Parameter(B.float())
        low, high = (math.log(bound) for bound in timescale)
        self.log_timescale = nn.Parameter(low + (high - low) * torch.rand(d_model))
        self.C = nn.Parameter(torch.randn(d_model, d_state))
        self.D = nn.Parameter(torch.randn(d_model))

    def matrix(self) -> Dense:
        """A of each feature, in 1 / median gap: (d_model, d_state, d_state)."""
        with torch.autocast(self.S.device.type, enabled=False):
            A = self.W - self.W.mT - self.S @ self.S.mT
        return Dense(A).affine(self.log_timescale.clamp(-14, 4.6).exp())

    def forward(self, x: Tensor, grid: Grid, state: State | None = None) -> tuple[Tensor, State]:
        A, step = self.matrix(), self.log_timescale.clamp(-14, 4.6).exp()
        u, active = grid.quiet(x)
        # in mixed precision features come in half: the dynamics need the precision of their parameters
        u = u.to(self.D.dtype)
        B = self.B * step.unsqueeze(-1)
        y, state = evolve_channels(A, B, self.C, self.rule, grid.dt, u, state, grid.reset, active)
        return y + self.D * x, state
