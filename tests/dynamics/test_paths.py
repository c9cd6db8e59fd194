"""Control paths against scipy and a plain loop over series and channels, in batches packed end to end and in pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicHermiteSpline, CubicSpline
from torch import Tensor
from torch.autograd import gradcheck

from tests.conformance.kinds import packed, some_series
from tsssm.dynamics.paths import ControlPath, Hermite, Hold, Linear, check_causal
from tsssm.dynamics.splines import NaturalCubic, Rectilinear
from tsssm.grid import Grid

DOUBLE = {"dtype": torch.float64}
SCHEMES = [Hold(), Linear(), Hermite(), NaturalCubic(), Rectilinear()]
STREAMED = [Hold(), Linear(), Hermite(), Rectilinear()]
CHANNELS = 3
every_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=repr)


def case(missing: float = 0.0, silent: float = 0.0, seed: int = 0) -> tuple[Tensor, Tensor, Grid]:
    """Two rows with series of 9 | 1, 4 places, the last with padding behind."""
    torch.manual_seed(seed)
    grid = packed([[some_series([9], silent)[0]], some_series([1, 4], silent)])
    observed = (torch.rand(*grid.dt.shape, CHANNELS) >= missing) & grid.active.unsqueeze(-1)
    return torch.where(observed, torch.randn(observed.shape, **DOUBLE), 0), observed, grid


def series_of(grid: Grid) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Row of the batch, active places and their times, of each series."""
    found = []
    for b in range(len(grid.dt)):
        starts = [*np.flatnonzero(grid.reset[b]), int(grid.valid[b].sum())]
        for start, end in pairwise(starts):
            times = np.cumsum(grid.dt[b, start:end].numpy())
            shown = np.flatnonzero(grid.active[b, start:end])
            found.append((b, shown + start, times[shown] - (times[shown[0]] if len(shown) else 0)))
    return found


def reference(scheme, times: np.ndarray, x: np.ndarray):
    """One channel of one series, NaN where missing: a function of place k and fraction s that gives value and derivative."""
    seen = np.flatnonzero(np.isfinite(x))
    if isinstance(scheme, NaturalCubic):
        if len(seen):
            x = np.where(
                np.arange(len(x)) < seen[0], x[seen[0]], np.where(np.arange(len(x)) > seen[-1], x[seen[-1]], x)
            )
        knots = np.isfinite(x)
        spline = CubicSpline(times[knots], x[knots], bc_type="natural") if knots.sum() > 1 else lambda t, nu=0: 0 * t
        return lambda t, k: (spline(t), spline(t, 1))
    if isinstance(scheme, (Hold, Rectilinear)):
        held = [next((x[j] for j in range(i, -1, -1) if np.isfinite(x[j])), 0.0) for i in range(len(x))]
        return lambda t, k: (held[k - 1], 0.0)
    filled = np.interp(times, times[seen], x[seen]) if len(seen) else np.zeros(len(x))
    if len(seen):
        filled[: seen[0]] = 0.0
    slopes = np.diff(filled) / np.diff(times)
    if isinstance(scheme, Linear):
        return lambda t, k: (filled[k - 1] + slopes[k - 1] * (t - times[k - 1]), slopes[k - 1])
    spline = CubicHermiteSpline(times, filled, np.concatenate([slopes[:1], slopes]))
    return lambda t, k: (spline(t), spline(t, 1))


@every_scheme
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_equals_scipy_series_by_series_with_missing_channels(scheme, missing: float) -> None:
    values, observed, grid = case(missing)
    path, _ = scheme.path(values, observed, grid)
    for b, places, times in series_of(grid):
        for c in range(CHANNELS):
            x = np.where(observed[b, places, c], values[b, places, c], np.nan)
            if len(x) == 1:
                continue
            truth = reference(scheme, times, x)
            for s in (0.0, 0.3, 0.8):
                t = times[:-1] + s * np.diff(times)
                expected = np.array([truth(at, k) for k, at in enumerate(t, 1)], float)
                place = places[1:] * path.legs
                value, slope = path.value(s)[b, place].numpy(), path.derivative(s)[b, place].numpy()
                np.testing.assert_allclose(value[:, [0, 1 + c]], np.stack([t, expected[:, 0]], 1), atol=1e-12)
                np.testing.assert_allclose(slope[:, [0, 1 + c]], np.stack([t * 0 + 1, expected[:, 1]], 1), atol=1e-10)


@every_scheme
def test_long_series_keep_the_precision_of_a_direct_solve(scheme) -> None:
    # 300 knots with gaps over four decades
    generator = torch.Generator().manual_seed(1)
    dt = 10 ** (torch.rand(1, 300, generator=generator, **DOUBLE) * 4 - 4)
    values = torch.randn(1, 300, 1, generator=generator, **DOUBLE)
    path, _ = scheme.path(values, torch.ones(values.shape, dtype=torch.bool), Grid.from_gaps(dt))
    times = dt[0].cumsum(0).numpy() - dt[0, 0].item()
    truth = reference(scheme, times, values.flatten().numpy())
    middle = (times[1:] + times[:-1]) / 2
    expected = [float(truth(t, k)[0]) for k, t in enumerate(middle, 1)]
    ours = path.value(0.5)[0, path.legs :: path.legs, 1].numpy()
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours / scale, expected / scale, atol=1e-9)


@every_scheme
def test_paths_pass_through_what_was_observed_and_straight_lines(scheme) -> None:
    values, observed, grid = case(0.3)
    path, _ = scheme.path(values, observed, grid)
    # every piece ends where the next one of its series begins, but for jumps of held values
    if not isinstance(scheme, Hold):
        end, start = path.value(1.0)[:, :-1], path.value(0.0)[:, 1:]
        goes_on = (~path.fresh & path.active)[:, 1:].unsqueeze(-1)
        torch.testing.assert_close(torch.where(goes_on, end, 0), torch.where(goes_on, start, 0))
        reached = path.value(1.0)[:, path.legs - 1 :: path.legs, 1:]
        torch.testing.assert_close(torch.where(observed, reached, 0), values)
    if isinstance(scheme, (Linear, Hermite, NaturalCubic)):
        times = path.times + path.gap
        line = torch.stack([2 * times + 1, -times, times], -1)
        straight, _ = scheme.path(torch.where(observed, line, 0), observed | (times == 0).unsqueeze(-1), grid)
        inner = ~straight.fresh.unsqueeze(-1) & observed
        expected = torch.where(inner, line.new_tensor([2.0, -1.0, 1.0]), 0)
        complete, _ = scheme.path(line, torch.ones_like(observed), grid)
        torch.testing.assert_close(torch.where(inner, complete.derivative(0.4)[..., 1:], 0), expected)


@pytest.mark.parametrize(("scheme", "order"), [(Linear(), 2.0), (Hermite(), 2.0), (NaturalCubic(), 4.0)], ids=repr)
def test_order_of_approximation(scheme, order: float) -> None:
    errors = []
    for l in (65, 129):
        times = torch.linspace(0, 3, l, **DOUBLE)
        dt = torch.cat([torch.ones(1, **DOUBLE), times.diff()]).unsqueeze(0)
        x = torch.sin(3 * times).reshape(1, l, 1)
        path, _ = scheme.path(x, torch.ones(1, l, 1, dtype=torch.bool), Grid.from_gaps(dt))
        at = path.times + 0.3 * path.gap  # the middle is too good: Hermite is of third order there
        inner = slice(l // 4, 3 * l // 4)  # natural splines are of second order at their ends
        errors.append((path.value(0.3)[0, inner, 1] - torch.sin(3 * at[0, inner])).abs().max().item())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("scheme", [Hermite(), NaturalCubic()], ids=repr)
def test_smooth_paths_have_no_kinks(scheme) -> None:
    path, _ = scheme.path(*case(0.3))
    goes_on = (~path.fresh & path.active)[:, 1:].unsqueeze(-1) & ~path.fresh[:, :-1].unsqueeze(-1)
    end, start = path.derivative(1.0)[:, :-1], path.derivative(0.0)[:, 1:]
    torch.testing.assert_close(torch.where(goes_on, end, 0), torch.where(goes_on, start, 0))


# what a path may know


@pytest.mark.parametrize("scheme", STREAMED, ids=repr)
@pytest.mark.parametrize("silent", [0.0, 0.4])
def test_pieces_with_the_state_passed_on_equal_the_whole(scheme, silent: float) -> None:
    values, observed, grid = case(0.0, silent)
    for counts in ("none", "rows", "channels"):
        whole, last = scheme.path(values, observed, grid, counts)
        state, pieces = None, []
        for start, stop in ((0, 1), (1, 3), (3, 4), (4, 9)):
            part = slice(start, stop)
            piece, state = scheme.path(values[:, part], observed[:, part], grid.piece(start, stop), counts, state)
            pieces.append(piece)
        for s in (0.0, 0.5, 1.0):
            for name in ("value", "derivative"):
                together = torch.cat([getattr(piece, name)(s) for piece in pieces], 1)
                torch.testing.assert_close(together, getattr(whole, name)(s))
        for name in ("gap", "times", "fresh", "active"):
            torch.testing.assert_close(torch.cat([getattr(piece, name) for piece in pieces], 1), getattr(whole, name))
        for ours, theirs in zip(state, last, strict=True):
            torch.testing.assert_close(ours, theirs)


@every_scheme
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_the_declared_causality_holds(scheme, missing: float) -> None:
    values, observed, grid = case(missing)
    path, _ = scheme.path(values, observed, grid)
    looks_ahead = missing > 0 and isinstance(scheme, (Linear, Hermite))
    assert path.causality == ("none" if looks_ahead else scheme.causality)
    for row in range(1, 8):
        other, hidden = values.clone(), observed.clone()
        other[0, row + 1 :] += 1.0
        changed, _ = scheme.path(torch.where(hidden, other, 0), hidden, grid)
        upto = (row + 1) * path.legs
        same = torch.equal(path.value(0.7)[0, :upto], changed.value(0.7)[0, :upto])
        assert same or path.causality == "none"
        if path.causality == "strict":
            # the piece after the row does not see its end before it is there
            torch.testing.assert_close(path.value(0.99)[0, upto], changed.value(0.99)[0, upto])
    if path.causality == "none":
        with pytest.raises(ValueError, match="look ahead"):
            check_causal(path)
    else:
        assert check_causal(path) is path


@every_scheme
def test_silent_rows_leave_no_trace(scheme) -> None:
    values, observed, grid = case(0.0, 0.4, seed=3)
    path, _ = scheme.path(values, observed, grid)
    for b, places, times in series_of(grid):
        alone = Grid.from_gaps(torch.tensor(np.diff(times, prepend=-1.0))[None])
        without, _ = scheme.path(values[b : b + 1, places], observed[b : b + 1, places], alone)
        legs = (places[:, None] * path.legs + np.arange(path.legs)).ravel()
        for s in (0.0, 0.6):
            torch.testing.assert_close(path.value(s)[b : b + 1, legs], without.value(s))
        torch.testing.assert_close(path.gap[b : b + 1, legs], without.gap)


def test_silent_rows_see_held_values_and_moving_time() -> None:
    grid = packed([[[(1.0, True), (0.5, False), (0.5, True), (2.0, False), (1.0, False)]]])
    values = torch.tensor([[[1.0], [0.0], [3.0], [0.0], [0.0]]], **DOUBLE)
    for scheme in STREAMED:
        path, _ = scheme.path(values, grid.active.unsqueeze(-1), grid)
        end = path.value(1.0)[0, path.legs - 1 :: path.legs]
        assert end[:, 0].tolist() == [0.0, 0.5, 1.0, 3.0, 4.0]
        assert end[[1, 3, 4], 1].tolist() == [1.0, 3.0, 3.0]
        assert path.derivative(0.5)[0, 2 * path.legs - 1].tolist() == [1.0, 0.0]


def test_counts_of_rows_and_channels() -> None:
    values, observed, grid = case(0.4)
    numbers = torch.where(grid.reset.cumsum(1)[1] == 2, 1, 0)  # the second series of the second row
    per_row = Linear().path(values, observed, grid, "rows")[0].value(1.0)[1, :, 1]
    assert per_row[numbers == 1][:4].tolist() == [1.0, 2.0, 3.0, 4.0]
    per_channel = Linear().path(values, observed, grid, "channels")[0].value(1.0)[1, :, 1 : 1 + CHANNELS]
    torch.testing.assert_close(per_channel[1:5], observed[1, 1:5].double().cumsum(0))
    assert per_channel[0].tolist() == observed[1, 0].double().tolist()


def test_rates_integrate_to_the_rise_and_a_rectilinear_path_has_its_length() -> None:
    values, observed, grid = case()
    for scheme in SCHEMES:
        path, _ = scheme.path(values, observed, grid)
        # Simpson's rule is exact for the derivative of a cubic
        rise = (path.rates().value(0.0) + 4 * path.rates().value(0.5) + path.rates().value(1.0)) / 6
        torch.testing.assert_close(rise, path.value(1.0) - path.value(0.0))
    path, _ = Rectilinear().path(values, observed, grid)
    steps = values[0].diff(dim=0).abs().sum() + grid.dt[0, 1:].sum()
    torch.testing.assert_close(path.rates().value(0.0)[0].abs().sum(), steps)


@every_scheme
def test_gradients_by_values_and_gaps(scheme) -> None:
    values, observed, grid = case(0.3)

    def run(values: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        path: ControlPath = scheme.path(values, observed, Grid(dt, grid.valid, grid.reset, grid.active))[0]
        return path.value(0.3), path.derivative(0.7)

    # gradients by gaps of rows that start a series are 0: they have none
    dt = (grid.dt + 0.1 * ~grid.valid).requires_grad_()
    assert gradcheck(run, (values.requires_grad_(), dt))


@every_scheme
def test_empty_channels_single_rows_and_float32(scheme) -> None:
    grid = Grid.regular(2, 1, dtype=torch.float32)
    path, _ = scheme.path(torch.zeros(2, 1, 2), torch.zeros(2, 1, 2, dtype=torch.bool), grid)
    assert path.value(0.5).dtype == torch.float32 and not path.value(0.5).any()
    long, _ = scheme.path(torch.zeros(1, 4, 1), torch.zeros(1, 4, 1, dtype=torch.bool), Grid.regular(1, 4))
    assert not long.value(0.5)[..., 1:].any()


def test_bad_input_is_named() -> None:
    values, observed, grid = case()
    twice = Grid(torch.where(grid.reset, 1.0, 0.0).double() * grid.valid, grid.valid, grid.reset, grid.active)
    for scheme in (Hermite(), NaturalCubic()):
        with pytest.raises(ValueError, match="different times"):
            scheme.path(values, observed, twice)
    for scheme in (Hold(), Linear(), Rectilinear()):
        assert scheme.path(values, observed, twice)[0].derivative(0.5).isfinite().all()
    with pytest.raises(ValueError, match="finite where"):
        Hold().path(values.masked_fill(observed, torch.nan), observed, grid)
    with pytest.raises(ValueError, match="gaps must be finite"):
        Hold().path(values, observed, Grid(-grid.dt, grid.valid, grid.reset, grid.active))
    with pytest.raises(ValueError, match="grid of"):
        Hold().path(values[:, 1:], observed, grid)
    with pytest.raises(ValueError, match="counts"):
        Hold().path(values, observed, grid, "all")
    _, state = Hold().path(values, observed, grid)
    with pytest.raises(ValueError, match="whole series"):
        NaturalCubic().path(values, observed, grid, state=state)
    with pytest.raises(ValueError, match="`state`"):
        Hold().path(values, observed, grid, "rows", state=state)
