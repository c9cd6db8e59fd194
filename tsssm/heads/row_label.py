"""RowLabel: a class at each row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsssm.data.batch import Batch
from tsssm.heads.base import Head


class RowLabel(Head):
    """Class probabilities softmax(W features) at each row, with the cross-entropy of the rows `wanted` as loss.

    The target of a batch is the number of the class, (b, l, 1).

    Parameters
    ----------
    d_model : int
        Width of the features.
    weights : Tensor, (classes,)
        Weight of each class in the loss.

    Examples
    --------
    >>> import torch
    >>> from tsssm.heads import RowLabel
    >>> RowLabel(8, torch.ones(3)).read.out_features
    3
    """

    def __init__(self, d_model: int, weights: Tensor):
        super().__init__()
        self.read = nn.Linear(d_model, len(weights))
        self.register_buffer("weights", weights)

    def loss(self, features: Tensor, batch: Batch) -> Tensor:
        wanted = batch.wanted[..., 0]
        if not bool(wanted.any()):
            return features.sum() * 0.0
        # half precision does for features, and not for a likelihood
        scores = self.read(features)[wanted]
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        number = batch.target[..., 0][wanted].long()
        return nn.functional.cross_entropy(scores, number, self.weights.to(scores.dtype))

    def predict(self, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"probability": self.probability(features)}

    def probability(self, features: Tensor) -> Tensor:
        """Probabilities of the classes, (..., classes)."""
        return self.read(features).softmax(-1)
