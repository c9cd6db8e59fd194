"""Row after row through matrices that are made once for each distinct gap, with the gradient walked back by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tsssm.dynamics.rows import Rows
from tsssm.dynamics.rules import LinearDiscretization
from tsssm.dynamics.state_matrix import StateMatrix


class Crossings(NamedTuple):
    """How channels cross some gaps: ``x1 = transition x0 + before u0 + after u1``, first axis the gaps.

    `gaps` (g,) holds them in increasing order where rows look theirs up; None where each row has its own, in order.
    """

    transition: StateMatrix
    before: Tensor | None
    after: Tensor | None
    gaps: Tensor | None


def cross(A: StateMatrix, B: Tensor, rule: LinearDiscretization, gaps: Tensor, shared: bool) -> Crossings:
    """Matrices of channels A (h, n, n) with inputs B (h, n) over gaps (g,)."""
    step = rule.matrices(A, gaps.unsqueeze(-1))
    before, after = (None if gain is None else gain @ B for gain in (step.before, step.after))
    return Crossings(step.transition, before, after, gaps if shared else None)


def gaps_of(rows: Rows) -> Tensor:
    """Gaps that carry the state of each row on (1, b, l), and those that silent rows only look across (2, b, l)."""
    gap = rows.gap.squeeze(-1)
    if rows.active is None:
        return gap.unsqueeze(0)
    return torch.stack([torch.where(rows.active.flatten(2).squeeze(-1), gap, 0), gap])


def walk(crossings: Crossings, rows: Rows, x: Tensor) -> tuple[Tensor, Tensor]:
    """States (b, l, h, n) at the rows from x (b, h, n), and the state at the last active one."""
    gaps = gaps_of(rows)
    if crossings.gaps is None:
        place = torch.arange(gaps.numel(), device=gaps.device).view(gaps.shape)
    else:
        place = torch.searchsorted(crossings.gaps, gaps.detach().contiguous())
    drive = _drive(crossings, rows, place[0])
    keep = None if rows.reset is None else (~rows.reset).to(drive.dtype)
    states = _states(crossings.transition, place[0], keep, drive, x)
    last = states[:, -1].clone()
    if rows.active is not None:
        # a silent row passes the state on untouched, and reads it moved on by its own gap
        moved = crossings.transition.pick(place[1]) @ states
        states = torch.where(rows.active, states, moved)
    return states, last


def _drive(crossings: Crossings, rows: Rows, place: Tensor) -> Tensor:
    drive = 0 if crossings.after is None else crossings.after[place] * rows.u
    if crossings.before is not None:
        drive = drive + crossings.before[place] * rows.before
    return drive if rows.active is None else torch.where(rows.active, drive, 0)


def _states(transition: StateMatrix, place: Tensor, keep: Tensor | None, drive: Tensor, x: Tensor) -> Tensor:
    entries = transition.entries()
    with torch.no_grad():
        states = torch.empty_like(drive)
        last = x
        for k, row in enumerate(_matrices(transition, place)):
            last = row @ (last if keep is None else last * keep[:, k])
            last = states[:, k] = last + drive[:, k]
    if not (torch.is_grad_enabled() and any(part.requires_grad for part in (*entries, drive, x))):
        return states
    # each row again from the row before, which is known now: one product for all rows holds all that a gradient needs
    before = torch.cat([x.unsqueeze(1), states[:, :-1]], 1)
    states = transition.pick(place) @ (before if keep is None else before * keep) + drive
    return _Back.apply(states, place, keep, type(transition), *entries)


def _matrices(transition: StateMatrix, place: Tensor) -> Any:
    return (transition.pick(index) for index in place.unbind(1))


class _Back(torch.autograd.Function):
    """Nothing forwards; backwards the gradient at a row takes up what it changes in the rows after it.

    ``g_k = grad_k + T_{k+1}^T g_{k+1}``, the adjoint of the walk.
    """

    @staticmethod
    def forward(
        ctx, states: Tensor, place: Tensor, keep: Tensor | None, kind: type[StateMatrix], *entries: Tensor
    ) -> Tensor:
        ctx.kind = kind
        ctx.save_for_backward(place, keep, *entries)
        return states.view_as(states)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        place, keep, *entries = ctx.saved_tensors
        rows = list(_matrices(ctx.kind(*entries).adjoint(), place))
        total = grad.clone()
        for k in range(len(rows) - 1, 0, -1):
            back = rows[k] @ total[:, k]
            total[:, k - 1] += back if keep is None else back * keep[:, k]
        return total, None, None, None, *(None for _ in entries)
