"""Pooling: from features along a series to one vector for the series."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsssm.grid import Grid


class Pooling(nn.Module):
    """Last, mean, largest and attention-weighted features of each series, side by side: (k, 4 d).

    Parameters
    ----------
    d_model : int
        Width d of the features.

    Notes
    -----
    O(b l d). The weights of the attention are a softmax over the rows of a series of one learned score.

    Examples
    --------
    >>> import torch
    >>> from tsssm.grid import Grid
    >>> from tsssm.heads.pooling import Pooling
    >>> Pooling(8)(torch.randn(2, 5, 8), Grid.regular(2, 5)).shape
    torch.Size([2, 32])
    """

    def __init__(self, d_model: int):
        super().__init__()
        self.score = nn.Linear(d_model, 1)

    def forward(self, features: Tensor, grid: Grid) -> Tensor:
        rows = features[grid.valid]
        number = grid.segment()[grid.valid]
        counts = number.bincount()
        last = features[grid.ends()]
        mean = torch.segment_reduce(rows, "mean", lengths=counts)
        top = torch.segment_reduce(rows, "max", lengths=counts)
        score = self.score(rows)
        # subtracting the series' top score keeps the exponentials finite and changes nothing
        weight = (score - torch.segment_reduce(score.detach(), "max", lengths=counts)[number]).exp()
        weight = weight / torch.segment_reduce(weight, "sum", lengths=counts)[number]
        focus = torch.segment_reduce(weight * rows, "sum", lengths=counts)
        return torch.cat([last, mean, top, focus], 1)
