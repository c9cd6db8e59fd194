"""LatentPrior: the law of latent paths, and what observations say of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from tsssm.grid import Grid


class Drawn(NamedTuple):
    """Paths (b, l, k) drawn given observations, the divergence of their law from the prior (s,), and more of the loss."""

    z: Tensor
    kl: Tensor
    penalty: Tensor | None = None


class LatentPrior(nn.Module, ABC):
    """The law of latent paths on a grid. Shapes: s series in b rows of l places, states of k numbers, g covariates."""

    @abstractmethod
    def drawn(self, features: Tensor, grid: Grid, given: Tensor, mean: bool = False) -> Drawn:
        """Paths given the features (b, l, d) of observations and covariates (s, g); their means where `mean`."""

    @abstractmethod
    def between(self, z: Tensor, grid: Grid) -> Tensor:
        """Paths of `drawn` with their states at silent rows told from both sides, (b, l, k)."""
