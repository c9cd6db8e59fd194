"""A bank of damped oscillators pooled over time, node by node: the specification of the compiled form in bank.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from tsssm.dynamics.functions import expm1

# steps, in units of the fastest rate, beyond which nothing changes: shorter ones are jumps, longer ones forget all
_SHORTEST, _LONGEST = 1e-12, 1e15


class Bank(NamedTuple):
    """G groups, each with a mixture of the c channels, K damped oscillators, R readouts of them and Q thresholds.

    Attributes
    ----------
    rate : Tensor of complex128, (k, g), in radians per unit of the gaps
        complex128, so that late phases of fast oscillators are right; real parts <= 0, and no rate 0.
    mix : Tensor, (c, g)
    readout : Tensor, (r, k, g), complex
    gain : Tensor, (r, g)
    threshold : Tensor, (q, r, g)
        Multiplied by the steepness already, less 1/2.
    steepness : Tensor, (r, g)
        One over the width in which a soft indicator goes from 0 to 1.
    """

    rate: Tensor
    mix: Tensor
    readout: Tensor
    gain: Tensor
    threshold: Tensor
    steepness: Tensor


class Rows(NamedTuple):
    """Rows of n series, end to end: series s from offsets[s] to offsets[s + 1].

    Attributes
    ----------
    values : Tensor, (rows, c)
        No NaN.
    gap : Tensor of float64, (rows,)
        Time since the row before, >= 0. Not read at the first row of a series, unless that is continued.
    parts : Tensor of int32, (rows,)
        In how many equal steps the gap is crossed.
    offsets : Tensor of int64, (n + 1,)
    """

    values: Tensor
    gap: Tensor
    parts: Tensor
    offsets: Tensor


class Carried(NamedTuple):
    """What series leave behind: all but the pools of the last node, whose weight is not known before the next gap.

    Attributes
    ----------
    clock : Tensor of float64, (n, 4)
        Number of nodes, time since the first, gap before the last, and where the recent sums begin.
    state : Tensor, (n, 2 k + 1, g)
        The path, and real and imaginary part of each oscillator.
    recent : Tensor, (n, r, q + 9, g)
        Float sums of the last few nodes: shares, square, upcrossings, lean, run; then the share of the run before them
        that goes on, the last indicator, maximum, minimum, longest run.
    sums : Tensor of float64, (n, r, q + 4, g)
        Sums of all nodes before.
    """

    clock: Tensor
    state: Tensor
    recent: Tensor
    sums: Tensor


def nothing_carried(bank: Bank, n: int) -> Carried:
    """What series leave that had no rows yet."""
    (q, r, g), k = bank.threshold.shape, len(bank.rate)
    recent = bank.gain.new_zeros(n, r, q + 9, g)
    recent[:, :, q + 4 : q + 6] = 1
    recent[:, :, q + 6], recent[:, :, q + 7] = torch.finfo(recent.dtype).min, torch.finfo(recent.dtype).max
    double = {"dtype": torch.float64, "device": recent.device}
    state = recent.new_zeros(n, 2 * k + 1, g)
    return Carried(torch.zeros(n, 4, **double), state, recent, torch.zeros(n, r, q + 4, g, **double))


class _Walk(NamedTuple):
    """Where series stand: nodes so far, time, gap before the last node, path (n, g), oscillators (n, k, g)."""

    count: Tensor
    time: Tensor
    before: Tensor
    v: Tensor
    x: Tensor


def pooled_loop(
    bank: Bank, rows: Rows, carried: Carried | None = None, closed: bool = True
) -> tuple[Tensor, Carried | None]:
    """`pooled` in torch: one node after another, of all series at once.

    In doubles if the bank is. The path v is the mixture of the values, linear between rows, and with slope s over a step
    of length h the oscillators and readouts are

        x_k <- x_k + E (x_k + s / rate_k),  E = expm1(rate_k h);   y_r = Re sum_k readout_rk x_k + gain_r v

    from x = 0 at the first row. `pooled` tells parameters and pools.
    """
    carried = nothing_carried(bank, len(rows.offsets) - 1) if carried is None else carried
    walk, seen = _start(carried), _settled(carried)
    for moved, on in _nodes(bank, rows, walk):
        waiting = on & (walk.count > 0)
        seen = _see(bank, seen, walk, (walk.before + moved.before) / 2, waiting)
        walk = moved
    single = walk.time == 0
    last = torch.where(single, 1, walk.before / 2)
    pools = _close(_see(bank, seen, walk, last, walk.count > 0), torch.where(single, 1, walk.time), walk.count > 0)
    return pools, None if closed else _carried(walk, seen)


def outputs(bank: Bank, rows: Rows) -> Tensor:
    """The readouts at all nodes, series by series, (nodes, r, g)."""
    start = _start(nothing_carried(bank, len(rows.offsets) - 1))
    y, series = [bank.gain.new_zeros(0, *bank.gain.shape)], [torch.zeros(0, dtype=torch.int64)]
    for walk, on in _nodes(bank, rows, start):
        y.append(_read(bank, walk)[on])
        series.append(torch.nonzero(on).flatten())
    # from node after node of all series to series after series
    return torch.cat(y)[torch.argsort(torch.cat(series), stable=True)]


def _start(carried: Carried) -> _Walk:
    state, dtype = carried.state, carried.state.dtype.to_complex()
    x = torch.complex(state[:, 1::2], state[:, 2::2]).to(dtype)
    count, time, before, _ = carried.clock.unbind(1)
    return _Walk(count, time, before, state[:, 0], x)


def _nodes(bank: Bank, rows: Rows, walk: _Walk) -> Iterator[tuple[_Walk, Tensor]]:
    """The series one node on, again and again, and which of them have that node."""
    path = rows.values.to(bank.mix.dtype) @ bank.mix
    first = rows.offsets[:-1][rows.offsets[:-1] < rows.offsets[1:]]
    having = torch.nonzero(rows.offsets[:-1] < rows.offsets[1:]).flatten()
    fresh = walk.count[having] == 0
    earlier = torch.cat([path[:1], path[:-1]])
    earlier[first] = torch.where(fresh[:, None], path[first], walk.v[having])
    parts, gap = rows.parts.long().clamp(min=1), rows.gap.double().clone()
    parts[first], gap[first] = torch.where(fresh, 1, parts[first]), torch.where(fresh, 0.0, gap[first])
    starts = torch.cat([parts.new_zeros(1), parts.cumsum(0)])
    row_of = torch.repeat_interleave(torch.arange(len(parts)), parts)
    part = torch.arange(len(row_of)) - starts[row_of] + 1
    begin, stop = starts[rows.offsets[:-1]], starts[rows.offsets[1:]]
    for t in range(int((stop - begin).max()) if len(begin) else 0):
        on = begin + t < stop
        node = (begin + t).clamp(max=len(row_of) - 1)
        row, p = row_of[node], part[node]
        h, rise = gap[row] / parts[row], (path[row] - earlier[row]) / parts[row, None]
        moved = _step(bank, walk, h, rise)._replace(v=earlier[row] + rise * p[:, None])
        walk = _Walk(*(torch.where(_spread(on, old), new, old) for new, old in zip(moved, walk, strict=True)))
        yield walk, on


def _step(bank: Bank, walk: _Walk, h: Tensor, rise: Tensor) -> _Walk:
    fast = bank.rate.abs().max()
    z = bank.rate * (h * fast).clamp(_SHORTEST, _LONGEST)[:, None, None] / fast
    E = expm1(z)
    x = walk.x + (E * walk.x + (E / z) * rise[:, None]).to(walk.x.dtype)
    return _Walk(walk.count + 1, walk.time + h, h, walk.v, torch.where(_spread(walk.count > 0, x), x, 0))


def _read(bank: Bank, walk: _Walk) -> Tensor:
    return torch.einsum("rkg,nkg->nrg", bank.readout.to(walk.x.dtype), walk.x).real + bank.gain * walk.v[:, None]


class _Seen(NamedTuple):
    """Sums over nodes (n, r, q, g) and (n, r, g), and the state of the pools that look back."""

    share: Tensor
    square: Tensor
    ups: Tensor
    lean: Tensor
    run: Tensor
    last: Tensor
    top: Tensor
    low: Tensor
    longest: Tensor


def _see(bank: Bank, seen: _Seen, walk: _Walk, weight: Tensor, on: Tensor) -> _Seen:
    """The node where the walk stands, pooled in the series that are `on`."""
    y, w = _read(bank, walk), weight[:, None, None]
    indicator = (y[:, :, None] * bank.steepness[:, None] - bank.threshold.movedim(0, 1)).clamp(0, 1)
    first = indicator[:, :, 0]
    run = first * (seen.run + w)
    pooled = _Seen(
        seen.share + w[..., None] * indicator,
        seen.square + w * y.double() ** 2,
        seen.ups + (first - seen.last).clamp(min=0),
        seen.lean + w * walk.time[:, None, None] * first,
        run,
        first,
        torch.maximum(seen.top, y),
        torch.minimum(seen.low, y),
        torch.maximum(seen.longest, run),
    )
    return _Seen(
        *(torch.where(_spread(on, old), new, old).to(old.dtype) for new, old in zip(pooled, seen, strict=True))
    )


def _close(seen: _Seen, total: Tensor, any_node: Tensor) -> Tensor:
    T = total[:, None, None]
    share = seen.share / T[..., None]
    rest = [
        (seen.square / T).sqrt(),
        seen.top,
        seen.low,
        seen.longest / T,
        seen.ups,
        seen.lean / T**2 - share[:, :, 0] / 2,
    ]
    pools = torch.cat([share, torch.stack(rest, 2)], 2).movedim(2, 1)
    return torch.where(_spread(any_node, pools), pools, 0).to(seen.top.dtype)


def _settled(carried: Carried) -> _Seen:
    """The recent sums added to those before them."""
    q = carried.sums.shape[2] - 4
    recent, sums = carried.recent.double(), carried.sums
    total = recent[:, :, : q + 4] + sums
    total[:, :, q + 2] += carried.clock[:, 3, None, None] * recent[:, :, 0]
    total[:, :, q + 3] = recent[:, :, q + 3] + recent[:, :, q + 4] * sums[:, :, q + 3]
    ends = carried.recent[:, :, q + 5 : q + 8].unbind(2)
    return _Seen(total[:, :, :q], *total[:, :, q:].unbind(2), *ends, recent[:, :, q + 8])


def _carried(walk: _Walk, seen: _Seen) -> Carried:
    clock = torch.stack([walk.count, walk.time, walk.before, walk.time], 1)
    parts = torch.stack([walk.x.real, walk.x.imag], 2).flatten(1, 2)
    sums = torch.cat([seen.share, torch.stack([seen.square, seen.ups, seen.lean, seen.run], 2)], 2)
    zeros = torch.zeros_like(sums)
    ends = torch.stack([torch.ones_like(seen.run), seen.last, seen.top, seen.low, seen.longest], 2)
    recent = torch.cat([zeros, ends], 2).to(walk.v.dtype)
    return Carried(clock, torch.cat([walk.v[:, None], parts], 1), recent, sums)


def _spread(on: Tensor, like: Tensor) -> Tensor:
    return on.view(-1, *(1,) * (like.dim() - 1))
