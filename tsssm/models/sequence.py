"""SequenceModel: embed, layer, head; it serves most estimators."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tsssm.data.batch import Batch
from tsssm.heads.base import Head
from tsssm.layers.base import Carried, Layer
from tsssm.models.base import Model
from tsssm.models.embed import Embed, Seen, carried


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

    def predict_rows(self, batch: Batch, most: int) -> dict[str, Tensor]:
        """`predict` of a head that answers each row from its own features, within bounded memory.

        A layer that looks back only is run in pieces of at most `most` places with its state carried, which gives the
        same numbers; any other one is run at once.
        """
        length = batch.grid.dt.shape[1]
        if length <= most or not self.layer.causal:
            return self.predict(batch)
        seen, state = carried(batch.values, batch.observed, batch.grid), None
        answers: list[dict[str, Tensor]] = []
        for start in range(0, length, most):
            here = slice(start, start + most)
            values, observed, grid = batch.values[:, here], batch.observed[:, here], batch.grid.piece(start, here.stop)
            piece = replace(batch, values=values, observed=observed, grid=grid)
            part = Seen(seen.value[:, here], seen.age[:, here])
            features, state = self.advance(piece, part, state)
            answers.append(self.head.predict(features, piece))
        return {name: torch.cat([answer[name] for answer in answers], 1) for name in answers[0]}
