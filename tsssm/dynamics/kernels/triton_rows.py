"""What the Triton kernels share: which lanes a program has, which rows, and how a row is read."""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl

from tsssm.dynamics.kernels.triton_math import load


class Extent(NamedTuple):
    """Sizes that a kernel takes at run time."""

    l: int
    h: int
    n: int
    segments: int
    # tiles in a segment, and in all of time
    tiles: int
    all_tiles: int


class Plan(NamedTuple):
    """What a kernel is compiled for.

    A program holds `channels` channels of `modes` modes (a power of two, >= n) and crosses its segment of the time in
    tiles of `rows` rows; what it keeps of a tile stays in registers.
    """

    rows: int
    channels: int
    modes: int
    own_gaps: bool
    complex_rate: bool
    complex_inputs: bool
    complex_B: bool
    complex_C: bool


@triton.jit
def lanes(extent, PLAN: tl.constexpr):
    """Channels and modes of this program, and for its lanes (channels, modes) their place in (h, n) and whether in it."""
    channel = (tl.program_id(1) * PLAN.channels + tl.arange(0, PLAN.channels))[:, None]
    mode = tl.arange(0, PLAN.modes)[None, :]
    return (channel, mode, channel * extent.n + mode, (channel < extent.h) & (mode < extent.n))


@triton.jit
def place(extent):
    """Batch entry of this program, its first tile, and the end of its tiles."""
    segment = tl.program_id(0) % extent.segments
    first = segment * extent.tiles
    return tl.program_id(0) // extent.segments, first, tl.minimum(first + extent.tiles, extent.all_tiles)


@triton.jit
def skip(count, size):
    """Numbers before an entry, which can be more than 32 bits count."""
    return count.to(tl.int64) * size


@triton.jit
def read_row(modal, extent, entry, k, here, PLAN: tl.constexpr):
    """Gap, hold, push, whether active, whether the state is kept; beyond the end of time nothing happens.

    Places within a batch entry have 32 bits: it must not hold more than 2^31 numbers.
    """
    inside = k < extent.l
    row = skip(entry, extent.l)
    channel = here[0]
    there = channel < tl.where(inside, extent.h, 0)
    if PLAN.own_gaps:
        gap = tl.load(modal.gap + row * extent.h + (k * extent.h + channel), mask=there, other=0.0)
    else:
        gap = tl.load(modal.gap + row + k, mask=inside, other=0.0)
    on, kept = (), ()
    if modal.active is not None:
        on = (tl.load(modal.active + row + k, mask=inside, other=1) != 0,)
        there = channel < tl.where(inside & on[0], extent.h, 0)
    if modal.reset is not None:
        kept = (tl.load(modal.reset + row + k, mask=inside, other=0) == 0,)
    hold, push = (), ()
    if modal.hold is not None:
        hold = load(modal.hold, row * extent.h, k * extent.h + channel, there, PLAN.complex_inputs)
    if modal.push is not None:
        push = load(modal.push, row * extent.h, k * extent.h + channel, there, PLAN.complex_inputs)
    return (gap, hold, push, on, kept)


@triton.jit
def read_modes(pointer, extent, at, here, COMPLEX: tl.constexpr):
    """B or C of a row, 1 where there is none."""
    if pointer is None:
        return (1.0,)
    else:
        inside = here[1] < tl.where(at[1] < extent.l, extent.n, 0)
        return load(pointer, skip(at[0], extent.l) * extent.n, at[1] * extent.n + here[1], inside, COMPLEX)


@triton.jit
def over_modes(value, PLAN: tl.constexpr):
    """Sum over the modes of each channel."""
    if PLAN.modes == 1:
        return value
    elif len(value) == 1:
        return (tl.sum(value[0], 1, keep_dims=True),)
    else:
        return (tl.sum(value[0], 1, keep_dims=True), tl.sum(value[1], 1, keep_dims=True))


@triton.jit
def over_channels(value, PLAN: tl.constexpr):
    """Sum over the channels of this program, for each mode."""
    if PLAN.channels == 1:
        return value
    elif len(value) == 1:
        return (tl.sum(value[0], 0, keep_dims=True),)
    else:
        return (tl.sum(value[0], 0, keep_dims=True), tl.sum(value[1], 0, keep_dims=True))
