"""S4D: a diagonal state space for each feature."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from tsssm.dynamics import Diagonal, LinearDiscretization, State, ZeroOrderHold, evolve
from tsssm.dynamics.hippo import diagonal_eigenvalues
from tsssm.grid import Grid
from tsssm.layers.base import Layer


class S4D(Layer):
    """State space layer with a diagonal state per feature, x' = s (Lambda x + u), y = 2 Re(C x) + D u.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 32
        Number of real states of each feature; kept as half as many conjugate pairs.
    init : str, default "lin"
        Initial eigenvalues: "legs", "lin", "inv" or "real" (Gu et al. 2022, section 4).
    rule : LinearDiscretization, default ZeroOrderHold()
        How a gap is crossed.
    timescale : tuple of float, default (0.001, 0.1)
        Range of the initial step s of each feature, as a share of the median gap.

    Notes
    -----
    A scan, O(b l d_model d_state), whose states are never all in memory; on an even grid an FFT convolution where that is
    faster. B is folded into C, since a diagonal system only knows their product. Re Lambda < 0 by construction.

    References
    ----------
    Gu, Gupta, Goel, Re, 2022, On the Parameterization and Initialization of Diagonal State Space Models (S4D).

    Examples
    --------
    >>> import torch
    >>> from tsssm.layers import S4D
    >>> y, state = S4D(8, d_state=16)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    slow: ClassVar[tuple[str, ...]] = ("log_decay", "frequency", "log_timescale")

    def __init__(
        self,
        d_model: int,
        d_state: int = 32,
        init: str = "lin",
        rule: LinearDiscretization = ZeroOrderHold(),
        timescale: tuple[float, float] = (0.001, 0.1),
    ):
        super().__init__()
        self.d_state, self.rule = d_state, rule
        eigenvalues = diagonal_eigenvalues(init, d_state)
        pairs = eigenvalues.shape[0]
        self.log_decay = nn.Parameter((-eigenvalues.real).log().float().repeat(d_model, 1))
        self.frequency = nn.Parameter(eigenvalues.imag.float().repeat(d_model, 1))
        low, high = (math.log(bound) for bound in timescale)
        self.log_timescale = nn.Parameter(low + (high - low) * torch.rand(d_model))
        self.C = nn.Parameter(torch.randn(d_model, pairs, 2) * math.sqrt(0.5))
        self.D = nn.Parameter(torch.randn(d_model))

    def forward(self, x: Tensor, grid: Grid, state: State | None = None) -> tuple[Tensor, State]:
        step = self.log_timescale.clamp(-14, 4.6).exp().unsqueeze(-1)
        A = Diagonal(torch.complex(-self.log_decay.exp(), self.frequency) * step)
        C = 2 * torch.view_as_complex(self.C) * step

        u, active = grid.quiet(x)
        # in mixed precision features come in half: the dynamics need the precision of their parameters
        u = u.to(self.D.dtype).unsqueeze(-1)
        y, state = evolve(A, self.rule, grid.dt, u, state, grid.reset, C, active)
        return y + self.D * x, state
