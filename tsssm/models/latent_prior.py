"""LatentPrior: the law of latent paths, and what observations say of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tsssm.grid import Grid


class Noise(NamedTuple):
    """Standard normal numbers: of the starts (s, k), and of the rows (b, l, k)."""

    start: Tensor
    rows: Tensor

    @classmethod
    def like(cls, grid: Grid, k: int, dtype: torch.dtype) -> Noise:
        """Fresh numbers for the series of a grid."""
        series = int(grid.reset.sum())
        device = grid.dt.device
        start = torch.randn(series, k, dtype=dtype, device=device)
        return cls(start, torch.randn(*grid.dt.shape, k, dtype=dtype, device=device))

    @classmethod
    def none(cls, grid: Grid, k: int, dtype: torch.dtype) -> Noise:
        """Zeros: what is driven by them is a mean."""
        start = torch.zeros(int(grid.reset.sum()), k, dtype=dtype, device=grid.dt.device)
        return cls(start, torch.zeros(*grid.dt.shape, k, dtype=dtype, device=grid.dt.device))


class Known(NamedTuple):
    """What is known of series beside their rows: time (s,) from their beginning to the first row, covariates (s, g)."""

    late: Tensor
    given: Tensor

    @classmethod
    def of(cls, static: Tensor) -> Known:
        """Read the numbers that come with series: the time first, if there are any."""
        return cls(static[:, 0], static[:, 1:]) if static.shape[1] else cls(static.new_zeros(len(static)), static)


class Drawn(NamedTuple):
    """Paths (b, l, k) drawn given observations, the divergence of their law from the prior (s,), and more of the loss.

    In training: a `penalty` of paths, and the `excess` divergence of all series at once, in nats.
    """

    z: Tensor
    kl: Tensor
    penalty: Tensor | None = None
    excess: Tensor | None = None


class LatentPrior(nn.Module, ABC):
    """The law of latent paths on a grid. Shapes: s series in b rows of l places, states of k numbers, g covariates."""

    @abstractmethod
    def drawn(self, features: Tensor, grid: Grid, known: Known, noise: Noise | None = None) -> Drawn:
        """Paths given the features (b, l, d) of observations, driven by `noise`; fresh if None."""

    @abstractmethod
    def between(self, z: Tensor, grid: Grid) -> Tensor:
        """Paths of `drawn` with their states at silent rows told from both sides, (b, l, k)."""

    @abstractmethod
    def sample(self, noise: Noise, grid: Grid, known: Known) -> Tensor:
        """Paths (b, l, k) of the prior, driven by `noise`."""

    def warm(self, done: float) -> None:
        """Take note that a share `done` of training is behind, for priors that change on the way."""
