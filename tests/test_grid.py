"""The clock of a batch against plain Python loops over random grids."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tsssm.grid import Grid, held_gap, previous_active, time_since

SEEDS = range(12)


def random_grid(seed: int, b: int = 3, l: int = 12) -> Grid:
    """Rows of series end to end with padding at the end, silent rows anywhere and irregular gaps."""
    rng = np.random.default_rng(seed)
    dt, valid = np.zeros((b, l)), np.zeros((b, l), bool)
    reset, active = np.zeros((b, l), bool), np.zeros((b, l), bool)
    for i in range(b):
        place, used = 0, l - rng.integers(0, 4)
        while place < used:
            stop = min(used, place + rng.integers(1, 6))
            reset[i, place], valid[i, place:stop] = True, True
            dt[i, place:stop] = rng.uniform(0.1, 2.0, stop - place)
            dt[i, place] = 1.0
            active[i, place:stop] = rng.random(stop - place) < 0.6
            place = stop
    return Grid(*(torch.from_numpy(part) for part in (dt, valid, reset, active)))


def series_of(grid: Grid) -> list[list[tuple[int, int]]]:
    """The places of each series, found row by row."""
    series: list[list[tuple[int, int]]] = []
    for i in range(grid.dt.shape[0]):
        for k in range(grid.dt.shape[1]):
            if grid.reset[i, k]:
                series.append([])
            if grid.valid[i, k]:
                series[-1].append((i, k))
    return series


def test_regular_is_one_series_a_row():
    grid = Grid.regular(2, 3, dt=0.5, dtype=torch.float64)
    assert grid.dt.dtype == torch.float64 and bool((grid.dt == 0.5).all())
    assert grid.reset.tolist() == [[True, False, False]] * 2
    assert bool(grid.valid.all()) and bool(grid.active.all())
    assert not grid.silent and not grid.padded
    gaps = torch.tensor([[1.0, 0.3]], dtype=torch.float64)
    assert Grid.from_gaps(gaps).dt is gaps and Grid.from_gaps(gaps).reset.tolist() == [[True, False]]


@pytest.mark.parametrize("seed", SEEDS)
def test_segments_and_ends(seed: int):
    grid = random_grid(seed)
    number = torch.full(grid.dt.shape, -1)
    ends = torch.zeros_like(grid.valid)
    for j, places in enumerate(series_of(grid)):
        for i, k in places:
            number[i, k] = j
        ends[places[-1]] = True
    assert torch.equal(grid.segment(), number)
    assert torch.equal(grid.ends(), ends)
    assert grid.silent == bool((grid.valid & ~grid.active).any())
    assert grid.padded == bool((~grid.valid).any())


@pytest.mark.parametrize("seed", SEEDS)
def test_reversed_shifts_the_gaps(seed: int):
    grid = random_grid(seed)
    back, l = grid.reversed(), grid.dt.shape[1]
    dt, reset = torch.zeros_like(grid.dt), torch.zeros_like(grid.reset)
    for places in series_of(grid):
        after = None
        for i, k in reversed(places):
            # the gap before a row of the reversed series is the one before the row that was just read
            dt[i, l - 1 - k] = 1.0 if after is None else grid.dt[i, after]
            reset[i, l - 1 - k] = after is None
            after = k
    assert torch.equal(back.dt, dt) and torch.equal(back.reset, reset)
    assert torch.equal(back.valid, grid.valid.flip(1)) and torch.equal(back.active, grid.active.flip(1))
    again = back.reversed()
    assert torch.equal(again.dt, grid.dt) and torch.equal(again.reset, grid.reset)


def plain_gaps(grid: Grid, since: list[float] | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Previous active rows, held gaps, and time since the last active row at the end, row by row."""
    before, gap = torch.full(grid.dt.shape, -1), torch.zeros_like(grid.dt)
    left = torch.zeros_like(grid.dt[:, 0])
    for i in range(grid.dt.shape[0]):
        last, passed = -1, 0.0 if since is None else since[i]
        # the gap of the first active row is fixed where the series began in view, else time runs on
        first = None if since is None or since[i] >= 0 else -since[i]
        for k in range(grid.dt.shape[1]):
            if grid.reset[i, k]:
                last, first = -1, float(grid.dt[i, k])
            passed += float(grid.dt[i, k])
            before[i, k], gap[i, k] = last, passed if first is None else first
            if grid.active[i, k]:
                last, passed, first = k, 0.0, None
        left[i] = passed if first is None else -first
    return before, gap, left


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("carried", [False, True])
def test_previous_active_and_held_gaps(seed: int, carried: bool):
    grid = random_grid(seed)
    if carried:
        # a piece out of the middle of series
        grid = grid.piece(2, 12)
    since = [0.0, 0.7, -1.3] if carried else None
    before, gap, left = plain_gaps(grid, since)
    passed = None if since is None else torch.tensor(since, dtype=torch.float64)
    assert torch.equal(previous_active(grid.reset, grid.active), before)
    close = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(held_gap(grid.dt, grid.reset, grid.active, passed), gap, **close)
    torch.testing.assert_close(time_since(grid.dt, grid.reset, grid.active, passed), left, **close)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("cut", [1, 4, 7, 11])
def test_held_gaps_of_pieces_are_those_of_the_whole(seed: int, cut: int):
    grid = random_grid(seed)
    head, tail = grid.piece(0, cut), grid.piece(cut, 12)
    since = time_since(head.dt, head.reset, head.active)
    whole = held_gap(grid.dt, grid.reset, grid.active)[:, cut:]
    piece = held_gap(tail.dt, tail.reset, tail.active, since)
    torch.testing.assert_close(piece[tail.active], whole[tail.active], rtol=1e-12, atol=1e-12)
    ended = time_since(tail.dt, tail.reset, tail.active, since)
    torch.testing.assert_close(ended, time_since(grid.dt, grid.reset, grid.active), rtol=1e-12, atol=1e-12)


def test_a_first_gap_of_zero_keeps_its_sign():
    off, on = torch.zeros(1, 1, dtype=torch.bool), torch.ones(1, 1, dtype=torch.bool)
    since = time_since(torch.zeros(1, 1, dtype=torch.float64), on, off)
    gap = held_gap(torch.full((1, 1), 0.4, dtype=torch.float64), off, on, since)
    assert bool(since.signbit()) and gap.item() == 0.0


def test_long_single_precision_grids_keep_their_gaps():
    # float32 differences of a clock at 1e5 would be wrong in the second digit
    dt = torch.full((1, 100_000), 0.1, dtype=torch.float32)
    off = torch.zeros(1, 100_000, dtype=torch.bool)
    gap = held_gap(dt, off, ~off)
    assert gap.dtype == torch.float32
    torch.testing.assert_close(gap, dt, rtol=1e-6, atol=0.0)


def test_quiet_zeroes_padding_and_hands_over_silent_rows():
    grid = random_grid(0)
    x = torch.ones(3, 12, 2, dtype=torch.float64)
    same, active = grid.quiet(x)
    assert same is x and active is grid.active
    heard = Grid(grid.dt, grid.valid, grid.reset, grid.valid)
    zeroed, active = heard.quiet(x)
    assert active is None and torch.equal(zeroed[..., 0].bool(), grid.valid)
    full = Grid.regular(1, 3, dtype=torch.float64)
    assert full.quiet(x[:1, :3])[0].data_ptr() == x.data_ptr()
    single = grid.to("cpu", torch.float32)
    assert single.dt.dtype == torch.float32 and torch.equal(single.reset, grid.reset)
