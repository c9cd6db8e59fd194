"""HiSS beside a plain loop over its chunks, for rows and for windows of time, on irregular clocks."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from tests.conformance.kinds import packed, some_series
from tsssm.grid import Grid
from tsssm.layers import GRU, S5, HiSS, Recipe

CLOSE = {"rtol": 1e-10, "atol": 1e-10}
FAST = Recipe(S5, d_state=4, blocks=1, timescale=(0.2, 1.0))
POOLS = ("last", "mean", "attention")


def small(chunk: float, pool: str = "last") -> HiSS:
    torch.manual_seed(0)
    return HiSS(3, [(chunk, FAST), (None, Recipe(GRU))], pool).double()


def plain(layer: HiSS, x: Tensor, gaps: list[float]) -> Tensor:
    """One series without silent rows, chunk by chunk: the lowest layer anew in each, the next one over what is pooled."""
    time, chunks = 1.0, {}
    for row, gap in enumerate([0.0, *gaps[1:]]):
        time += gap
        number = row // layer.chunk if isinstance(layer.chunk, int) else -int(-time // layer.chunk) - 1
        chunks.setdefault(number, []).append((row, time))
    low, tokens, ends = torch.empty_like(x), [], []
    for number, members in chunks.items():
        rows = [row for row, _ in members]
        first = gaps[rows[0]] if isinstance(layer.chunk, int) else members[0][1] - number * layer.chunk
        dt = torch.tensor([[first, *(gaps[row] for row in rows[1:])]], dtype=x.dtype)
        low[rows] = layer.low(x[rows].unsqueeze(0), Grid.from_gaps(dt))[0][0]
        weight = torch.ones(len(rows), 1, dtype=x.dtype)
        if layer.pool == "attention":
            weight = (4 * torch.tanh(layer.score(low[rows]) / 4)).exp()
        tokens.append(low[rows[-1]] if layer.pool == "last" else (weight * low[rows]).sum(0) / weight.sum())
        ends.append(members[-1][1] / layer.chunk if isinstance(layer.chunk, int) else float(number + 1))
    dt = torch.tensor([[1.0, *(b - a for a, b in pairwise(ends))]], dtype=x.dtype)
    said = layer.high(layer.down(torch.stack(tokens)).unsqueeze(0), Grid.from_gaps(dt))[0][0]
    y = low.clone()
    for place, members in enumerate(chunks.values()):
        for order, (row, time) in enumerate(members):
            full = order + 1 == layer.chunk if isinstance(layer.chunk, int) else time >= ends[place] * layer.chunk
            if place + full:
                y[row] = y[row] + layer.up(said[place - 1 + full])
    return y


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("chunk", [1, 3, 100, 0.7, 2.5, 100.0])
def test_it_is_the_plain_loop(chunk: float, pool: str):
    layer = small(chunk, pool)
    for series in some_series([1, 11, 17]):
        x = torch.randn(len(series), 3, dtype=torch.float64)
        y, _ = layer(x.unsqueeze(0), packed([[series]]))
        torch.testing.assert_close(y[0], plain(layer, x, [1.0, *(gap for gap, _ in series[1:])]), **CLOSE)


def test_windows_of_an_even_clock_hold_their_last_sample():
    x = torch.randn(2, 40, 3, dtype=torch.float64)
    # gaps of 0.02 s in single precision, the clock of a sensor, as shares of their median
    grid = Grid.from_gaps((torch.full((2, 40), 0.02) / 0.019999999).double())
    torch.testing.assert_close(small(5)(x, grid)[0], small(5.0)(x, grid)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("chunk", [2, 1.3])
def test_pieces_are_the_whole(chunk: float, pool: str):
    torch.manual_seed(1)
    a, b, c, d, e = some_series([4, 1, 5, 6, 2], 0.4)
    grid, layer = packed([[a, b, c], [d, e]]), small(chunk, pool)
    x = torch.randn(*grid.dt.shape, 3, dtype=torch.float64)
    y, _ = layer(x, grid)
    for cuts in [(0, k, 10) for k in range(1, 10)] + [tuple(range(11))]:
        state, parts = None, []
        for start, stop in pairwise(cuts):
            part, state = layer(x[:, start:stop], grid.piece(start, stop), state)
            parts.append(part)
        torch.testing.assert_close(torch.cat(parts, 1)[grid.valid], y[grid.valid], **CLOSE)


def test_three_levels_run_at_three_rates():
    layer = HiSS(3, [(4.0, FAST), (12.0, FAST), (None, FAST)])
    assert isinstance(layer.high, HiSS) and layer.high.chunk == 3.0
    rows = []
    layer.high.high.register_forward_hook(lambda module, given, result: rows.append(given[1].valid.sum().item()))
    layer(torch.randn(1, 48, 3), Grid.regular(1, 48))
    assert rows == [4]


@pytest.mark.parametrize(
    "levels",
    [
        [(None, S5)],
        [(3, S5)],
        [(3, S5), (4, S5)],
        [(0, S5), (None, S5)],
        [("1s", S5), (None, S5)],
        [(True, S5), (None, S5)],
    ],
)
def test_levels_that_are_none_are_refused(levels: list):
    with pytest.raises(ValueError, match="chunk"):
        HiSS(3, levels)


@pytest.mark.parametrize("chunk", [1, 3, 0.7, 2.5])
def test_the_level_above_hears_of_a_row_within_the_latency(chunk: float):
    layer, gaps = small(chunk), 0.3 + torch.rand(12, dtype=torch.float64)
    time = torch.arange(12) if isinstance(chunk, int) else gaps.cumsum(0)
    x, heard = torch.randn(1, 12, 3, dtype=torch.float64), []
    layer.up.register_forward_hook(lambda up, said, out: heard.append(said[0].detach()))
    for row in range(12):
        heard.clear()
        for values in (x, x + torch.nn.functional.one_hot(torch.tensor(row), 12).view(1, 12, 1)):
            layer(values, Grid.from_gaps(gaps.unsqueeze(0)))
        differ = (heard[0] != heard[1])[0].any(-1)
        assert not differ[:row].any()
        assert differ[time >= time[row] + layer.latency].all()
