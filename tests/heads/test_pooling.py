"""Pooling: the form for series of one length against the general one."""

from __future__ import annotations

import torch

from tsssm.grid import Grid
from tsssm.heads import Pooling


def test_equal_lengths_are_pooled_as_any_others_with_gradients() -> None:
    torch.manual_seed(0)
    pooling, weight = Pooling(5).double(), torch.randn(4, 20, dtype=torch.float64)
    x = torch.randn(4, 7, 5, dtype=torch.float64)
    x[1, 3] = x[1, 5] = x[1].amax(0) + 1  # a tie
    found = []
    for packed in (False, True):
        # the same series end to end in one row
        grid = Grid.regular(4, 7)
        if packed:
            grid = Grid(*(part.view(1, -1) for part in (grid.dt, grid.valid, grid.reset, grid.active)))
        assert grid.single != packed
        leaf = x.clone().requires_grad_()
        pooled = pooling(leaf.view(*grid.dt.shape, -1), grid)
        found.append((pooled, *torch.autograd.grad((pooled * weight).sum(), [leaf, *pooling.parameters()])))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_pooled_features_are_what_they_say() -> None:
    torch.manual_seed(0)
    pooling, x = Pooling(3), torch.randn(2, 6, 3)
    last, mean, top, focus = pooling(x, Grid.regular(2, 6)).chunk(4, 1)
    torch.testing.assert_close(last, x[:, -1])
    torch.testing.assert_close(mean, x.mean(1))
    torch.testing.assert_close(top, x.amax(1))
    weight = pooling.score(x).exp()
    torch.testing.assert_close(focus, (weight * x).sum(1) / weight.sum(1))


def test_pools_that_grow_are_those_of_the_whole() -> None:
    torch.manual_seed(0)
    pooling, x, pooled = Pooling(3).double(), 30 * torch.randn(1, 9, 3, dtype=torch.float64), None
    for start, stop in ((0, 1), (1, 6), (6, 9)):
        pooled = pooling.grow(x[:, start:stop], pooled)
        torch.testing.assert_close(pooled.vector(), pooling(x[:, :stop], Grid.regular(1, stop)))
