"""S5: one diagonal state space with many inputs and outputs, on true gaps."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from tsssm.dynamics import Diagonal, LinearDiscretization, State, ZeroOrderHold, evolve
from tsssm.dynamics.hippo import block_diagonal_normal
from tsssm.errors import explain
from tsssm.grid import Grid
from tsssm.layers.base import Layer


class S5(Layer):
    """State space layer with one shared diagonal state, x' = s (Lambda x + B u), y = 2 Re(C x) + D u.

    Each gap of each series enters through the discretization rule, exactly: no resampling, no padding.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 64
        Number of real states; kept as half as many conjugate pairs.
    blocks : int, default 4
        Number of HiPPO-N blocks that the initial eigenvalues come from; must divide `d_state`.
    rule : LinearDiscretization, default ZeroOrderHold()
        How a gap is crossed.
    timescale : tuple of float, default (0.001, 0.1)
        Range of the initial step s of each state, as a share of the median gap.

    Notes
    -----
    O(b l d_state) for the scan plus O(b l d_state d_model) for the projections. Re Lambda < 0 by construction.

    References
    ----------
    Smith, Warrington, Linderman, 2023, Simplified State Space Layers (S5), equations 1 to 6 and appendix B. The step
    is one per state, as in the authors' code; their variable-step branch forms B for every row, which is not needed.

    Examples
    --------
    >>> import torch
    >>> from tsssm.layers import S5
    >>> y, state = S5(8, d_state=16)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    slow: ClassVar[tuple[str, ...]] = ("log_decay", "frequency", "log_timescale", "B")

    def __init__(
        self,
        d_model: int,
        d_state: int = 64,
        blocks: int = 4,
        rule: LinearDiscretization = ZeroOrderHold(),
        timescale: tuple[float, float] = (0.001, 0.1),
    ):
        super().__init__()
        if d_state < 2 * blocks or d_state % (2 * blocks):
            raise ValueError(
                explain(
                    "`d_state` must be a multiple of twice `blocks`, for each block holds conjugate pairs",
                    f"d_state={d_state} and blocks={blocks} came",
                    "Choose, say, d_state=64 and blocks=4",
                )
            )
        self.d_state, self.rule = d_state, rule
        pairs = d_state // 2
        eigenvalues, basis = block_diagonal_normal(d_state, blocks)
        self.log_decay = nn.Parameter((-eigenvalues.real).log().float())
        self.frequency = nn.Parameter(eigenvalues.imag.float())
        low, high = (math.log(bound) for bound in timescale)
        self.log_timescale = nn.Parameter(low + (high - low) * torch.rand(pairs))
        # B = V^-1 W and C = W V of real Gaussian W: the layer starts as a real system in HiPPO's basis
        B = basis.conj().T @ torch.randn(d_state, d_model, dtype=torch.float64).to(basis.dtype) / math.sqrt(d_model)
        C = torch.randn(d_model, d_state, dtype=torch.float64).to(basis.dtype) @ basis / math.sqrt(d_state)
        self.B = nn.Parameter(torch.view_as_real(B).float())
        self.C = nn.Parameter(torch.view_as_real(C).float())
        self.D = nn.Parameter(torch.randn(d_model))

    def forward(self, x: Tensor, grid: Grid, state: State | None = None) -> tuple[Tensor, State]:
        step = self.log_timescale.clamp(-14, 4.6).exp()
        A = Diagonal(torch.complex(-self.log_decay.exp(), self.frequency) * step)
        # (pairs, d_model, 2) as one real matrix: complex inputs come out of a real product
        B = (self.B * step[:, None, None]).permute(1, 0, 2).flatten(1)
        u, active = grid.quiet(x)
        # in mixed precision the product comes in half: the dynamics need the precision of their parameters
        u = torch.view_as_complex((u @ B).to(B.dtype).unflatten(-1, (-1, 2)))
        C = 2 * torch.view_as_complex(self.C)
        y, state = evolve(A, self.rule, grid.dt, u, state, grid.reset, C, active)
        return y + self.D * x, state
