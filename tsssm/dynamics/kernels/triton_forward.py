"""Forward kernels of the modal scan."""

from __future__ import annotations

import triton
import triton.language as tl

from tsssm.dynamics.kernels.triton_math import (
    conjugate_times,
    growth,
    load,
    of_kind,
    plus,
    store,
    times,
    where,
    zeros_like,
)
from tsssm.dynamics.kernels.triton_rows import lanes, over_modes, place, read_modes, read_row, skip


@triton.jit
def move(x, v, p, m):
    """x + p + m (x + v)."""
    return plus(plus(x, p), times(m, plus(x, v)))


@triton.jit
def forward_kernel(modal, extent, y, end, marks, reach, PLAN: tl.constexpr):
    """Run segments of time from their starts, a program for each segment of a batch entry and block of channels.

    Writes what is asked for: y, the states at the `end` of each segment, those at the start of each tile (`marks`, for
    the way back), and the product of the transitions over each segment (`reach`).
    """
    here = lanes(extent, PLAN)
    lane, inside = here[2], here[3]
    entry, first, last = place(extent)
    states = skip(tl.program_id(0), extent.h * extent.n)
    rate = load(modal.rate, 0, lane, inside, PLAN.complex_rate)
    weight = load(modal.weight, 0, lane, inside, PLAN.complex_rate)
    x = zeros_like(rate)
    if modal.start is not None:
        x = load(modal.start, states, lane, inside, PLAN.complex_rate)
    product = plus((1.0,), zeros_like(rate))
    for tile in range(first, last):
        store(marks, skip(entry * extent.all_tiles + tile, extent.h * extent.n), lane, x, inside)
        # all loads come before the first store, which none could pass
        rows = ()
        for q in tl.static_range(PLAN.rows):
            rows += (read_row(modal, extent, entry, tile * PLAN.rows + q, here, PLAN),)
        for q in tl.static_range(PLAN.rows):
            x, product = forward_row(
                modal, extent, y, reach, (rate, weight, x, product), rows[q], (entry, tile * PLAN.rows + q), here, PLAN
            )
    store(end, states, lane, x, inside)
    store(reach, states, lane, product, inside)


@triton.jit
def forward_row(modal, extent, y, reach, carried, row, at, here, PLAN: tl.constexpr):
    """Take the states and the product of transitions over a row, and write its y."""
    rate, weight, x, product = carried
    gap, hold, push, on, kept = row
    x = where(kept, x, ())
    m = growth(rate, gap, modal.alpha)
    B = read_modes(modal.B, extent, at, here, PLAN.complex_B)
    moved = move(x, times(hold, B), times(push, B), m)
    if y is not None:
        C = read_modes(modal.C, extent, at, here, PLAN.complex_C)
        read = of_kind(times(C, times(weight, moved)), PLAN.complex_inputs)
        first, offset = skip(at[0], extent.l) * extent.h, at[1] * extent.h + here[0]
        store(y, first, offset, over_modes(read, PLAN), here[0] < tl.where(at[1] < extent.l, extent.h, 0))
    if reach is not None:
        product = where(kept, product, ())
        product = where(on, plus(product, times(m, product)), product)
    return where(on, moved, x), product


@triton.jit
def join_kernel(
    reach, inside_end, outer, joined, extent, COMPLEX: tl.constexpr, BACKWARDS: tl.constexpr, BLOCK: tl.constexpr
):
    """Carry states over the segments: what enters each, from `outer` at the first of all.

    x_{s+1} = reach_s x_s + inside_end_s, or x_{s-1} = conj(reach_s) x_s + inside_end_s going backwards.
    """
    size = extent.h * extent.n
    lane = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < size
    entry = tl.program_id(0)
    zeros = tl.zeros((BLOCK,), tl.float32)
    x = (zeros, zeros) if COMPLEX else (zeros,)
    if outer is not None:
        x = load(outer, skip(entry, size), lane, inside, COMPLEX)
    for i in range(extent.segments):
        segment = extent.segments - 1 - i if BACKWARDS else i
        at = skip(entry * extent.segments + segment, size)
        store(joined, at, lane, x, inside)
        step = load(reach, at, lane, inside, COMPLEX)
        grown = conjugate_times(step, x) if BACKWARDS else times(step, x)
        x = plus(grown, load(inside_end, at, lane, inside, COMPLEX))
