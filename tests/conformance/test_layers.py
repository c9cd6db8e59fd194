"""What every layer keeps: its shape, the order of time, series apart, pieces equal to the whole, exact gradients."""

from __future__ import annotations

import copy
import io
import pickle
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.utils._pytree import tree_map

from tests.conformance.kinds import DISTINCT, WIDTH, every_layer, packed, small_layer, some_series
from tsssm.grid import Grid
from tsssm.layers import Bidirectional, Layer

CLOSE = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def features(grid: Grid) -> Tensor:
    return torch.randn(*grid.dt.shape, WIDTH, dtype=torch.float64)


def crowded(silent: float = 0.4) -> Grid:
    """Two rows of three and two series, with silent rows and padding."""
    torch.manual_seed(1)
    a, b, c, d, e = some_series([4, 1, 5, 6, 2], silent)
    return packed([[a, b, c], [d, e]])


@every_layer
@pytest.mark.parametrize("silent", [0.0, 0.4])
def test_shape_and_type(kind: type[Layer], silent: float):
    layer, grid = small_layer(kind), crowded(silent)
    x = features(grid)
    y, _ = layer(x, grid)
    assert y.shape == x.shape and y.dtype == torch.float64
    assert bool(torch.isfinite(y).all())


@every_layer
def test_the_past_does_not_see_the_future(kind: type[Layer]):
    layer, grid = small_layer(kind), crowded(0.2)
    x = features(grid)
    y, _ = layer(x, grid)
    changed = False
    for k in range(1, grid.dt.shape[1]):
        other = x.clone()
        other[:, k:] += 1.0
        z, _ = layer(other, grid)
        before = grid.valid.clone()
        before[:, k:] = False
        changed = changed or not torch.equal(z[before], y[before])
        if layer.causal:
            torch.testing.assert_close(z[before], y[before], **CLOSE)
    assert changed == (not layer.causal) or layer.causal


@every_layer
def test_rows_of_a_batch_and_series_in_a_row_are_apart(kind: type[Layer]):
    layer, grid = small_layer(kind), crowded()
    x = features(grid)
    y, _ = layer(x, grid)
    number = grid.segment()
    for j in range(int(number.max()) + 1):
        here = number == j
        alone = Grid(*(part[here].unsqueeze(0) for part in (grid.dt, grid.valid, grid.reset, grid.active)))
        z, _ = layer(x[here].unsqueeze(0), alone)
        torch.testing.assert_close(z.squeeze(0), y[here], **CLOSE)


@every_layer
def test_a_reset_is_a_fresh_start_also_from_a_carried_state(kind: type[Layer]):
    layer = small_layer(kind)
    if not layer.causal:
        return
    first, second = some_series([5, 4])
    before, after = packed([[first]]), packed([[second]])
    x, z = features(before), features(after)
    _, state = layer(x, before)
    torch.testing.assert_close(layer(z, after, state)[0], layer(z, after)[0], **CLOSE)
    # silent time at the end of the series before must not reach the new one either
    silent = packed([[[*first[:3], (0.7, False), (0.9, False)]]])
    _, state = layer(x, silent)
    torch.testing.assert_close(layer(z, after, state)[0], layer(z, after)[0], **CLOSE)


def in_pieces(layer: Layer, x: Tensor, grid: Grid, cuts: tuple[int, ...]) -> Tensor:
    state, answers = None, []
    for start, stop in pairwise((0, *cuts, grid.dt.shape[1])):
        y, state = layer(x[:, start:stop], grid.piece(start, stop), state)
        answers.append(y)
    return torch.cat(answers, 1)


@every_layer
@pytest.mark.parametrize("silent", [0.0, 0.5])
def test_pieces_are_the_whole(kind: type[Layer], silent: float):
    layer, grid = small_layer(kind), crowded(silent)
    if not layer.causal:
        return
    x, l = features(grid), grid.dt.shape[1]
    y, _ = layer(x, grid)
    for cuts in [(k,) for k in range(1, l)] + [(2, 3, 7), tuple(range(1, l))]:
        torch.testing.assert_close(in_pieces(layer, x, grid, cuts)[grid.valid], y[grid.valid], **CLOSE)


@every_layer
def test_a_series_that_starts_silent_runs_in_pieces(kind: type[Layer]):
    layer = small_layer(kind)
    if not layer.causal:
        return
    shown = [(1.0, True), (0.6, True), (0.8, True)]
    late = [(1.0, False), (0.5, False), (0.7, True), (0.4, False), (0.9, True)]
    grid = packed([[shown, late], [late, shown]])
    x = features(grid)
    y, _ = layer(x, grid)
    for cuts in [(k,) for k in range(1, 8)] + [tuple(range(1, 8))]:
        torch.testing.assert_close(in_pieces(layer, x, grid, cuts), y, **CLOSE)


@every_layer
def test_an_even_grid_equals_its_pieces(kind: type[Layer]):
    # whole it may run as a convolution, in pieces it cannot
    layer, grid = small_layer(kind), Grid.regular(2, 9, dtype=torch.float64)
    if not layer.causal:
        return
    x = features(grid)
    torch.testing.assert_close(in_pieces(layer, x, grid, (1, 4)), layer(x, grid)[0], **CLOSE)


@every_layer
def test_both_directions_equal_a_plain_double_loop(kind: type[Layer]):
    layer = small_layer(kind)
    if not isinstance(layer, Bidirectional):
        return
    a, b = some_series([5, 4], 0.3)
    grid = packed([[a, b]])
    x = features(grid)
    y, _ = layer(x, grid)
    for start, series in ((0, a), (5, b)):
        u = x[:, start : start + len(series)]
        shows = [shown for _, shown in series]
        later = [gap for gap, _ in series[1:]]
        back = list(zip([1.0, *reversed(later)], reversed(shows), strict=True))
        ahead = None
        for k, row in enumerate(zip([1.0, *later], shows, strict=True)):
            one = packed([[[row]]])
            one = Grid(torch.full_like(one.dt, row[0]), one.valid, one.reset & (k == 0), one.active)
            z, ahead = layer.ahead(u[:, k : k + 1], one, ahead)
            torch.testing.assert_close(y[:, start + k] - z[:, 0], _backward(layer, u, back, k), **CLOSE)


def _backward(layer: Bidirectional, u: Tensor, back: list[tuple[float, bool]], k: int) -> Tensor:
    """What the backward layer says of row k, row by row from the end of the series."""
    state, z = None, None
    for step in range(len(back) - k):
        gap, shown = back[step]
        one = packed([[[(gap, shown)]]])
        one = Grid(torch.full_like(one.dt, gap), one.valid, one.reset & (step == 0), one.active)
        place = len(back) - 1 - step
        z, state = layer.back(u[:, place : place + 1], one, state)
    return z[:, 0]


@every_layer
def test_padding_cannot_matter(kind: type[Layer]):
    layer = small_layer(kind)
    series = some_series([4, 6, 3], 0.3)
    short = packed([series[:2]])
    wide = packed([series[:2], [series[0], series[1], series[2]]])
    x = features(wide)
    y, _ = layer(x, wide)
    torch.testing.assert_close(y[:1, :10], layer(x[:1, :10], short)[0], **CLOSE)
    other = torch.where(wide.valid.unsqueeze(-1), x, 1e6)
    torch.testing.assert_close(layer(other, wide)[0][wide.valid], y[wide.valid], **CLOSE)


@every_layer
def test_silent_rows_leave_no_trace(kind: type[Layer]):
    layer = small_layer(kind)
    for series in some_series([7, 8, 9], 0.4):
        grid = packed([[series]])
        if not bool(grid.active.any()):
            continue
        x = features(grid)
        y, _ = layer(x, grid)
        kept, passed = [], 0.0
        for gap, shows in series:
            passed += gap
            if shows:
                kept.append((passed, True))
                passed = 0.0
        alone, _ = layer(x[grid.active].unsqueeze(0), packed([[kept]]))
        torch.testing.assert_close(y[grid.active], alone.squeeze(0), **CLOSE)
        noisy = torch.where(grid.active.unsqueeze(-1), x, 50.0)
        torch.testing.assert_close(layer(noisy, grid)[0][grid.active], y[grid.active], **CLOSE)


@every_layer
def test_each_silent_row_is_answered_on_its_own(kind: type[Layer]):
    layer = small_layer(kind)
    shown = [(1.0, True), (0.6, True), (0.8, True)]
    asked = packed([[[*shown, (0.5, False), (0.7, False), (0.2, True)]]])
    x = features(asked)
    y, _ = layer(x, asked)
    later = packed([[[*shown, (1.2, False), (0.2, True)]]])
    z, _ = layer(x[:, [0, 1, 2, 4, 5]], later)
    torch.testing.assert_close(y[:, 4], z[:, 3], **CLOSE)


@every_layer
def test_time_may_go_back_after_silent_rows(kind: type[Layer]):
    # forecasts from several cuts in one run: the rows asked after a cut come again later, shown
    layer = small_layer(kind)
    if not layer.causal:
        return
    shown = [(1.0, True), (0.6, True)]
    grid = packed([[[*shown, (0.5, False), (0.7, False), (-0.7, True), (0.7, True)]]])
    x = features(grid)
    y, _ = layer(x, grid)
    plain, _ = layer(x[:, [0, 1, 4, 5]], packed([[[*shown, (0.5, True), (0.7, True)]]]))
    torch.testing.assert_close(y[:, [0, 1, 4, 5]], plain, **CLOSE)
    asked, _ = layer(x[:, :4], grid.piece(0, 4))
    torch.testing.assert_close(y[:, :4], asked, **CLOSE)
    for cut in range(1, 6):
        torch.testing.assert_close(in_pieces(layer, x, grid, (cut,)), y, **CLOSE)


@every_layer
def test_gaps_matter(kind: type[Layer]):
    layer, grid = small_layer(kind), packed([some_series([6])])
    x = features(grid)
    slower = Grid(2 * grid.dt, grid.valid, grid.reset, grid.active)
    assert not torch.allclose(layer(x, grid)[0], layer(x, slower)[0])


@every_layer
def test_pickle_and_weights_round_trip(kind: type[Layer]):
    layer, grid = small_layer(kind), crowded()
    x = features(grid)
    y, _ = layer(x, grid)
    torch.testing.assert_close(pickle.loads(pickle.dumps(layer))(x, grid)[0], y, rtol=0.0, atol=0.0)
    store = io.BytesIO()
    torch.save(layer.state_dict(), store)
    store.seek(0)
    fresh = copy.deepcopy(layer)
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.fill_(0.5)
    fresh.load_state_dict(torch.load(store, weights_only=True))
    torch.testing.assert_close(fresh(x, grid)[0], y, rtol=0.0, atol=0.0)


@every_layer
def test_weights_have_real_types(kind: type[Layer]):
    # complex parameters survive neither Adam nor export nor mixed precision
    assert all(weight.dtype == torch.float32 for weight in small_layer(kind, torch.float32).state_dict().values())


@every_layer
@pytest.mark.parametrize("silent", [0.0, 0.4])
def test_gradients(kind: type[Layer], silent: float):
    torch.manual_seed(3)
    layer, grid = small_layer(kind), packed([some_series([3, 2], silent), some_series([4], silent)])
    x = features(grid).requires_grad_()
    names, weights = zip(*layer.named_parameters(), strict=True)

    def run(x: Tensor, dt: Tensor, *weights: Tensor) -> Tensor:
        there = Grid(dt, grid.valid, grid.reset, grid.active)
        y, _ = torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x, there))
        return y[grid.valid]

    parts = [weight.detach().clone().requires_grad_() for weight in weights]
    assert gradcheck(run, (x, grid.dt, *parts), fast_mode=True)


@every_layer
def test_gradients_flow_through_a_carried_state(kind: type[Layer]):
    layer, grid = small_layer(kind), packed([some_series([6], 0.3)])
    if not layer.causal:
        return
    x = features(grid).requires_grad_()
    weight = torch.randn(1, 6, WIDTH, dtype=torch.float64)
    (whole,) = torch.autograd.grad((layer(x, grid)[0] * weight).sum(), x)
    (pieces,) = torch.autograd.grad((in_pieces(layer, x, grid, (2, 4)) * weight).sum(), x)
    torch.testing.assert_close(pieces, whole, **CLOSE)


@every_layer
def test_a_carried_state_can_be_detached(kind: type[Layer]):
    layer, grid = small_layer(kind), packed([some_series([6], 0.3)])
    if not layer.causal:
        return
    x = features(grid)
    y, state = layer(x[:, :4], grid.piece(0, 4))
    state = tree_map(lambda part: part.detach() if isinstance(part, Tensor) else part, state)
    z, _ = layer(x[:, 4:], grid.piece(4, 6), state)
    torch.testing.assert_close(torch.cat([y, z], 1), layer(x, grid)[0], **CLOSE)


@every_layer
def test_every_parameter_learns(kind: type[Layer]):
    layer, grid = small_layer(kind), crowded()
    y, _ = layer(features(grid), grid)
    (y * torch.randn_like(y))[grid.valid].sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()), name
        assert float(parameter.grad.abs().max()) > 0, name


@every_layer
def test_names_of_slow_parameters_exist(kind: type[Layer]):
    layer = small_layer(kind)
    own = dict(layer.named_parameters(recurse=False))
    assert set(layer.slow) <= set(own), set(layer.slow) - set(own)
    assert isinstance(layer.causal, bool)


@every_layer
@pytest.mark.parametrize("even", [True, False])
def test_mixed_precision_works(kind: type[Layer], even: bool):
    layer = small_layer(kind, torch.float32).train()
    grid = Grid.regular(2, 9) if even else crowded().to("cpu", torch.float32)
    x = features(grid).float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = layer(x, grid)
        # what a layer before it hands over in mixed precision
        z, _ = layer(x.bfloat16(), grid)
    (y.float().square().sum() + z.float().square().sum()).backward()
    assert bool(torch.isfinite(x.grad).all())
    # what training draws is the same nowhere
    layer.eval()
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = layer(x, grid)
    exact, _ = layer(x, grid)
    scale = exact[grid.valid].abs().max().item()
    torch.testing.assert_close(y.float()[grid.valid], exact[grid.valid], rtol=0.05, atol=0.05 * scale)


@every_layer
def test_long_gaps_and_long_series_stay_finite(kind: type[Layer]):
    layer = small_layer(kind, torch.float32)
    dt = torch.ones(1, 400)
    dt[0, 100], dt[0, 200] = 1e6, 1e-3 if kind in DISTINCT else 0.0
    grid = Grid.from_gaps(dt)
    x = torch.randn(1, 400, WIDTH).requires_grad_()
    y, _ = layer(x, grid)
    y.square().mean().backward()
    assert bool(torch.isfinite(y).all()) and bool(torch.isfinite(x.grad).all())
    assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in layer.parameters())
