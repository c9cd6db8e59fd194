"""Gaussian: a mean and a spread at each row."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tsssm.data.batch import Batch
from tsssm.heads.base import Head
from tsssm.heads.rows import LEVELS


class Gaussian(Head):
    """Normal distribution of each target at each row, trained by its negative log-likelihood.

    Parameters
    ----------
    d_model : int
        Width of the features.
    n_out : int
        Number of targets t.
    floor : float, default 0.001
        Smallest standard deviation, in scaled units: the likelihood of exact values would have no bound.

    Examples
    --------
    >>> from tsssm.heads import Gaussian
    >>> Gaussian(8, 2).read.out_features
    4
    """

    def __init__(self, d_model: int, n_out: int, floor: float = 0.001):
        super().__init__()
        self.read = nn.Linear(d_model, 2 * n_out)
        self.floor = floor

    def moments(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each target, (..., t)."""
        mean, raw = self.read(features).chunk(2, -1)
        return mean, nn.functional.softplus(raw) + self.floor

    def loss(self, features: Tensor, batch: Batch) -> Tensor:
        mean, std = self.moments(features)
        nll = std.log() + 0.5 * ((batch.target - mean) / std) ** 2 + 0.5 * math.log(2 * math.pi)
        return (nll * batch.wanted).sum() / batch.wanted.sum().clamp_min(1)

    def predict(self, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        mean, std = self.moments(features)
        z = torch.special.ndtri(torch.tensor(LEVELS, dtype=mean.dtype, device=mean.device))
        return {"mean": mean, "std": std, "quantiles": mean.unsqueeze(-1) + std.unsqueeze(-1) * z}
