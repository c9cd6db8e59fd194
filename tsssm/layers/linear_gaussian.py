"""LinearGaussian: oscillators under noise, each filtered on true gaps, that say how sure they are."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from tsssm.dynamics.functions import complex_exp
from tsssm.dynamics.hippo import diagonal_eigenvalues
from tsssm.dynamics.kalman import Belief
from tsssm.dynamics.kernels.pairs import Pairs, filter_pairs
from tsssm.errors import explain
from tsssm.grid import Grid, held_gap, last_active, previous_active, time_since
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
    O(b l d_state), compiled on the CPU, forward and backward; a loop over rows without a compiler and on CUDA. Stable by construction, a > 0. A state that was
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
        seen = (u @ self.B.T).to(self.D.dtype)
        since = None if state is None else state[1]
        gap = held_gap(grid.dt, grid.reset, grid.active, since)
        start = self.settled(len(x)) if state is None else state[0]
        b, _, pairs = seen.shape
        with torch.autocast(x.device.type, enabled=False):
            found = filter_pairs(self._by_oscillator(seen, gap, grid, start))
        now = Belief(*(part.unflatten(0, (b, pairs)).transpose(1, 2) for part in found[:2]))
        return now, (self._end(now, grid, start), time_since(grid.dt, grid.reset, grid.active, since))

    def _by_oscillator(self, seen: Tensor, gap: Tensor, grid: Grid, start: Belief) -> Pairs:
        """Each oscillator of each row of a batch as an entry of its own, (b d_state / 2, l)."""
        b, l, pairs = seen.shape
        before = previous_active(grid.reset, grid.active)
        # a series begins settled, whatever came before it
        fresh = ((before < 0) & (grid.reset.cumsum(1) > 0)).view(b, 1, l, 1)
        F, N = (part.transpose(1, 2) for part in self.steps(gap))
        F, N = torch.where(fresh.unsqueeze(-1), 0, F), torch.where(fresh, N.new_tensor([1.0, 0.0, 1.0]), N)
        r = self.noise().view(1, pairs, 1).expand(b, pairs, l)
        shown, before = (part.unsqueeze(1).expand(b, pairs, l) for part in (grid.active, before))
        rows = (F.unsqueeze(3), N.unsqueeze(3), seen.transpose(1, 2), r, shown, before, start.mean, start.cov)
        return Pairs(*(part.flatten(0, 1) for part in rows))

    def _end(self, now: Belief, grid: Grid, start: Belief) -> Belief:
        """What the next piece goes on from: the last active row of a series that goes on, and what it began from if none."""
        last = last_active(grid.reset, grid.active)
        entry = torch.arange(len(last), device=last.device)
        begun = grid.reset.any(1).view(-1, 1, 1)
        settled, found = self.settled(len(last)), (last >= 0).view(-1, 1, 1)
        mean = torch.where(found, now.mean[entry, last], torch.where(begun, settled.mean, start.mean))
        begun, found = begun.unsqueeze(-1), found.unsqueeze(-1)
        return Belief(mean, torch.where(found, now.cov[entry, last], torch.where(begun, settled.cov, start.cov)))

    def steps(self, gap: Tensor) -> tuple[Tensor, Tensor]:
        """Transitions (b, l, d_state / 2, 2, 2) over gaps (b, l), and the noise they bring, (b, l, d_state / 2, 3)."""
        step = self.log_timescale.clamp(-14, 4.6).exp()
        decay, angle = step * self.log_decay.exp() * gap.unsqueeze(-1), step * self.frequency * gap.unsqueeze(-1)
        turn = torch.view_as_real(complex_exp(-decay, angle))
        re, im = turn.unbind(-1)
        F = torch.stack([re, -im, im, re], -1).unflatten(-1, (2, 2))
        added = -torch.expm1(-2 * decay)
        return F, torch.stack([added, torch.zeros_like(added), added], -1)

    def noise(self) -> Tensor:
        """Variance of the noise under which each oscillator is seen, (d_state / 2,)."""
        return self.log_noise.clamp(-14, 14).exp()

    def settled(self, b: int) -> Belief:
        """Every oscillator of b rows of a batch before anything was seen: mean 0, covariance 1."""
        eye = torch.eye(2, dtype=self.B.dtype, device=self.B.device)
        return Belief(self.B.new_zeros(b, len(self.B), 2), eye.expand(b, len(self.B), 2, 2))
