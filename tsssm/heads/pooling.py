"""Pooling: from features along a series to one vector for the series."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tsssm.grid import Grid


class Pooled(NamedTuple):
    """What is kept of a series (1, d) to pool it as it grows; `score`, `count` and `weight` are (1, 1).

    `weight` and `focus` are the sum of the weights of the attention, and of weighted rows, relative to the top `score`.
    """

    last: Tensor
    total: Tensor
    count: Tensor
    top: Tensor
    score: Tensor
    weight: Tensor
    focus: Tensor

    def vector(self) -> Tensor:
        """What `Pooling` gives for the series, (1, 4 d)."""
        return torch.cat([self.last, self.total / self.count, self.top, self.focus / self.weight], 1)


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

    def grow(self, features: Tensor, before: Pooled | None) -> Pooled:
        """Go on by the rows of a piece of one series, (1, l, d)."""
        rows = features[0]
        scores = self.score(rows)
        score = scores.amax(0, keepdim=True)
        score = score if before is None else torch.maximum(score, before.score)
        weights = (scores - score).exp()
        piece = Pooled(
            last=rows[-1:],
            total=rows.sum(0, keepdim=True),
            count=score.new_full((1, 1), len(rows)),
            top=rows.amax(0, keepdim=True),
            score=score,
            weight=weights.sum(0, keepdim=True),
            focus=(weights * rows).sum(0, keepdim=True),
        )
        if before is None:
            return piece
        faded = (before.score - score).exp()
        return piece._replace(
            total=before.total + piece.total,
            count=before.count + piece.count,
            top=torch.maximum(before.top, piece.top),
            weight=faded * before.weight + piece.weight,
            focus=faded * before.focus + piece.focus,
        )


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
