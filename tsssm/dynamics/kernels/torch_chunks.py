"""Chunks of rows of a modal scan in plain torch.

Arrays are (rows, batch, n, h), so that sums over n and over rows run along whole vectors, and gaps and inputs spread
over a row without a copy. A row is one `lerp`, for with pull = -m = 1 - exp(z)

    X + m (X + B hold) = X + pull (-B hold - X),

the state on its way to where a held input lets it rest. Neither 1 + m, which loses the digits of short gaps, nor any
difference of near numbers appears. Complex numbers are multiplied as such (1.4 ns per state and row; 2.7 ns by real and
imaginary parts), but exponentials are made of real functions, in buffers that every chunk uses again (5 ns per state;
26 ns in new memory, most of it page faults).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from tsssm.dynamics.kernels.loop import Modal

# Rows between kept states, and states of a row at once on a CPU: few enough for its caches, and enough that the
# microsecond an operation costs anyway is small beside its work.
ROWS = 64
STATES = 4096


class Buffers:
    """Memory by name, handed out again and again: new pages cost more than the arithmetic done in them."""

    def __init__(self, like: Tensor) -> None:
        self.like = like.detach()
        self.held: dict[str, Tensor] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
        count = torch.Size(shape).numel()
        if name not in self.held or self.held[name].numel() < count:
            self.held[name] = self.like.new_empty(count, dtype=dtype or self.like.dtype)
        return self.held[name][:count].view(shape)


class Chunk(NamedTuple):
    """Some rows of some batch entries of a scan; its fields are (rows, batch, n, h), with axes of size 1."""

    modal: Modal
    known: tuple[Tensor, Tensor] | None
    rows: slice
    batch: slice
    forgets: list[bool]

    def states(self, start: Tensor, buffers: Buffers) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pull of each row, the states before and after it, and the state that is passed on."""
        modal, count = self.modal, len(self.forgets)
        pull = self.pull(buffers)
        rest, push = self.spread(modal.hold, -1), self.spread(modal.push, 1)
        rests = [start.new_zeros(())] * count if rest is None else rest.unbind(0)
        pushes = [None] * count if push is None else push.unbind(0)
        states = buffers("states", (count + 1, *start.shape))
        states[0] = start
        X, *rows = states.unbind(0)
        for k, (row, rest_k, pull_k, push_k) in enumerate(zip(rows, rests, self.chain(pull), pushes, strict=True)):
            X = torch.lerp(self.remembered(X, k), rest_k, pull_k, out=row)
            if push_k is not None:
                X += push_k
        before, after = states[:-1], states[1:]
        if any(self.forgets):
            before = before.masked_fill(modal.reset, 0)
        if modal.active is not None:
            after = torch.where(modal.active, after, before - pull * before)
        return pull, before, after, X

    def chain(self, pull: Tensor) -> tuple[Tensor, ...]:
        """Pulls on what is passed from row to row: none at a silent row, which is read on the side."""
        return (pull if self.modal.active is None else torch.where(self.modal.active, pull, 0)).unbind(0)

    def remembered(self, X: Tensor, k: int) -> Tensor:
        """X, or 0 where row k starts a new series."""
        return X.masked_fill(self.modal.reset[k], 0) if self.forgets[k] else X

    def spread(self, part: Tensor | None, sign: int) -> Tensor | None:
        """An input as it enters the modes: B times it, nothing at silent rows."""
        if part is None:
            return None
        spread = sign * part if self.modal.B is None else sign * part * self.modal.B
        return spread if self.modal.active is None else torch.where(self.modal.active, spread, 0)

    def pull(self, buffers: Buffers) -> Tensor:
        """Pull of each row, computed or looked up."""
        if self.known is None:
            return pull_of(self.modal.rate, self.modal.gap, self.modal.alpha, buffers)
        table, index = self.known
        if len(table) == 1:
            return table.unsqueeze(0).expand(*index.shape, -1, -1)
        found = buffers("pull", (index.numel(), *table.shape[1:]))
        return torch.index_select(table, 0, index.flatten(), out=found).view(*index.shape, *table.shape[1:])


def pull_of(rate: Tensor, gap: Tensor, alpha: float | None, buffers: Buffers) -> Tensor:
    """1 - exp(z) at z = rate gap, or z / (alpha z - 1)."""
    shape = torch.broadcast_shapes(rate.shape, gap.shape)
    pull = buffers("pull", shape)
    if alpha is not None:
        z = torch.mul(rate, gap, out=pull)
        return z.div_(torch.mul(z, alpha, out=buffers("scratch", shape)).sub_(1))
    if not rate.is_complex():
        return torch.mul(rate, gap, out=pull).expm1_().neg_()
    # with z = a + ib: -expm1(a) + 2 e^a sin(b/2)^2 - 2i e^a sin(b/2) cos(b/2)
    re, im, sine, twice = (buffers(name, shape, gap.dtype) for name in ("re", "im", "sine", "twice"))
    torch.mul(rate.real, gap, out=re).expm1_().neg_()
    torch.mul(re, -2, out=twice).add_(2)
    torch.mul(rate.imag, gap / 2, out=im)
    torch.sin(im, out=sine)
    im.cos_().mul_(sine).mul_(twice).neg_()
    re.addcmul_(twice, sine.mul_(sine))
    return torch.complex(re, im, out=pull)


def shared_gaps(modal: Modal) -> tuple[Tensor, Tensor] | None:
    """Gaps that differ, and which of them each row (l, b) has, where that is cheaper than all exponentials.

    Sorting a gap costs as much as 20 complex exponentials, looking one up a twentieth of it. Not on other devices,
    where exponentials are cheap and the count of what differs has to be waited for.
    """
    gap, cost = modal.gap, modal.rate.numel() * (4 if modal.rate.is_complex() else 1)
    if gap.dim() > 2 or gap.device.type != "cpu" or cost < 256:
        return None
    gaps, index = gap.mT.unique(return_inverse=True)
    return (gaps, index) if 8 * gaps.numel() <= gap.numel() else None


def rows_first(part: Tensor | None, new_axis: int, dtype: torch.dtype | None = None) -> Tensor | None:
    """A field (b, l, *) as (l, b, 1, h) for a new axis 2, (l, b, n, 1) for 3, or (l, b, 1, 1)."""
    if part is None:
        return None
    part = part.transpose(0, 1)
    part = part[..., None, None] if part.dim() == 2 else part.unsqueeze(new_axis)
    return part.to(part.dtype if dtype is None else dtype).contiguous()


def blocks(modal: Modal, shared: tuple[Tensor, Tensor] | None, buffers: Buffers) -> Iterator[list[Chunk]]:
    """Blocks of the batch that fit a CPU's caches, each in chunks of rows; one block on wider devices."""
    b, l = modal.inputs.shape[:2]
    rate, weight, dtype = modal.rate.mT.contiguous(), modal.weight.mT.contiguous(), modal.rate.dtype
    table = None if shared is None else pull_of(rate, shared[0].view(-1, 1, 1), modal.alpha, buffers).clone()
    moving = [rows_first(part, 2) for part in (modal.gap, modal.reset, modal.active)]
    moving += [rows_first(part, 2, dtype) for part in (modal.hold, modal.push)]
    moving += [rows_first(part, 3, dtype) for part in (modal.B, modal.C)]
    forgets = [False] * l if modal.reset is None else modal.reset.any(0).tolist()
    size = max(1, STATES // rate.numel()) if rate.device.type == "cpu" else b

    def chunk(rows: slice, batch: slice) -> Chunk:
        gap, reset, active, hold, push, B, C = (None if part is None else part[rows, batch] for part in moving)
        part = Modal(rate, weight, gap, hold, push, None, reset, active, modal.alpha, B, C)
        known = None if table is None else (table, shared[1][rows, batch])
        return Chunk(part, known, rows, batch, forgets[rows])

    for first in range(0, b, size):
        batch = slice(first, min(first + size, b))
        yield [chunk(slice(top, min(top + ROWS, l)), batch) for top in range(0, l, ROWS)]
