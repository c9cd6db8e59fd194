"""Label: the class of a series."""

from __future__ import annotations

from torch import Tensor, nn

from tsssm.data.batch import Batch
from tsssm.heads.base import Head
from tsssm.heads.pooling import Pooling


class Label(Head):
    """Class probabilities softmax(W [pooled features, static covariates]) with cross-entropy loss.

    Parameters
    ----------
    d_model : int
        Width of the features.
    weights : Tensor, (classes,)
        Weight of each class in the loss.
    n_static : int, default 0
        Number of static covariates.
    dropout : float, default 0.1
        Share of pooled features dropped in training.

    Examples
    --------
    >>> import torch
    >>> from tsssm.heads import Label
    >>> Label(8, torch.ones(3)).weights
    tensor([1., 1., 1.])
    """

    def __init__(self, d_model: int, weights: Tensor, n_static: int = 0, dropout: float = 0.1):
        super().__init__()
        self.pooling = Pooling(d_model)
        self.read = SeriesReadout(4 * d_model, n_static, len(weights), dropout)
        self.register_buffer("weights", weights)

    def _scores(self, features: Tensor, batch: Batch) -> Tensor:
        return self.read(self.pooling(features, batch.grid), batch.static)

    def loss(self, features: Tensor, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(self._scores(features, batch), batch.label, self.weights)

    def predict(self, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return self.answer(self.pooling(features, batch.grid), batch.static)

    def answer(self, pooled: Tensor, static: Tensor) -> dict[str, Tensor]:
        """Answers from pooled features (k, 4 d) and covariates (k, s)."""
        return {"probability": self.read(pooled, static).softmax(-1)}


class SeriesReadout(nn.Module):
    """Linear map of pooled features plus a small network of the static covariates: (k, p), (k, s) to (k, out)."""

    def __init__(self, n_pooled: int, n_static: int, n_out: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(n_pooled)
        self.dropout = nn.Dropout(dropout)
        self.pooled = nn.Linear(n_pooled, n_out)
        self.static = nn.Linear(n_static, n_out, bias=False) if n_static else None

    def forward(self, pooled: Tensor, static: Tensor) -> Tensor:
        out = self.pooled(self.dropout(self.norm(pooled)))
        return out if self.static is None else out + self.static(self.dropout(static))
