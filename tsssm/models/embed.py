"""Embed: a row of partly observed channels becomes a vector of features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tsssm.data.batch import Batch
from tsssm.grid import Grid


class Seen(NamedTuple):
    """Last observed value of each channel up to each row and the time since, (b, l, c): 0 and infinity for none."""

    value: Tensor
    age: Tensor

    def end(self) -> Seen:
        """What the next piece of the same series goes on from, (b, 1, c)."""
        return Seen(self.value[:, -1:], self.age[:, -1:])


class Embed(nn.Module, ABC):
    """What turns the rows of a batch into features (b, l, d_model)."""

    @abstractmethod
    def forward(self, batch: Batch, seen: Seen | None = None) -> Tensor:
        """Features of each row; `seen` as `carried` gives it, where the batch is a piece that goes on with a series."""


class FullRows(Embed):
    """Features of rows whose channels are observed together: W value, through one hidden layer.

    A value that is missing after all is replaced by the last one seen.

    Parameters
    ----------
    channels : int
        Number of channels c.
    d_model : int
        Width of the features.
    dropout : float, default 0
        Share of inputs dropped in training, the same ones along a row of the batch.
    """

    def __init__(self, channels: int, d_model: int, dropout: float = 0.0):
        super().__init__()
        self.mix = _Mix(channels, d_model, dropout)

    def forward(self, batch: Batch, seen: Seen | None = None) -> Tensor:
        if bool(batch.observed.all()):
            return self.mix(batch.values)
        return self.mix((seen or carried(batch.values, batch.observed, batch.grid)).value)


class PartialRows(Embed):
    """Features of rows of which any channel may be empty: W [value, observed, last value, freshness].

    Parameters
    ----------
    channels : int
        Number of channels c.
    d_model : int
        Width of the features.
    dropout : float, default 0
        Share of inputs dropped in training, the same ones along a row of the batch.

    Notes
    -----
    The last value of each channel and the time since are the inputs of GRU-D (Che et al. 2018, equations 2 and 5):
    with asynchronous channels most entries of a row are empty, and the model would have to learn to remember them.
    """

    def __init__(self, channels: int, d_model: int, dropout: float = 0.0):
        super().__init__()
        self.mix = _Mix(4 * channels, d_model, dropout)

    def forward(self, batch: Batch, seen: Seen | None = None) -> Tensor:
        last, age = seen or carried(batch.values, batch.observed, batch.grid)
        observed = batch.observed.to(batch.values.dtype)
        return self.mix(torch.cat([batch.values, observed, last, torch.exp(-age / 10.0)], -1))


class _Mix(nn.Module):
    """A linear map with one residual hidden layer."""

    def __init__(self, inputs: int, d_model: int, dropout: float):
        super().__init__()
        # the fewer inputs, the less can be dropped: a single one never
        self.dropout = nn.Dropout1d(dropout * (1 - 1 / inputs))
        self.linear = nn.Linear(inputs, d_model)
        self.hidden = nn.Sequential(nn.GELU(), nn.Linear(d_model, d_model))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.dropout.p:
            x = self.dropout(x.transpose(1, 2)).transpose(1, 2)
        x = self.linear(x)
        return x + self.hidden(x)


def carried(values: Tensor, observed: Tensor, grid: Grid, before: Seen | None = None) -> Seen:
    """What was seen of each channel (b, l, c) up to each row; `before` is the end of the piece before, if any."""
    b, l, c = values.shape
    rows = torch.arange(l, device=values.device).view(1, l, 1)
    index = torch.where(observed, rows, -1).cummax(1).values
    start = torch.where(grid.reset, rows.squeeze(-1), 0).cummax(1).values.unsqueeze(-1)
    known = (index >= start) & (index >= 0)
    index = index.clamp_min(0)
    time = grid.dt.double().cumsum(1).unsqueeze(-1)
    age = (time - time.expand(b, l, c).gather(1, index)).to(values.dtype)
    last = values.gather(1, index)
    if before is None:
        return Seen(torch.where(known, last, 0.0), torch.where(known, age, torch.inf))
    return Seen(torch.where(known, last, before.value), torch.where(known, age, (before.age + time).to(age.dtype)))
