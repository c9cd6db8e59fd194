"""A differentiable order of the rows of each series."""

from __future__ import annotations

import torch
from torch import Tensor

from tsssm.grid import Grid

# how blurred the order is, in units of the score, whose own scale is learned
TEMPERATURE = 0.1


def soft_order(score: Tensor, grid: Grid) -> Tensor:
    """Which row comes at which place when rows of a series go by falling score: rows of weights that sum to 1.

    ``softmax(-|s_(k) - s_j| / 0.1)`` over the rows j of a series, with s_(k) the score at place k of the sorted ones.

    Parameters
    ----------
    score : Tensor, (b, l)
    grid : Grid
        Tells which rows belong to one series; padding keeps to itself.

    Returns
    -------
    Tensor, (b, l, l)
        Place, row. The closer the scores, the more the rows are mixed.

    Notes
    -----
    O(b l^2). Source: Prillo and Eisenschlos, 2020, SoftSort, equation 4.

    Examples
    --------
    >>> import torch
    >>> soft_order(torch.tensor([[1.0, 99.0]]), Grid.regular(1, 2))
    tensor([[[0., 1.],
             [1., 0.]]])
    """
    series = grid.segment()
    # padding lies behind all series of a row, and so must its number
    series = torch.where(series < 0, series.numel(), series)
    falling = score.argsort(dim=1, descending=True, stable=True)
    falling = falling.gather(1, series.gather(1, falling).argsort(dim=1, stable=True))
    distance = (score.gather(1, falling).unsqueeze(-1) - score.unsqueeze(1)).abs()
    apart = series.unsqueeze(-1) != series.unsqueeze(1)
    return (distance / -TEMPERATURE).masked_fill(apart, -torch.inf).softmax(-1)
