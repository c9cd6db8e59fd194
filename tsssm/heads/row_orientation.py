"""RowOrientation: a rotation at each row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsssm.data.batch import Batch
from tsssm.heads.base import Head
from tsssm.heads.rotations import REPRESENTATIONS, angle


class RowOrientation(Head):
    """Rotation matrix R(W features) at each row, with the mean angle to the truth of the rows `wanted` as loss.

    The target of a batch is a matrix row by row, (b, l, 9), asked as a whole.

    Parameters
    ----------
    d_model : int
        Width of the features.
    representation : {"6d", "9d"}, default "6d"
        Free numbers that R is made of: two columns made orthonormal, or the rotation nearest to a matrix.

    Notes
    -----
    At first every row answers about the identity. 9d needs a singular value decomposition of each row.

    Examples
    --------
    >>> import torch
    >>> from tsssm.heads import RowOrientation
    >>> RowOrientation(8).rotation(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 5, 3, 3])
    """

    def __init__(self, d_model: int, representation: str = "6d"):
        super().__init__()
        identity, self.matrix = REPRESENTATIONS[representation]
        self.read = nn.Linear(d_model, len(identity))
        with torch.no_grad():
            self.read.bias.copy_(torch.tensor(identity))

    def rotation(self, features: Tensor) -> Tensor:
        """Rotation matrices (..., 3, 3)."""
        numbers = self.read(features)
        # half precision does for features, and not for an angle
        return self.matrix(numbers.to(torch.promote_types(numbers.dtype, torch.float32)))

    def loss(self, features: Tensor, batch: Batch) -> Tensor:
        wanted = batch.wanted.all(-1)
        if not bool(wanted.any()):
            return features.sum() * 0.0
        found = self.rotation(features[wanted])
        return angle(found, batch.target[wanted].to(found.dtype).unflatten(-1, (3, 3))).mean()

    def predict(self, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"rotation": self.rotation(features).flatten(-2)}
