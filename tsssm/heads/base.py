"""Head: from features to a loss and to named outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from tsssm.data.batch import Batch


class Head(nn.Module, ABC):
    """The last part of a model: it alone knows what is asked and how an answer is judged."""

    @abstractmethod
    def loss(self, features: Tensor, batch: Batch) -> Tensor:
        """Mean loss of a batch, a scalar; features (b, l, d)."""

    @abstractmethod
    def predict(self, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Named answers: one row for each series, or tensors (b, l, ...) for row-by-row questions."""
