"""Model: what is trained; it owns the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor, nn

from tsssm.data.batch import Batch


class Model(nn.Module, ABC):
    """A network that completes a batch. Whoever adds a term to the loss is a Model."""

    terms: Mapping[str, Tensor] = MappingProxyType({})
    """Named parts of the last loss, for the history of a fit."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of a batch, a scalar."""

    @abstractmethod
    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Named answers to what the batch asks."""

    def predict_rows(self, batch: Batch, most: int) -> dict[str, Tensor]:
        """`predict` row by row; models that can do so look at no more than `most` places of the batch at once."""
        return self.predict(batch)
