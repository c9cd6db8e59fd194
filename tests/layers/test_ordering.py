"""Selective over sets: rows in soft order of importance, whatever order they come in."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from tests.conformance.kinds import packed, some_series
from tsssm.grid import Grid
from tsssm.layers import Selective

CLOSE = {"rtol": 1e-10, "atol": 1e-10}
WIDTH = 3


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def small(**options: object) -> Selective:
    return Selective(WIDTH, d_state=2, timescale=(0.2, 1.0), **options).double()


def test_a_set_has_no_order():
    layer, grid = small(by_importance=True), Grid.regular(2, 7, dtype=torch.float64)
    assert not layer.causal
    x, shuffled = torch.randn(2, 7, WIDTH, dtype=torch.float64), torch.randperm(7)
    y, state = layer(x, grid)
    assert state is None
    torch.testing.assert_close(layer(x[:, shuffled], grid)[0], y[:, shuffled], **CLOSE)


def test_sharp_scores_give_the_rows_in_falling_order():
    layer, plain = small(by_importance=True), small()
    with torch.no_grad():
        layer.importance.fill_(1e9)
    plain.load_state_dict(layer.state_dict(), strict=False)
    grid = packed([[[(1.0, True)] * 4, [(1.0, True)] * 3], [[(1.0, True)] * 5]])
    x = torch.randn(2, 7, WIDTH, dtype=torch.float64)
    y, _ = layer(x, grid)
    for i, rows in ((0, range(4)), (0, range(4, 7)), (1, range(5))):
        falling = sorted(rows, key=lambda k, i=i: -float(layer.step_in[0].detach() @ x[i, k]))
        z, _ = plain(x[i, falling].unsqueeze(0), Grid.regular(1, len(rows), dtype=torch.float64))
        torch.testing.assert_close(y[i, falling], z[0], **CLOSE)


def test_gradients_of_a_set():
    layer, grid = small(by_importance=True), packed([some_series([4, 3])])
    leaves = [parameter.detach().clone().requires_grad_() for parameter in layer.parameters()]
    names = [name for name, _ in layer.named_parameters()]

    def run(x: Tensor, *weights: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x, grid))[0]

    assert gradcheck(run, (torch.randn(1, 7, WIDTH, dtype=torch.float64, requires_grad=True), *leaves))


def test_a_set_neither_streams_nor_asks():
    layer = small(by_importance=True)
    x = torch.randn(1, 2, WIDTH, dtype=torch.float64)
    with pytest.raises(ValueError, match="silent rows came"):
        layer(x, packed([[[(1.0, True), (1.0, False)]]]))
    with pytest.raises(ValueError, match="carried state came"):
        layer(x, Grid.regular(1, 2, dtype=torch.float64), small()(x, Grid.regular(1, 2, dtype=torch.float64))[1])
