"""Pooling: from features along a series to one vector for the series."""

from __future__ import annotations

from collections.abc import Callable

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
        rows, last, total, largest = _equal(features) if grid.single else _packed(features, grid)
        score = self.score(rows)
        with torch.no_grad():
            # the gradient of a largest value goes to all equal ones; asking for it costs more than this sum of one
            hit = (rows == largest(rows)).to(rows.dtype)
            count = total(torch.ones_like(rows[..., :1]))
        # subtracting the series' top score keeps the exponentials finite and changes nothing
        weight = (score - largest(score.detach())).exp()
        mean, top, focus = total(rows) / count, total(hit * rows) / total(hit), total(weight * rows) / total(weight)
        return torch.cat([last, mean, top, focus], 1)


Pieces = tuple[Tensor, Tensor, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
"""Rows, the last row of each series, sums over each series, and the largest value of a series at each of its rows."""


def _equal(features: Tensor) -> Pieces:
    """Of series that fill the rows of the batch."""
    return features, features[:, -1], lambda x: x.sum(1), lambda x: x.amax(1, keepdim=True)


def _packed(features: Tensor, grid: Grid) -> Pieces:
    """Of series end to end."""
    number = grid.segment()[grid.valid]
    series = int(number[-1]) + 1

    def total(x: Tensor) -> Tensor:
        return x.new_zeros(series, x.shape[1]).index_add(0, number, x)

    def largest(x: Tensor) -> Tensor:
        top = x.new_empty(series, x.shape[1])
        return top.scatter_reduce(0, number.unsqueeze(1).expand_as(x), x, "amax", include_self=False)[number]

    return features[grid.valid], features[grid.ends()], total, largest
