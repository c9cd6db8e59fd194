"""RowHead: what row-by-row heads share - targets in, quantiles at fixed levels out."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from tsssm.data.batch import Batch
from tsssm.heads.base import Head

LEVELS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98)
"""Levels of the quantiles that all row-by-row heads answer with."""


class RowHead(Head):
    """A distribution of each target at each row; the loss is the mean over the entries `wanted`.

    Parameters
    ----------
    d_model : int
        Width of the features.
    n_targets : int
        Number of targets t.
    n_parameters : int
        Numbers that describe one distribution.
    """

    def __init__(self, d_model: int, n_targets: int, n_parameters: int):
        super().__init__()
        self.read = nn.Linear(d_model, n_targets * n_parameters)
        self.n_parameters = n_parameters
        self.register_buffer("levels", torch.tensor(LEVELS, dtype=torch.float64), persistent=False)
        nn.init.zeros_(self.read.bias)

    def parameters_of(self, features: Tensor) -> Tensor:
        """Numbers of each distribution, (..., t, n_parameters), in the precision of the weights."""
        return self.read(features).unflatten(-1, (-1, self.n_parameters))

    @abstractmethod
    def losses(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Loss of each entry: parameters (r, n_parameters) and target (r,) to (r,)."""

    @abstractmethod
    def quantiles(self, parameters: Tensor) -> Tensor:
        """Quantiles at `LEVELS`, increasing: (..., n_parameters) to (..., levels)."""

    def loss(self, features: Tensor, batch: Batch) -> Tensor:
        if not bool(batch.wanted.any()):
            return features.sum() * 0.0
        parameters = self.parameters_of(features)[batch.wanted]
        # half precision does for features, and not for a likelihood
        parameters = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
        return self.losses(parameters, batch.target[batch.wanted].to(parameters.dtype)).mean()

    def predict(self, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"quantiles": self.quantiles(self.parameters_of(features))}
