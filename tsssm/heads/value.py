"""Value: numbers of a series."""

from __future__ import annotations

from torch import Tensor, nn

from tsssm.data.batch import Batch
from tsssm.heads.base import Head
from tsssm.heads.label import SeriesReadout
from tsssm.heads.pooling import Pooling


class Value(Head):
    """Numbers W [pooled features, static covariates] of a series, with the Huber loss of standardised targets.

    Parameters
    ----------
    d_model : int
        Width of the features.
    n_out : int
        How many numbers.
    n_static : int, default 0
        Number of static covariates.
    dropout : float, default 0.1
        Share of pooled features dropped in training.

    Examples
    --------
    >>> from tsssm.heads import Value
    >>> Value(8, 1).read.pooled.out_features
    1
    """

    def __init__(self, d_model: int, n_out: int, n_static: int = 0, dropout: float = 0.1):
        super().__init__()
        self.pooling = Pooling(d_model)
        self.read = SeriesReadout(4 * d_model, n_static, n_out, dropout)

    def _values(self, features: Tensor, batch: Batch) -> Tensor:
        return self.read(self.pooling(features, batch.grid), batch.static)

    def loss(self, features: Tensor, batch: Batch) -> Tensor:
        return nn.functional.huber_loss(self._values(features, batch), batch.label, delta=2.0)

    def predict(self, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return self.answer(self.pooling(features, batch.grid), batch.static)

    def answer(self, pooled: Tensor, static: Tensor) -> dict[str, Tensor]:
        """Answers from pooled features (k, 4 d) and covariates (k, s)."""
        return {"value": self.read(pooled, static)}
