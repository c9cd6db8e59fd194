"""LatentSDE: a hidden state under noise that explains what was observed, trained by its evidence lower bound."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsssm.data.batch import Batch
from tsssm.dynamics.mlp_fields import MLPField
from tsssm.dynamics.scan import scan
from tsssm.grid import Grid
from tsssm.layers import S5, Bidirectional, Recipe, Stack
from tsssm.models.base import Model

# standard deviations are at least this, in scaled units: the likelihood of exact values would have no bound
FLOOR = 1e-3


class Guess(NamedTuple):
    """What is thought of the states, given what was observed: ``z_k = keep z_{k-1} + shift + spread e``, (b, l, n) each."""

    keep: Tensor
    shift: Tensor
    spread: Tensor


class LatentSDE(Model):
    r"""A stochastic differential equation behind noisy observations, ``dz = (-a z + f(z)) dt + s(z) sqrt(2 a) dW``.

    Observed is ``y = C z + d + N(0, r^2)``. f and s are networks, s > 0; a > 0, so that the state is recalled at any gap.
    The loss is minus the evidence lower bound for each number seen, :math:`KL(q(z) | p(z)) - E_q \log p(y | z)`, with q a
    chain of normal steps that a network of all observations gives.

    Parameters
    ----------
    channels : int
    d_state : int
        Size n of the state.
    width : int
        Size of the hidden layer of f and s, and of the features that q is made from.

    Notes
    -----
    Steps of p are exponential, one a gap: exact where f and s are constant. Between rows q follows the bridges of p, with
    its noise. Then Girsanov's integral of the drifts' difference over a gap, :math:`E_q \frac12 \int |u|^2 dt`, is the
    divergence of the normal laws at its end, and smallest for what q says there: it is taken in closed form, with one step
    for a gap of any length. q is linear, so that all rows are drawn by one scan, and f and s are called once for all of them. O(b l width
    (width + n)) a pass.

    References
    ----------
    Li, Wong, Chen and Duvenaud, 2020, Scalable gradients for stochastic differential equations (arXiv 2001.01328), section
    5, the latent SDE, there with drifts of q that are integrated in small steps.

    Examples
    --------
    >>> LatentSDE(channels=2, d_state=4, width=16).C.shape
    torch.Size([2, 4])
    """

    def __init__(self, channels: int, d_state: int, width: int):
        super().__init__()
        n = d_state
        self.log_decay = nn.Parameter(torch.linspace(math.log(0.02), 0.0, n) if n > 1 else torch.full((1,), -2.0))
        self.drift = MLPField(n, 0, width, 1, "tanh")
        self.level = nn.Sequential(nn.Linear(n, width), nn.Tanh(), nn.Linear(width, n))
        for last in (self.drift.layers[-1], self.level[-1]):
            nn.init.normal_(last.weight, std=0.01)
            nn.init.zeros_(last.bias)
        self.first, self.log_first = nn.Parameter(torch.zeros(n)), nn.Parameter(torch.zeros(n))
        self.C = nn.Parameter(1 / n + 0.1 * torch.randn(channels, n))
        self.d = nn.Parameter(torch.zeros(channels))
        self.log_noise = nn.Parameter(torch.full((channels,), -1.0))
        self.embed = nn.Linear(2 * channels + 1, width)
        self.encoder = Stack(width, Recipe(Bidirectional, layer=Recipe(S5, d_state=width)), depth=1, dropout=0.0)
        self.guess = nn.Linear(width, 4 * n)
        with torch.no_grad():
            self.guess.weight.mul_(0.1)

    @property
    def decay(self) -> Tensor:
        """Rates a, (n,), per time scale."""
        return self.log_decay.clamp(-14, 5).exp()

    @property
    def noise(self) -> Tensor:
        """Standard deviation r of what is observed, (c,)."""
        return self.log_noise.exp() + FLOOR

    def step(self, z: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of the state after a gap (..., 1) from z (..., n)."""
        passed = self.decay * gap
        mean = torch.exp(-passed) * z - torch.expm1(-passed) / self.decay * self.drift(z, z, None)
        return mean, self.spread(z) * (-torch.expm1(-2 * passed)).sqrt() + FLOOR * gap.sqrt()

    def spread(self, z: Tensor) -> Tensor:
        """s at states (..., n): the standard deviation that noise of this size would settle at."""
        return functional.softplus(self.level(z))

    def posterior(self, batch: Batch) -> Guess:
        """What is thought of the states at the rows that show something."""
        grid, gap = batch.grid, batch.grid.dt.unsqueeze(-1)
        x = self.embed(torch.cat([batch.values, batch.observed.to(gap), gap.log1p()], -1))
        raw = self.guess(self.encoder(x, grid)[0]).unflatten(-1, (4, -1))
        gain, target, push, size = raw.unbind(-2)
        passed, fresh = self.decay * gap, grid.reset.unsqueeze(-1)
        grown = torch.where(fresh, 1.0, -torch.expm1(-2 * passed))
        # as in a Kalman filter: the share of what is new grows with the noise of the gap
        share = grown / (grown + torch.exp(-gain))
        keep = torch.where(fresh, 0.0, (1 - share) * torch.exp(-passed))
        shift = torch.where(fresh, target, share * target - torch.expm1(-passed) / self.decay * push)
        spread = torch.exp(size) * (grown * (1 - share)).clamp_min(1e-12).sqrt()
        return Guess(keep, shift, spread)

    def loss(self, batch: Batch) -> Tensor:
        guess, gap, fresh = self.posterior(batch), batch.grid.dt.unsqueeze(-1), batch.grid.reset.unsqueeze(-1)
        z = scan(guess.keep, guess.shift + guess.spread * torch.randn_like(guess.shift))
        before = torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], 1)
        mean, spread = self.step(before, torch.where(batch.grid.valid.unsqueeze(-1), gap, 1.0))
        mean = torch.where(fresh, self.first, mean)
        spread = torch.where(fresh, self.log_first.exp() + FLOOR, spread)
        off = guess.keep * before + guess.shift - mean
        kl = (spread / guess.spread).log() + (guess.spread**2 + off**2) / (2 * spread**2) - 0.5
        error = (batch.values - z @ self.C.T - self.d) / self.noise
        likelihood = -0.5 * error**2 - self.noise.log() - 0.5 * math.log(2 * math.pi)
        count = batch.observed.sum().clamp_min(1)
        kl = (kl * batch.grid.valid.unsqueeze(-1)).sum() / count
        likelihood = (likelihood * batch.observed).sum() / count
        self.terms = {"kl": kl.detach(), "likelihood": likelihood.detach()}
        return kl - likelihood

    @torch.no_grad()
    def sample(self, batch: Batch, n: int, generator: torch.Generator, alike: bool = False) -> Tensor:
        """Paths (n, b, l, c) of what would be observed at the silent rows behind what each series shows; NaN elsewhere.

        `alike` gives all series the same normal numbers, so that an answer depends on no other series.
        """
        last, first, asked = behind(batch.grid)

        def draw(size: int) -> Tensor:
            shape = (n, 1 if alike else len(last), size)
            drawn = torch.randn(shape, generator=generator, dtype=torch.float64).to(batch.values)
            return drawn.expand(n, len(last), size)

        center, spread = self.ends(batch, last)
        z = center + spread * draw(len(self.first))
        # from its first row on a series that shows nothing is asked: there it begins
        gap = torch.where(batch.grid.reset, 0.0, batch.grid.dt).flatten().unsqueeze(-1)
        out = batch.values.new_full((n, len(gap), len(self.d)), math.nan)
        for step in range(int(asked.max()) if len(asked) else 0):
            going = asked > step
            at = (first + step)[going]
            mean, spread = self.step(z[:, going], gap[at])
            z[:, going] = mean + spread * draw(z.shape[2])[:, going]
            out[:, at] = z[:, going] @ self.C.T + self.d + self.noise * draw(len(self.d))[:, going]
        return out.unflatten(1, batch.grid.dt.shape)

    def ends(self, batch: Batch, last: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread (s, n) of the states at the flat places `last` (s,), of a series that begins where it is -1."""
        guess = self.posterior(batch)
        mean, variance = scan(guess.keep, guess.shift), scan(guess.keep**2, guess.spread**2)
        known, at = (last >= 0).unsqueeze(-1), last.clamp_min(0)
        center = torch.where(known, mean.flatten(0, 1)[at], self.first)
        return center, torch.where(known, variance.flatten(0, 1)[at].sqrt(), self.log_first.exp() + FLOOR)

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        return {"paths": self.sample(batch, 500, torch.Generator().manual_seed(0), alike=True)}


def behind(grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """For each series the flat place of its last active row, -1 for none, that of the next row, and how many follow."""
    number, place = grid.segment().flatten(), torch.arange(grid.dt.numel(), device=grid.dt.device)
    begin, inside = place[grid.reset.flatten()], number >= 0
    shown = torch.where(grid.active.flatten(), place, -1)
    last = torch.full_like(begin, -1).scatter_reduce(0, number[inside], shown[inside], "amax")
    end = begin.scatter_reduce(0, number[inside], place[inside], "amax")
    first = torch.where(last >= 0, last + 1, begin)
    return last, first, end + 1 - first
