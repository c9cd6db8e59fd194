"""LRU: a linear recurrence whose inputs are scaled to keep the state at unit size, on true gaps."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from tsssm.dynamics import Diagonal, Dirac, State, evolve
from tsssm.errors import explain
from tsssm.grid import Grid, held_gap
from tsssm.layers.base import Layer


class LRU(Layer):
    """Linear recurrent unit, x_k = e^z x_{k-1} + sqrt(1 - |e^z|^2) B u_k with z = Lambda dt_k, y = Re(C x) + D u.

    At equal gaps it is the published recurrence, whose transition lambda = e^Lambda lies on a ring in the unit disc. The
    gain keeps a state that is fed with white noise at the size of B u; on true gaps it grows with the time since the
    row before, as that of an Ornstein-Uhlenbeck process does.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 64
        Number of real states; kept as half as many complex ones.
    radius : tuple of float, default (0.9, 0.999)
        Inner and outer radius of the ring of initial eigenvalues over a median gap: memories of 10 to 1000 rows.

    Raises
    ------
    ValueError
        If `d_state` is not even and positive, or the radii are not in order between 0 and 1.

    Notes
    -----
    O(b l d_state) for the scan plus O(b l d_state d_model) for the projections. |lambda| < 1 by construction. Phases are
    drawn from half the circle: the other half holds the conjugates, with the same real outputs. The gain follows Lambda,
    where the authors let it learn on its own from that value.

    References
    ----------
    Orvieto et al., 2023, Resurrecting Recurrent Neural Networks for Long Sequences (LRU), lemma 3.2 and equation 7.

    Examples
    --------
    >>> import torch
    >>> from tsssm.layers import LRU
    >>> y, state = LRU(8, d_state=16)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    slow: ClassVar[tuple[str, ...]] = ("log_decay", "log_frequency", "B")

    def __init__(self, d_model: int, d_state: int = 64, radius: tuple[float, float] = (0.9, 0.999)):
        super().__init__()
        if d_state < 2 or d_state % 2:
            raise ValueError(
                explain("`d_state` must be even and positive", f"d_state={d_state} came", "Choose, say, d_state=64")
            )
        inner, outer = radius
        if not 0 <= inner < outer < 1:
            raise ValueError(
                explain("`radius` must be two numbers in order, in [0, 1)", f"{radius} came", "Use, say, (0.9, 0.999)")
            )
        self.d_state = d_state
        modes = d_state // 2
        # uniform in area: |lambda|^2 is uniform; away from 0, where the logarithm has no value
        square = inner**2 + (outer**2 - inner**2) * (1 - torch.rand(modes, dtype=torch.float64))
        self.log_decay = nn.Parameter((-square.log() / 2).log().float())
        self.log_frequency = nn.Parameter((math.pi * (1 - torch.rand(modes, dtype=torch.float64))).log().float())
        self.B = nn.Parameter(torch.randn(modes, d_model, 2) / math.sqrt(2 * d_model))
        self.C = nn.Parameter(torch.randn(d_model, modes, 2) / math.sqrt(2 * modes))
        self.D = nn.Parameter(torch.randn(d_model))

    def forward(self, x: Tensor, grid: Grid, state: State | None = None) -> tuple[Tensor, State]:
        decay = self.log_decay.exp()
        A = Diagonal(torch.complex(-decay, self.log_frequency.exp()))
        # (modes, d_model, 2) as one real matrix: complex inputs come out of a real product
        B = self.B.permute(1, 0, 2).flatten(1)
        u, active = grid.quiet(x)
        # in mixed precision the product comes in half: the dynamics need the precision of their parameters
        u = torch.view_as_complex((u @ B).to(B.dtype).unflatten(-1, (-1, 2)))
        since = None if state is None else state.since
        gap = held_gap(grid.dt, grid.reset, grid.active, since).to(decay.dtype).unsqueeze(-1)
        # the root has no slope at 0: rows without a gap bring nothing
        power = -torch.expm1(-2 * decay * gap.clamp_min(0))
        gain = torch.where(power > 0, power, 1.0).sqrt() * (power > 0)
        C = torch.view_as_complex(self.C)
        y, state = evolve(A, Dirac(), grid.dt, gain * u, state, grid.reset, C, active)
        return y + self.D * x, state
