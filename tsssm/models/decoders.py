"""Networks around latent paths: features of observations, and values of states."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from tsssm.data.batch import Batch
from tsssm.grid import Grid, previous_active
from tsssm.layers import Bidirectional, Recipe, Stack
from tsssm.models.latent_prior import Known
from tsssm.models.linear_prior import gaps_of


class Encoder(nn.Module):
    """Features (b, l, width) of observations, told from all rows of a series.

    Beside those of a network stand linear ones: the outputs of a layer, the row itself and the one before it. Values, their
    changes and whole curves reach the states so without loss, where a network that normalises its features keeps few digits.

    Parameters
    ----------
    channels, given : int
        Channels of a row, covariates of a series.
    d_model, depth : int
        Width and number of the layers.
    layer : Recipe
        Run in both directions; a layer that looks ahead by itself is run as it is.
    """

    def __init__(self, channels: int, given: int, d_model: int, depth: int, layer: Recipe):
        super().__init__()
        inputs = 2 * channels + 1
        self.width = 2 * d_model + 2 * inputs
        self.embed = nn.Linear(inputs + given, d_model)
        self.first = both_ways(layer, d_model).build(d_model)
        self.deep = Stack(d_model, both_ways(layer, d_model), depth=depth - 1, dropout=0.0)
        self.mix = nn.Sequential(nn.Linear(d_model, 2 * d_model), nn.GELU(), nn.Linear(2 * d_model, d_model))

    def forward(self, batch: Batch, known: Known) -> Tensor:
        grid = batch.grid
        gap = gaps_of(grid, known.late).log1p().unsqueeze(-1).to(batch.values)
        x = torch.cat([batch.values, batch.observed.to(gap), gap], -1)
        line = self.first(self.embed(torch.cat([x, at_rows(known.given, grid)], -1)), grid)[0]
        index = previous_active(grid.reset, grid.active).unsqueeze(-1)
        before = torch.where(index >= 0, x.gather(1, index.clamp_min(0).expand_as(x)), 0)
        return torch.cat([line, self.mix(self.deep(line, grid)[0]), x, before], -1)


class Decoder(nn.Module, ABC):
    """What turns states into values."""

    @abstractmethod
    def forward(self, z: Tensor, grid: Grid, given: Tensor) -> Tensor:
        """Values (b, l, c) of states (b, l, k) on a grid and covariates (s, g) of its series."""


class RecurrentDecoder(Decoder):
    """Values told from whole paths, by layers run in both directions, and a linear map of the state beside them.

    Values depend on which rows are asked. Parameters are those of `Encoder`, and `d_latent`, the size k of the states.
    """

    def __init__(self, d_latent: int, channels: int, given: int, d_model: int, depth: int, layer: Recipe):
        super().__init__()
        self.embed = nn.Linear(d_latent + given, d_model)
        self.run = Stack(d_model, both_ways(layer, d_model), depth=depth, dropout=0.0)
        self.read = nn.Sequential(nn.Linear(d_model, d_model), nn.GELU(), nn.Linear(d_model, channels))
        self.line = nn.Linear(d_latent + given, channels)

    def forward(self, z: Tensor, grid: Grid, given: Tensor) -> Tensor:
        # every row brings a state, also one that observed nothing
        heard = Grid(grid.dt, grid.valid, grid.reset, grid.valid)
        x = torch.cat([z, at_rows(given, grid)], -1)
        return self.line(x) + self.read(self.run(self.embed(x), heard)[0])


class PointwiseDecoder(Decoder):
    """Values told from the state at their own row: what is asked elsewhere changes nothing.

    Parameters
    ----------
    d_latent, channels, given : int
    width : int
        Size of the two hidden layers; a linear map runs beside them.
    """

    def __init__(self, d_latent: int, channels: int, given: int, width: int):
        super().__init__()
        inputs = d_latent + given
        hidden = [nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU()]
        self.net, self.line = nn.Sequential(*hidden, nn.Linear(width, channels)), nn.Linear(inputs, channels)

    def forward(self, z: Tensor, grid: Grid, given: Tensor) -> Tensor:
        x = torch.cat([z, at_rows(given, grid)], -1)
        return self.line(x) + self.net(x)


def both_ways(layer: Recipe, d_model: int) -> Recipe:
    """A layer run in both directions; one that looks ahead by itself as it is."""
    return Recipe(Bidirectional, layer=layer) if layer.build(d_model).causal else layer


def at_rows(given: Tensor, grid: Grid) -> Tensor:
    """Numbers of each series (s, g) at all its rows, (b, l, g)."""
    return given[grid.segment().clamp_min(0)]
