"""Pieces of a modal scan run as if they were batch entries: fewer, wider steps where a row is little work."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tsssm.dynamics.kernels.loop import Modal

Scan = Callable[[Modal], tuple[Tensor, Tensor]]


def in_pieces(modal: Modal, count: int, scan: Scan) -> tuple[Tensor, Tensor]:
    """Run `scan` on `count` pieces of the rows at once; `alpha` must be None.

    Each piece is run from zero, for the state it adds; then one scan carries states from piece to piece, with the modes
    as channels, the states added as impulses and the pieces' lengths as gaps; then each piece is run from the state it
    enters with. Twice the work in 2 l / count + count steps, and with the scan's own gradients.
    """
    b, l, h = modal.inputs.shape
    n = modal.rate.shape[1]
    cut = {name: _cut(getattr(modal, name), count) for name in ("gap", "hold", "push", "reset", "active", "B", "C")}
    pieces = modal._replace(start=None, **cut)
    _, added = scan(pieces)
    gap = pieces.gap
    if pieces.active is not None:
        gap = torch.where(pieces.active if gap.dim() == 2 else pieces.active.unsqueeze(-1), gap, 0)
    gap = gap.sum(1).view(b, count, *gap.shape[2:])
    if gap.dim() == 3:
        gap = gap.unsqueeze(-1).expand(-1, -1, -1, n).flatten(2)
    carry = Modal(
        rate=modal.rate.reshape(-1, 1),
        weight=torch.ones_like(modal.rate).view(-1, 1),
        gap=gap,
        push=added.reshape(b, count, h * n),
        start=None if modal.start is None else modal.start.reshape(b, -1, 1),
        reset=None if pieces.reset is None else pieces.reset.any(1).view(b, count),
    )
    left, end = scan(carry)
    first = torch.zeros_like(left[:, :1]) if carry.start is None else carry.start.view(b, 1, -1)
    entered = torch.cat([first, left[:, :-1]], 1)
    y, _ = scan(pieces._replace(start=entered.reshape(b * count, h, n)))
    return y.reshape(b, -1, h)[:, :l], end.view(b, h, n)


def _cut(part: Tensor | None, count: int) -> Tensor | None:
    """A field (b, l, *) as (b count, rows, *), filled up with zeros: rows without gap or input change nothing."""
    if part is None:
        return None
    missing = -part.shape[1] % count
    if missing:
        part = torch.cat([part, part.new_zeros(part.shape[0], missing, *part.shape[2:])], 1)
    return part.reshape(part.shape[0] * count, -1, *part.shape[2:])
