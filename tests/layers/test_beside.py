"""Beside: the sum it says, and an estimator whose answers grow with what is linear."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from tests.conformance.kinds import packed, some_series
from tsssm import Panel, SSMSequenceRegressor, export
from tsssm.layers import GRU, S5, Beside, Bidirectional, Recipe


def test_it_is_the_sum_of_both():
    torch.manual_seed(0)
    layer = Beside(3, Recipe(GRU), Recipe(S5, d_state=4, blocks=1)).double()
    torch.nn.init.normal_(layer.gain.weight)
    grid = packed([some_series([4, 3]), some_series([6])])
    x = torch.randn(*grid.dt.shape, 3, dtype=torch.float64)
    y, _ = layer(x, grid)
    own, other = layer.layer(x, grid)[0], layer.straight(x, grid)[0]
    torch.testing.assert_close(y, own + other @ layer.gain.weight.T, rtol=1e-12, atol=1e-12)
    state, parts = None, []
    for start in range(grid.dt.shape[1]):
        part, state = layer(x[:, start : start + 1], grid.piece(start, start + 1), state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1)[grid.valid], y[grid.valid], rtol=1e-9, atol=1e-9)


def test_it_looks_ahead_where_a_part_does():
    assert Beside(3, Recipe(GRU), Recipe(GRU)).causal
    assert not Beside(3, Recipe(GRU), Recipe(Bidirectional, layer=Recipe(GRU))).causal


def filtered(n: int, size: float, seed: int) -> tuple[Panel, Panel]:
    """Noise of some size, and what a resonant filter makes of it."""
    u = size * np.random.default_rng(seed).normal(size=(n, 100))
    y = lfilter([1.0, 0.5], [1.0, -1.4, 0.8], u)
    return Panel.from_array(u), Panel.from_array(y)


def test_answers_grow_with_a_linear_system():
    settings = {"epochs": 40, "lr": 0.01, "d_model": 16, "depth": 1, "dropout": 0.0, "batch_size": 8, "random_state": 0}
    train, large = filtered(40, 1.0, 0), filtered(10, 20.0, 1)
    scores = {
        straight: SSMSequenceRegressor(straight=straight, **settings).fit(*train).score(*large)
        for straight in (True, False)
    }
    assert scores[True] > 0.9 and scores[False] < 0.5


def test_both_ways_and_no_export(tmp_path):
    X, y = filtered(6, 1.0, 0)
    settings = {"epochs": 1, "d_model": 8, "depth": 1, "straight": True, "random_state": 0}
    both = SSMSequenceRegressor(bidirectional=True, **settings).fit(X, y)
    assert not both.models_[0].layer.causal
    with pytest.raises(ValueError, match="straight=False"):
        export(SSMSequenceRegressor(**settings).fit(X, y), tmp_path / "model.pt2", format="torch")
