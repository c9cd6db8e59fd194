"""Orientation: a rotation for a series."""

from __future__ import annotations

import torch
from torch import Tensor

from tsssm.data.batch import Batch
from tsssm.heads.base import Head
from tsssm.heads.label import SeriesReadout
from tsssm.heads.pooling import Pooling
from tsssm.heads.rotations import REPRESENTATIONS, angle


class Orientation(Head):
    """Rotation matrix R(W [pooled features, static covariates]) of a series, with the mean angle to the truth as loss.

    The label of a batch is a matrix row by row, (k, 9).

    Parameters
    ----------
    d_model : int
        Width of the features.
    representation : {"6d", "9d"}, default "6d"
        Free numbers that R is made of: two columns made orthonormal, or the rotation nearest to a matrix.
    n_static : int, default 0
        Number of static covariates.
    dropout : float, default 0.1
        Share of pooled features dropped in training.

    Examples
    --------
    >>> from tsssm.heads import Orientation
    >>> Orientation(8).read.pooled.out_features
    6
    """

    def __init__(self, d_model: int, representation: str = "6d", n_static: int = 0, dropout: float = 0.1):
        super().__init__()
        identity, self.matrix = REPRESENTATIONS[representation]
        self.pooling = Pooling(d_model)
        self.read = SeriesReadout(4 * d_model, n_static, len(identity), dropout)
        with torch.no_grad():
            self.read.pooled.bias.copy_(torch.tensor(identity))

    def loss(self, features: Tensor, batch: Batch) -> Tensor:
        numbers = self.read(self.pooling(features, batch.grid), batch.static)
        # half precision does for features, and not for an angle
        found = self.matrix(numbers.to(torch.promote_types(numbers.dtype, torch.float32)))
        return angle(found, batch.label.to(found.dtype).unflatten(-1, (3, 3))).mean()

    def predict(self, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return self.answer(self.pooling(features, batch.grid), batch.static)

    def answer(self, pooled: Tensor, static: Tensor) -> dict[str, Tensor]:
        """Answers from pooled features (k, 4 d) and covariates (k, s)."""
        return {"rotation": self.matrix(self.read(pooled, static)).flatten(-2)}
