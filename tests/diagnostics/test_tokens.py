"""Token dynamics: eigenvalues by hand, norms block by block, and what both scenarios do over depth."""

from __future__ import annotations

import pytest
import torch

from tests.conformance.kinds import packed, some_series
from tsssm.diagnostics import token_dynamics
from tsssm.grid import Grid
from tsssm.layers import S5, Recipe, Selective, Stack


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def test_eigenvalues_are_those_of_the_quadratic_form():
    stack = Stack(6, Recipe(Selective, d_state=1), depth=2).double().eval()
    found = token_dynamics(stack, torch.randn(1, 4, 6).double(), Grid.regular(1, 4, dtype=torch.float64))
    for values, block in zip(found.eigenvalues, stack.blocks, strict=True):
        B, C = block.layer.to_B[0], block.layer.to_C[0]
        # of c b^T + b c^T over 2: (b.c +- |b| |c|) / 2, and zeros
        ends = (B @ C + torch.stack([-B.norm() * C.norm(), B.norm() * C.norm()])) / 2
        torch.testing.assert_close(values[[0, -1]], ends)
        assert float(values[1:-1].abs().max()) < 1e-12


def test_norms_are_those_between_blocks_without_padding():
    stack, grid = (
        Stack(4, Recipe(S5, d_state=4, blocks=1), depth=2).double().eval(),
        packed([some_series([3, 2]), some_series([4])]),
    )
    x = torch.randn(2, 5, 4, dtype=torch.float64)
    found = token_dynamics(stack, x, grid)
    assert found.eigenvalues == []
    y, _ = stack.blocks[0](x, grid, None)
    torch.testing.assert_close(found.norms[1], torch.stack([row.norm() for row in y[grid.valid]]).mean())
    assert found.norms.shape == (3,)


@pytest.mark.parametrize(("sign", "depth"), [(-1.0, 400), (1.0, 20)])
def test_the_sign_of_the_eigenvalue_decides_between_convergence_and_divergence(sign: float, depth: int):
    # one feature, depth as time, layers alone: the setting of the theorem
    layer = Selective(1, d_state=1).double()
    with torch.no_grad():
        layer.D.zero_()
        layer.to_B.fill_(sign)
        layer.to_C.fill_(1.0)
        layer.step_bias.fill_(-1.0)
    x = start = torch.rand(1, 6, 1, dtype=torch.float64) + 0.5
    for _ in range(depth):
        x = x + 0.05 * layer(x, Grid.regular(1, 6, dtype=torch.float64))[0]
    assert bool((x < 0.5 * start).all()) if sign < 0 else bool((x > start).all())
