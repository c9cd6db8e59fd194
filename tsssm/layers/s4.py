"""S4: a state space with a diagonal plus low rank matrix for each feature."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from tsssm.dynamics import GeneralizedBilinear, LinearDiscretization, Paired, State
from tsssm.dynamics.channels import evolve_channels
from tsssm.dynamics.hippo import normal_plus_low_rank
from tsssm.dynamics.paired import as_reals
from tsssm.errors import explain
from tsssm.grid import Grid
from tsssm.layers.base import Layer


class S4(Layer):
    """State space layer with HiPPO-LegS memory, x' = s ((Lambda - P P*) x + B u), y = 2 Re(C x) + D u.

    Features share Lambda, P and B, as in the authors' configurations, and have their own step s and output C.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 64
        Number of real states of each feature; kept as half as many conjugate pairs.
    rule : LinearDiscretization, default GeneralizedBilinear(0.5)
        How a gap is crossed. The default is the authors' bilinear rule, of first order on smooth inputs; `Bilinear` is of
        second. Exponential rules go through dense matrices.
    timescale : tuple of float, default (0.001, 0.1)
        Range of the initial step s of each feature, as a share of the median gap.

    Raises
    ------
    ValueError
        If `d_state` is not even and positive.

    Notes
    -----
    Even grids are an FFT convolution where it pays, O(d_model (n^3 log l + n l)) for the kernel. Others run row after row
    on their true gaps, O(b l d_model n) by Woodbury's identity: 3 to 5 times the time of S4D in C, 100 times in torch.
    Re Lambda < 0 and the low-rank part takes away only, so that no eigenvalue is ever right of the imaginary axis.

    References
    ----------
    Gu, Goel, Re, 2022, Efficiently Modeling Long Sequences with Structured State Spaces (S4), theorem 1 and appendix C;
    the tied low-rank part is that of Goel et al. 2022 (SaShiMi), section 4.1.

    Examples
    --------
    >>> import torch
    >>> from tsssm.layers import S4
    >>> y, state = S4(8, d_state=16)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    slow: ClassVar[tuple[str, ...]] = ("log_decay", "frequency", "P", "B", "log_timescale")

    def __init__(
        self,
        d_model: int,
        d_state: int = 64,
        rule: LinearDiscretization = GeneralizedBilinear(0.5),
        timescale: tuple[float, float] = (0.001, 0.1),
    ):
        super().__init__()
        if d_state < 2 or d_state % 2:
            raise ValueError(
                explain("`d_state` must be even and positive", f"d_state={d_state} came", "Choose, say, d_state=64")
            )
        self.d_state, self.rule = d_state, rule
        pairs = d_state // 2
        form = normal_plus_low_rank("legs", d_state)
        self.log_decay = nn.Parameter((-form.eigenvalues.real[pairs:]).log().float())
        self.frequency = nn.Parameter(form.eigenvalues.imag[pairs:].float())
        self.P = nn.Parameter(torch.view_as_real(form.P[pairs:]).float())
        self.B = nn.Parameter(torch.view_as_real(form.B[pairs:]).float())
        low, high = (math.log(bound) for bound in timescale)
        self.log_timescale = nn.Parameter(low + (high - low) * torch.rand(d_model))
        self.C = nn.Parameter(torch.randn(d_model, pairs, 2) * math.sqrt(0.5))
        self.D = nn.Parameter(torch.randn(d_model))

    def matrix(self) -> Paired:
        """A of each feature, in 1 / median gap: (d_model, d_state, d_state)."""
        step = self.log_timescale.clamp(-14, 4.6).exp()
        P = torch.view_as_complex(self.P)
        return Paired(torch.complex(-self.log_decay.exp(), self.frequency), P, P).affine(step)

    def forward(self, x: Tensor, grid: Grid, state: State | None = None) -> tuple[Tensor, State]:
        A, step = self.matrix(), self.log_timescale.clamp(-14, 4.6).exp()
        B = self.B.flatten() * step.unsqueeze(-1)
        C = 2 * as_reals(torch.view_as_complex(self.C).conj())
        u, active = grid.quiet(x)
        # in mixed precision features come in half: the dynamics need the precision of their parameters
        y, state = evolve_channels(A, B, C, self.rule, grid.dt, u.to(B.dtype), state, grid.reset, active)
        return y + self.D * x, state
