"""LinearGaussian: oscillators under noise, each filtered on true gaps, that say how sure they are."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from tsssm.dynamics.functions import complex_exp
from tsssm.dynamics.hippo import diagonal_eigenvalues
from tsssm.dynamics.kalman import Belief, filter_steps
from tsssm.errors import explain
from tsssm.grid import Grid, held_gap, time_since
from tsssm.layers.base import Layer

Carried = tuple[Belief, Tensor]


class LinearGaussian(Layer):
    """Kalman layer: what noisy oscillators are at each row, and how sure that is, given the rows so far.

    Each oscillator is a pair of states with ``x' = s [[-a, -w], [w, -a]] x + noise`` of variance 1 once settled, and sees
    one projection of the features, ``(B u)_k = x_1 + N(0, r)``. Its exact filter gives means m and variances v;
    ``y = M m + V log v + D u``.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 32
        Number of real states, two for each oscillator.
    timescale : tuple of float, default (0.001, 0.1)
        Range of the initial step s of each oscillator, as a share of the median gap.

    Raises
    ------
    ValueError
        If `d_state` is odd.

    Notes
    -----
    O(b l d_state), row after row: a loop, slower than the scan of `S5`. Stable by construction, a > 0. A state that was
    not seen for long is known to settle: its mean goes to 0 and its variance to 1. Variances depend on the gaps alone.

    References
    ----------
    The filter is Kalman's (1960) as in `dynamics.kalman_filter`; as a layer on irregular gaps it stands in the line of
    Schirmer et al., 2022, Modeling irregular time series with continuous recurrent units, here without their encoder of
    noise. One oscillator is the stochastic cycle of Harvey, 1989, section 2.3.

    Examples
    --------
    >>> import torch
    >>> from tsssm.layers import LinearGaussian
    >>> y, state = LinearGaussian(8, d_state=16)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    slow: ClassVar[tuple[str, ...]] = ("log_decay", "frequency", "log_timescale", "log_noise")

    def __init__(self, d_model: int, d_state: int = 32, timescale: tuple[float, float] = (0.001, 0.1)):
        super().__init__()
        if d_state < 2 or d_state % 2:
            raise ValueError(
                explain("`d_state` must be even, two for each oscillator", f"d_state={d_state} came", "Choose, say, 32")
            )
        self.d_state = d_state
        eigenvalues = diagonal_eigenvalues("lin", d_state)
        pairs = len(eigenvalues)
        self.log_decay = nn.Parameter((-eigenvalues.real).log().float())
        self.frequency = nn.Parameter(eigenvalues.imag.float())
        low, high = (math.log(bound) for bound in timescale)
        self.log_timescale = nn.Parameter(low + (high - low) * torch.rand(pairs))
        self.log_noise = nn.Parameter(torch.zeros(pairs))
        self.B = nn.Parameter(torch.randn(pairs, d_model) / math.sqrt(d_model))
        self.M = nn.Parameter(torch.randn(d_model, d_state) / math.sqrt(d_state))
        self.V = nn.Parameter(torch.randn(d_model, d_state) / math.sqrt(d_state))
        self.D = nn.Parameter(torch.randn(d_model))

    def forward(self, x: Tensor, grid: Grid, state: Carried | None = None) -> tuple[Tensor, Carried]:
        belief, after = self.filter(x, grid, state)
        variance = belief.cov.diagonal(dim1=-2, dim2=-1).flatten(2)
        y = belief.mean.flatten(2) @ self.M.T + variance.log() @ self.V.T
        return y + self.D * x, after

    def filter(self, x: Tensor, grid: Grid, state: Carried | None = None) -> tuple[Belief, Carried]:
        """Means (b, l, d_state / 2, 2) and covariances of the oscillators at each row, and the state to pass on."""
        u, _ = grid.quiet(x)
        # in mixed precision the product comes in half: the filter needs the precision of its parameters
        seen = (u @ self.B.T).to(self.D.dtype).unsqueeze(-1)
        since = None if state is None else state[1]
        gap = held_gap(grid.dt, grid.reset, grid.active, since)
        start = self.settled()
        with torch.autocast(x.device.type, enabled=False):
            found = filter_steps(
                *self.steps(gap),
                *self.observation(),
                seen,
                torch.ones_like(seen, dtype=torch.bool),
                start if state is None else state[0],
                start,
                grid.reset,
                grid.active,
            )
        return found.now, (found.end, time_since(grid.dt, grid.reset, grid.active, since))

    def steps(self, gap: Tensor) -> tuple[Tensor, Tensor]:
        """Transitions over gaps (b, l) and the noise they bring: (b, l, d_state / 2, 2, 2) both."""
        step = self.log_timescale.clamp(-14, 4.6).exp()
        decay, angle = step * self.log_decay.exp() * gap.unsqueeze(-1), step * self.frequency * gap.unsqueeze(-1)
        turn = torch.view_as_real(complex_exp(-decay, angle))
        re, im = turn.unbind(-1)
        F = torch.stack([re, -im, im, re], -1).unflatten(-1, (2, 2))
        return F, torch.diag_embed(-torch.expm1(-2 * decay).unsqueeze(-1).expand(*decay.shape, 2))

    def observation(self) -> tuple[Tensor, Tensor]:
        """C (1, 2), the same for every oscillator, and R (d_state / 2, 1, 1)."""
        return self.B.new_tensor([[1.0, 0.0]]), self.log_noise.clamp(-14, 14).exp()[:, None, None]

    def settled(self) -> Belief:
        """Every oscillator before anything was seen: mean 0, covariance 1."""
        eye = torch.eye(2, dtype=self.B.dtype, device=self.B.device)
        return Belief(self.B.new_zeros(len(self.B), 2), eye.expand(len(self.B), 2, 2))
