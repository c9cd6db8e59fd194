"""SequenceModel: embed, layer, head; it serves most estimators."""

from __future__ import annotations

from torch import Tensor

from tsssm.data.batch import Batch
from tsssm.heads.base import Head
from tsssm.layers.base import Carried, Layer
from tsssm.models.base import Model
from tsssm.models.embed import Embed, Seen


class SequenceModel(Model):
    """head(layer(embed(batch))).

    Parameters
    ----------
    embed : Embed
        From channels to features.
    layer : Layer
        The backbone.
    head : Head
        What is asked.
    """

    def __init__(self, embed: Embed, layer: Layer, head: Head):
        super().__init__()
        self.embed, self.layer, self.head = embed, layer, head

    def features(self, batch: Batch) -> Tensor:
        """Features (b, l, d) of every row."""
        return self.layer(self.embed(batch), batch.grid)[0]

    def advance(self, piece: Batch, seen: Seen, state: Carried) -> tuple[Tensor, Carried]:
        """Features of a piece that goes on with a series, and the state of the layers after it."""
        return self.layer(self.embed(piece, seen), piece.grid, state)

    def loss(self, batch: Batch) -> Tensor:
        return self.head.loss(self.features(batch), batch)

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        return self.head.predict(self.features(batch), batch)
