"""The pooled bank: its twin against dense computations in NumPy and the general scan, the compiled form against the twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from torch import Tensor

from tsssm.dynamics import Diagonal, ZeroOrderHold, evolve
from tsssm.dynamics.kernels.bank import Bank, Carried, Rows, outputs, pooled, pooled_loop

SIZES = [(1, 1, 1), (5, 4, 4), (16, 4, 3), (33, 2, 2), (125, 4, 4)]
by_size = pytest.mark.parametrize("size", SIZES, ids=str)


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def bank_of(g: int, k: int = 4, q: int = 4, r: int = 3, c: int = 5) -> Bank:
    rate = torch.complex(-0.05 - 2 * torch.rand(k, g).double(), 20 * torch.rand(k, g).double())
    readout = torch.randn(r, k, g, dtype=torch.complex64)
    return Bank(rate, torch.randn(c, g), readout, torch.randn(r, g), 2 * torch.randn(q, r, g), 0.3 + torch.rand(r, g))


def rows_of(lengths: list[int], c: int = 5, irregular: bool = True, most_parts: int = 1) -> Rows:
    count = sum(lengths)
    offsets = torch.tensor([0, *np.cumsum(lengths)])
    gap = 0.1 * torch.rand(count).double() if irregular else torch.full((count,), 0.05).double()
    parts = torch.randint(1, most_parts + 1, (count,), dtype=torch.int32)
    return Rows(0.3 * torch.randn(count, c).cumsum(0), gap, parts, offsets)


def in_doubles(bank: Bank, rows: Rows) -> tuple[Bank, Rows]:
    wide = [part.to(torch.complex128 if part.is_complex() else torch.float64) for part in bank]
    return Bank(*wide), rows._replace(values=rows.values.double())


def assert_near(pools: Tensor, truth: Tensor, tolerance: float = 3e-6) -> None:
    """By the size of the largest output, whose rounding moves the indicators."""
    torch.testing.assert_close(pools, truth, rtol=0, atol=tolerance * max(1.0, float(truth.abs().max())))


def assert_same(pools: Tensor, others: Tensor) -> None:
    assert torch.equal(pools.view(torch.int32), others.view(torch.int32))


def piece_of(rows: Rows, starts: Tensor, stops: Tensor) -> Rows:
    """Rows from starts to stops of each series."""
    ranges = zip((rows.offsets[:-1] + starts).tolist(), (rows.offsets[:-1] + stops).tolist(), strict=True)
    which = torch.cat([torch.arange(a, b) for a, b in ranges])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), (stops - starts).cumsum(0)])
    return Rows(rows.values[which], rows.gap[which], rows.parts[which], offsets)


def dense_outputs(
    bank: Bank, values: np.ndarray, gaps: np.ndarray, parts: np.ndarray, g: int
) -> tuple[np.ndarray, ...]:
    """Times and outputs (nodes, r) of one group: exponentials of the system of oscillators, slope and path."""
    rate, readout = bank.rate[:, g].numpy(), bank.readout[:, :, g].numpy()
    k, path = len(rate), values @ bank.mix[:, g].numpy()
    system = np.zeros((k + 2, k + 2), dtype=complex)
    system[:k, :k], system[:k, k], system[k + 1, k] = np.diag(rate), 1, 1
    read = np.concatenate([readout, np.zeros((len(readout), 1)), bank.gain[:, g, None].numpy()], 1)
    state = np.zeros(k + 2, dtype=complex)
    state[-1] = path[0]
    times, states = [0.0], [state]
    for j in range(1, len(path)):
        start = state.copy()
        start[k] = (path[j] - path[j - 1]) / gaps[j]
        for part in range(1, parts[j] + 1):
            state = expm(system * (gaps[j] * part / parts[j])) @ start
            times.append(gaps[1:j].sum() + gaps[j] * part / parts[j])
            states.append(state)
    return np.array(times), (np.array(states) @ read.T).real


def dense_pools(times: np.ndarray, y: np.ndarray, threshold: np.ndarray, steepness: float) -> np.ndarray:
    """Pools of one output, written out from their definitions."""
    total = times[-1] - times[0]
    indicators = [np.clip(y * steepness - one, 0, 1) for one in threshold]
    a = indicators[0]
    run = longest = crossings = 0.0
    for n in range(len(y)):
        before = times[n] - times[n - 1] if n else 0.0
        behind = times[n + 1] - times[n] if n + 1 < len(y) else 0.0
        run = a[n] * (run + (before + behind) / 2)
        longest = max(longest, run)
        crossings += max(a[n] - a[n - 1], 0) if n else 0.0
    shares = [np.trapezoid(one, times) / total for one in indicators]
    rms = np.sqrt(np.trapezoid(y**2, times) / total)
    lean = np.trapezoid(times * a, times) / total**2 - shares[0] / 2
    return np.array([*shares, rms, y.max(), y.min(), longest / total, crossings, lean])


def test_the_twin_is_the_dense_computation():
    bank, rows = in_doubles(bank_of(3, q=2, r=2), rows_of([7, 12], most_parts=3))
    pools, y = pooled_loop(bank, rows)[0], outputs(bank, rows)
    begin = 0
    for s, (start, stop) in enumerate([(0, 7), (7, 19)]):
        values, gaps, parts = (part[start:stop].numpy() for part in rows[:3])
        for g in range(3):
            times, truth = dense_outputs(bank, values, gaps, parts, g)
            np.testing.assert_allclose(y[begin : begin + len(times), :, g].numpy(), truth, atol=1e-11)
            for r in range(2):
                expected = dense_pools(times, truth[:, r], bank.threshold[:, r, g].numpy(), float(bank.steepness[r, g]))
                np.testing.assert_allclose(pools[s, :, r, g].numpy(), expected, atol=1e-11)
        begin += len(times)


def test_outputs_are_those_of_a_scan_that_holds_the_slope():
    bank, rows = in_doubles(bank_of(4, k=3), rows_of([40]))
    path = rows.values @ bank.mix
    slope = torch.cat([torch.zeros(1, 4).double(), path.diff(dim=0) / rows.gap[1:, None]])
    dt = torch.cat([torch.zeros(1).double(), rows.gap[1:]])[None]
    u = slope[None, :, :, None].expand(1, -1, -1, 3).to(torch.complex128)
    states, _ = evolve(Diagonal(bank.rate.T), ZeroOrderHold(), dt, u)
    y = torch.einsum("rkg,lgk->lrg", bank.readout, states[0]).real + bank.gain * path[:, None]
    torch.testing.assert_close(outputs(bank, rows), y, rtol=0, atol=1e-12)


@by_size
@pytest.mark.parametrize("irregular", [False, True])
@pytest.mark.parametrize("most_parts", [1, 3])
def test_the_compiled_form_is_the_twin(size: tuple[int, int, int], irregular: bool, most_parts: int):
    c = 1 if size[0] == 16 else 5
    bank, rows = bank_of(*size, c=c), rows_of([33, 0, 1, 2, 65, 32, 0], c, irregular, most_parts)
    assert_near(pooled(bank, rows)[0].double(), pooled_loop(*in_doubles(bank, rows))[0])


def test_of_odd_sizes_too():
    bank, rows = bank_of(17, k=7, q=9, r=1, c=40), rows_of([50, 70], c=40)
    assert_near(pooled(bank, rows)[0].double(), pooled_loop(*in_doubles(bank, rows))[0])


def test_floats_in_the_twin():
    bank, rows = bank_of(5), rows_of([40, 9])
    pools = pooled_loop(bank, rows)[0]
    assert pools.dtype == torch.float32
    assert_near(pools.double(), pooled_loop(*in_doubles(bank, rows))[0], 1e-5)


@pytest.mark.parametrize("form", [pooled, pooled_loop])
def test_series_without_rows_give_zeros(form):
    bank = bank_of(5)
    assert form(bank, rows_of([]))[0].shape == (0, 10, 3, 5)
    assert_same(form(bank, rows_of([0, 0]))[0], torch.zeros(2, 10, 3, 5))
    pools, carried = form(bank, rows_of([0, 4]), closed=False)
    assert_same(pools[0], torch.zeros(10, 3, 5))
    assert float(carried.clock[0].abs().sum()) == 0


@pytest.mark.parametrize("form", [pooled, pooled_loop])
def test_one_row_is_a_node_of_weight_one(form):
    bank, rows = bank_of(5), rows_of([1])
    pools = form(bank, rows)[0][0]
    y = bank.gain * (rows.values @ bank.mix)
    a = (y * bank.steepness - bank.threshold).clamp(0, 1)
    zero = torch.zeros(3, 5)
    torch.testing.assert_close(pools, torch.cat([a, torch.stack([y.abs(), y, y, a[0], zero, -a[0] / 2])]))


@pytest.mark.parametrize("form", [pooled, pooled_loop])
def test_a_constant_moves_no_oscillator(form):
    bank, rows = bank_of(5), rows_of([100])
    rows = rows._replace(values=rows.values[:1].expand(100, -1))
    y = bank.gain * (rows.values[:1] @ bank.mix)
    pools = form(bank, rows)[0][0]
    torch.testing.assert_close(pools[5], y, rtol=2e-6, atol=1e-6)
    torch.testing.assert_close(pools[6], y, rtol=2e-6, atol=1e-6)
    torch.testing.assert_close(pools[8], torch.zeros(3, 5))


def test_pieces_give_the_bits_of_the_whole():
    bank, rows = bank_of(19), rows_of([200, 0, 1, 97, 64], most_parts=3)
    lengths = rows.offsets.diff()
    whole, left = pooled(bank, rows, closed=False)
    carried, stops = None, torch.zeros_like(lengths)
    for share in (0, 0.01, 0.3, 0.31, 0.9):
        starts, stops = stops, (share * lengths).long()
        piece = piece_of(rows, starts, stops)
        _, carried = pooled(bank, piece, carried, closed=False)
    last, nothing = pooled(bank, piece_of(rows, stops, lengths), carried)
    assert nothing is None
    assert_same(last, whole)
    _, carried = pooled(bank, piece_of(rows, stops, lengths), carried, closed=False)
    for one, other in zip(carried, left, strict=True):
        assert torch.equal(one, other)


def test_pools_on_the_way_are_those_of_the_rows_so_far():
    bank, rows = bank_of(5), rows_of([50, 30])
    half = torch.tensor([20, 0])
    first, carried = pooled(bank, piece_of(rows, torch.zeros(2).long(), half), closed=False)
    assert_same(first, pooled(bank, piece_of(rows, torch.zeros(2).long(), half))[0])
    before = Carried(*(part.clone() for part in carried))
    pooled(bank, piece_of(rows, half, torch.tensor([50, 30])), carried, closed=False)
    for one, other in zip(carried, before, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("forms", [(pooled, pooled_loop), (pooled_loop, pooled), (pooled_loop, pooled_loop)])
def test_one_form_goes_on_where_the_other_left(forms):
    bank, rows = bank_of(5), rows_of([90, 1, 40], most_parts=2)
    lengths = rows.offsets.diff()
    stops = torch.tensor([50, 0, 33])
    _, carried = forms[0](bank, piece_of(rows, torch.zeros_like(stops), stops), closed=False)
    pools, _ = forms[1](bank, piece_of(rows, stops, lengths), carried)
    assert_near(pools.double(), pooled_loop(*in_doubles(bank, rows))[0], 1e-5)


def test_sums_of_many_rows_are_right():
    bank = bank_of(16, k=1, q=1, r=1, c=1)._replace(readout=torch.zeros(1, 1, 16, dtype=torch.complex64))
    # the indicator is 1 everywhere but once: a run of most of the series
    bank = bank._replace(mix=torch.ones(1, 16), gain=torch.ones(1, 16), threshold=torch.full((1, 1, 16), 0.7))
    bank = bank._replace(steepness=torch.full((1, 16), 2.0))
    count = 400_000
    rows = rows_of([count], 1)
    rows = rows._replace(values=(1.2 + 0.1 * torch.sin(0.01 * torch.arange(count)))[:, None].float())
    rows.values[1000] = 0
    y, times = rows.values[:, 0].double().numpy(), np.append(0, rows.gap[1:].cumsum(0))
    a = np.clip(2 * y - np.float32(0.7), 0, 1)
    w = np.convolve(np.append(rows.gap[1:], 0), [0.5, 0.5])[:count]
    total = times[-1]
    truth = [np.sum(w * a) / total, np.sqrt(np.sum(w * y**2) / total), y.max(), y.min(), w[1001:].sum() / total]
    truth += [np.maximum(np.diff(a), 0).sum(), np.sum(w * times * a) / total**2 - np.sum(w * a) / total / 2]
    pools = pooled(bank, rows)[0][0, :, 0, 3].double().numpy()
    np.testing.assert_allclose(pools, truth, rtol=5e-7, atol=1e-7)


def test_threads_change_no_bit():
    bank, rows = bank_of(40), rows_of([700, 3, 0, 900, 500])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = pooled(bank, rows)[0]
        torch.set_num_threads(3)
        assert_same(pooled(bank, rows)[0], alone)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e9, 1e15])
def test_gaps_of_any_size(scale: float):
    bank, rows = bank_of(5), rows_of([60])
    rows = rows._replace(gap=rows.gap * torch.where(torch.rand(60) < 0.3, scale, 1.0))
    pools = pooled(bank, rows)[0]
    assert bool(pools.isfinite().all())
    assert_near(pools.double(), pooled_loop(*in_doubles(bank, rows))[0], 1e-5)


def test_rows_at_one_time_are_a_jump():
    bank, rows = bank_of(5), rows_of([60])
    rows.gap[[10, 11, 40]] = 0
    near = rows._replace(gap=rows.gap.clamp(min=1e-11))
    pools = pooled(bank, rows)[0]
    assert_near(pools.double(), pooled_loop(*in_doubles(bank, rows))[0])
    assert_near(pools, pooled(bank, near)[0])
    assert bool(pooled(bank, rows._replace(gap=torch.zeros(60).double()))[0].isfinite().all())


def test_units_of_time_do_not_matter():
    bank, rows = bank_of(5), rows_of([60])
    slow = bank._replace(rate=bank.rate * 2.0**-40), rows._replace(gap=rows.gap * 2.0**40)
    assert_same(pooled(*slow)[0], pooled(bank, rows)[0])
