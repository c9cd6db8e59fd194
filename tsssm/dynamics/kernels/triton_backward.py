"""Backward kernel of the modal scan."""

from __future__ import annotations

import triton
import triton.language as tl

from tsssm.dynamics.kernels.triton_forward import move
from tsssm.dynamics.kernels.triton_math import (
    conjugate_times,
    growth,
    load,
    of_kind,
    plus,
    slope,
    store,
    times,
    where,
    zeros_like,
)
from tsssm.dynamics.kernels.triton_rows import lanes, over_channels, over_modes, place, read_modes, read_row, skip


@triton.jit
def backward_kernel(modal, extent, marks, grad_y, grad_end, grads, PLAN: tl.constexpr):
    """Run segments of time backwards from the gradients at their ends, and write the gradients asked for.

    `grads` has the fields of `modal`: of `rate`, `weight` and `start` one gradient for each segment, of `B`, `C` and
    shared gaps one for each block of channels, for others to sum up. Without `marks`, the states at the starts of the
    tiles, only that of `start` can be had.
    """
    here = lanes(extent, PLAN)
    lane, inside = here[2], here[3]
    entry, first, last = place(extent)
    states = skip(tl.program_id(0), extent.h * extent.n)
    rate = load(modal.rate, 0, lane, inside, PLAN.complex_rate)
    weight = load(modal.weight, 0, lane, inside, PLAN.complex_rate)
    back = zeros_like(rate)
    if grad_end is not None:
        back = load(grad_end, states, lane, inside, PLAN.complex_rate)
    grad_rate, grad_weight = zeros_like(rate), zeros_like(rate)
    for i in range(first, last):
        tile = first + last - 1 - i
        x = ()
        if marks is not None:
            mark = skip(entry * extent.all_tiles + tile, extent.h * extent.n)
            x = load(marks, mark, lane, inside, PLAN.complex_rate)
        rows, xs, ms = recall(modal, extent, grad_y, (entry, tile), here, (rate, x), PLAN)
        for j in tl.static_range(PLAN.rows):
            back, grad_rate, grad_weight = backward_row(
                modal,
                extent,
                grads,
                (rate, weight, back, grad_rate, grad_weight),
                (rows[PLAN.rows - 1 - j], xs[PLAN.rows - 1 - j], ms[PLAN.rows - 1 - j]),
                (entry, tile * PLAN.rows + PLAN.rows - 1 - j),
                here,
                PLAN,
            )
    store(grads.start, states, lane, back, inside)
    store(grads.rate, states, lane, grad_rate, inside)
    store(grads.weight, states, lane, grad_weight, inside)


@triton.jit
def read_grad(grad_y, extent, entry, k, here, PLAN: tl.constexpr):
    """The gradient of y at a row."""
    there = here[0] < tl.where(k < extent.l, extent.h, 0)
    return load(grad_y, skip(entry, extent.l) * extent.h, k * extent.h + here[0], there, PLAN.complex_inputs)


@triton.jit
def recall(modal, extent, grad_y, at, here, start, PLAN: tl.constexpr):
    """Rows of a tile, the states that enter them, computed again from the one at its start, and the growth over them."""
    entry, tile = at
    rate, x = start
    rows, xs, ms = (), (), ()
    for q in tl.static_range(PLAN.rows):
        k = tile * PLAN.rows + q
        rows += ((read_row(modal, extent, entry, k, here, PLAN), read_grad(grad_y, extent, entry, k, here, PLAN)),)
    for q in tl.static_range(PLAN.rows):
        gap, hold, push, on, kept = rows[q][0]
        m = growth(rate, gap, modal.alpha)
        x = where(kept, x, ())
        xs, ms = xs + (x,), ms + (m,)
        if len(x) > 0:
            B = read_modes(modal.B, extent, (entry, tile * PLAN.rows + q), here, PLAN.complex_B)
            x = where(on, move(x, times(hold, B), times(push, B), m), x)
    return rows, xs, ms


@triton.jit
def backward_row(modal, extent, grads, carried, recalled, at, here, PLAN: tl.constexpr):
    """Take the gradient of the states back over a row, and write the gradients of what the row brought.

    With `grad` that of moved = x + B push + m (x + B hold): x gets grad + conj(m) grad, and z, of which m is the
    growth, gets conj(dm/dz (x + B hold)) grad.
    """
    rate, weight, back, grad_rate, grad_weight = carried
    row, x, m = recalled
    gap, hold, push, on, kept = row[0]
    grad_y = row[1]
    C = read_modes(modal.C, extent, at, here, PLAN.complex_C)
    grad = plus(conjugate_times(times(C, weight), grad_y), where(on, back, ()))
    grown = conjugate_times(m, grad)
    if len(x) > 0:
        B = read_modes(modal.B, extent, at, here, PLAN.complex_B)
        v = times(hold, B)
        into_moved = conjugate_times(move(x, v, times(push, B), m), grad_y)
        grad_z = conjugate_times(slope(m, modal.alpha), conjugate_times(plus(x, v), grad))
        write_inputs(extent, grads, (conjugate_times(B, grown), conjugate_times(B, grad)), on, at, here, PLAN)
        write_modes(extent, grads, (hold, grown, push, grad, weight, into_moved), at, here, PLAN)
        write_gap(extent, grads.gap, of_kind(conjugate_times(rate, grad_z), False), at, here, PLAN)
        grad_rate = plus(grad_rate, times((gap,), grad_z))
        grad_weight = plus(grad_weight, conjugate_times(C, into_moved))
    passed = plus(grad, grown)
    if len(on) > 0:
        passed = plus(passed, where((on[0] == 0,), back, ()))
    return where(kept, passed, ()), grad_rate, grad_weight


@triton.jit
def write_inputs(extent, grads, parts, on, at, here, PLAN: tl.constexpr):
    """Gradients of hold and push at a row."""
    first, offset = skip(at[0], extent.l) * extent.h, at[1] * extent.h + here[0]
    there = here[0] < tl.where(at[1] < extent.l, extent.h, 0)
    if grads.hold is not None:
        value = over_modes(of_kind(parts[0], PLAN.complex_inputs), PLAN)
        store(grads.hold, first, offset, where(on, value, ()), there)
    if grads.push is not None:
        value = over_modes(of_kind(parts[1], PLAN.complex_inputs), PLAN)
        store(grads.push, first, offset, where(on, value, ()), there)


@triton.jit
def write_modes(extent, grads, parts, at, here, PLAN: tl.constexpr):
    """Gradients of B and C at a row, summed over the channels of this program. Silent rows have no inputs."""
    hold, grown, push, straight, weight, into_moved = parts
    inside = here[1] < tl.where(at[1] < extent.l, extent.n, 0)
    block = skip(at[0] * tl.num_programs(1) + tl.program_id(1), extent.l) * extent.n
    if grads.B is not None:
        value = of_kind(plus(times(hold, grown), times(push, straight)), PLAN.complex_B)
        store(grads.B, block, at[1] * extent.n + here[1], over_channels(value, PLAN), inside)
    if grads.C is not None:
        value = of_kind(conjugate_times(weight, into_moved), PLAN.complex_C)
        store(grads.C, block, at[1] * extent.n + here[1], over_channels(value, PLAN), inside)


@triton.jit
def write_gap(extent, pointer, grad, at, here, PLAN: tl.constexpr):
    """Gradient of the gap at a row: of each channel, or summed over the channels of this program."""
    if pointer is not None:
        value = over_modes(grad, PLAN)
        if PLAN.own_gaps:
            first, offset = skip(at[0], extent.l) * extent.h, at[1] * extent.h + here[0]
            store(pointer, first, offset, value, here[0] < tl.where(at[1] < extent.l, extent.h, 0))
        else:
            first = skip(at[0] * tl.num_programs(1) + tl.program_id(1), extent.l)
            alone = tl.zeros((1, 1), tl.int32)
            store(pointer, first, at[1] + alone, over_channels(value, PLAN), alone < tl.where(at[1] < extent.l, 1, 0))
