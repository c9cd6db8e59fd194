"""LatentKoopman: series as pictures of latent paths that move linearly."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tsssm.data.batch import Batch
from tsssm.grid import Grid, held_gap
from tsssm.layers import Bidirectional, Recipe, Stack
from tsssm.models.base import Model
from tsssm.models.latent_prior import LatentPrior
from tsssm.models.linear_prior import by_series

# standard deviations are at least this, in scaled units: the likelihood of exact values would have no bound
FLOOR = 1e-3


class LatentKoopman(Model):
    def __init__(self, channels: int, d_latent: int, given: int, prior: LatentPrior, encoder, decoder, d_model: int, beta=1.0):
        super().__init__()
        self.prior, self.encoder, self.decoder = prior, encoder, decoder
        self.log_noise = nn.Parameter(torch.full((channels,), -1.0))
        self.beta = beta

    @property
    def noise(self) -> Tensor:
        return self.log_noise.exp() + FLOOR

    def loss(self, batch: Batch) -> Tensor:
        drawn = self.prior.drawn(self.encoder(batch), batch.grid, batch.static)
        error = (batch.values - self.decoder(drawn.z, batch.grid, batch.static)) / self.noise
        like = (-0.5 * error**2 - self.noise.log() - 0.5 * math.log(2 * math.pi)) * batch.observed
        count = batch.observed.sum().clamp_min(1)
        kl, likelihood = drawn.kl.sum() / count, like.sum() / count
        self.terms = {"kl": kl.detach(), "likelihood": likelihood.detach()}
        loss = self.beta * kl - likelihood
        if drawn.penalty is not None:
            self.terms["prediction"] = drawn.penalty.detach()
            loss = loss + drawn.penalty
        return loss

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        drawn = self.prior.drawn(self.encoder(batch), batch.grid, batch.static, mean=True)
        z = self.prior.between(drawn.z, batch.grid)
        return {"mean": self.decoder(z, batch.grid, batch.static)}


class Encoder(nn.Module):
    """Features (b, l, d_model) of observations, each told from all rows of its series."""

    def __init__(self, channels: int, given: int, d_model: int, layer: Recipe, depth: int):
        super().__init__()
        self.embed = nn.Linear(2 * channels + 1 + given, d_model)
        self.run = Stack(d_model, Recipe(Bidirectional, layer=layer), depth=depth, dropout=0.0)

    def forward(self, batch: Batch) -> Tensor:
        grid = batch.grid
        gap = held_gap(grid.dt, grid.reset, grid.active).log1p().unsqueeze(-1).to(batch.values)
        x = torch.cat([batch.values, batch.observed.to(gap), gap, spread(batch.static, grid)], -1)
        return self.run(self.embed(x), grid)[0]


class Recurrent(nn.Module):
    """Values (b, l, c) of states (b, l, k), each told from the whole path."""

    def __init__(self, d_latent: int, channels: int, given: int, d_model: int, layer: Recipe, depth: int):
        super().__init__()
        self.embed = nn.Linear(d_latent + given, d_model)
        self.run = Stack(d_model, Recipe(Bidirectional, layer=layer), depth=depth, dropout=0.0)
        self.read = nn.Sequential(nn.Linear(d_model, d_model), nn.GELU(), nn.Linear(d_model, channels))

    def forward(self, z: Tensor, grid: Grid, static: Tensor) -> Tensor:
        heard = Grid(grid.dt, grid.valid, grid.reset, grid.valid)
        x = self.embed(torch.cat([z, spread(static, grid)], -1))
        return self.read(self.run(x, heard)[0])


class Pointwise(nn.Module):
    """Values (b, l, c) of states (b, l, k), each told from the state at its row."""

    def __init__(self, d_latent: int, channels: int, given: int, width: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(d_latent + given, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, channels)
        )

    def forward(self, z: Tensor, grid: Grid, static: Tensor) -> Tensor:
        return self.net(torch.cat([z, spread(static, grid)], -1))


def spread(static: Tensor, grid: Grid) -> Tensor:
    """Numbers of each series (s, g) at all its rows, (b, l, g)."""
    return static[grid.segment().clamp_min(0)]
