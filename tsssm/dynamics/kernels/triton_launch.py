"""Memory and launches of the modal scan's kernels, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from tsssm.dynamics.kernels.loop import Modal
from tsssm.dynamics.kernels.triton_backward import backward_kernel
from tsssm.dynamics.kernels.triton_forward import forward_kernel, join_kernel
from tsssm.dynamics.kernels.triton_rows import Extent, Plan

JOINED_AT_ONCE = 128
# products and sums are fused where the device can; said aloud, since the default differs between versions
FUSED = {"enable_fp_fusion": True}
NOTHING = Modal(*(None for _ in Modal._fields))


def warps_of(lanes: int) -> int:
    """Warps of a program: one up to 64 lanes, since sums within a warp need no waiting."""
    return 1 if lanes <= 64 else 4


def run_forward(
    modal: Modal, plan: Plan, segments: int, keep: bool
) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
    """y, the end, and what the way back needs: states at the starts of tiles, and what segments do to a state."""
    real, extent = _as_real(modal), _extent(modal, plan, segments)
    b, (h, n) = modal.inputs.shape[0], modal.rate.shape
    y = torch.empty(modal.inputs.shape, dtype=modal.inputs.dtype, device=modal.inputs.device)
    ends = modal.rate.new_empty(b, extent.segments, h, n)
    reach = marks = None
    if extent.segments > 1:
        reach, inner, starts = (torch.empty_like(ends) for _ in range(3))
        _launch(forward_kernel, real._replace(start=None), extent, None, _real(inner), None, _real(reach), plan)
        _join(reach, inner, real.start, starts, extent, backwards=False)
        real = real._replace(start=_real(starts))
    if keep:
        marks = modal.rate.new_empty(b, extent.all_tiles, h, n)
    _launch(forward_kernel, real, extent, _real(y), _real(ends), _real(marks), None, plan)
    return y, ends[:, -1].contiguous(), (marks, reach)


def run_backward(
    modal: Modal,
    needed: Modal,
    kept: tuple[Tensor | None, ...],
    grad_y: Tensor,
    grad_end: Tensor | None,
    plan: Plan,
    segments: int,
) -> Modal:
    """Gradients of the fields that need one."""
    marks, reach = kept
    real, extent = _as_real(modal), _extent(modal, plan, segments)
    b, grad_y, grad_end = modal.inputs.shape[0], _real(grad_y), _real(grad_end)
    if reach is not None:
        inner, ends = torch.empty_like(reach), torch.empty_like(reach)
        only_start = NOTHING._replace(start=_real(inner))
        _launch(backward_kernel, real, extent, None, grad_y, None, only_start, plan)
        _join(reach, inner, grad_end, ends, extent, backwards=True)
        grad_end = _real(ends)
    grads = _grads(modal, needed, extent, plan)
    pointers = Modal(*(_real(part) for part in grads))
    _launch(backward_kernel, real, extent, _real(marks), grad_y, grad_end, pointers, plan)
    sums = {name: _sum(part, 0) for name, part in grads._asdict().items() if name in ("rate", "weight")}
    sums |= {name: _sum(part, 1) for name, part in grads._asdict().items() if name in ("B", "C")}
    if not plan.own_gaps:
        sums["gap"] = _sum(grads.gap, 1)
    if grads.start is not None:
        sums["start"] = grads.start.view(b, extent.segments, *modal.rate.shape)[:, 0]
    return grads._replace(**sums)


def _sum(part: Tensor | None, axis: int) -> Tensor | None:
    return None if part is None else part.sum(axis)


def _grads(modal: Modal, needed: Modal, extent: Extent, plan: Plan) -> Modal:
    """Memory for the gradients as the backward kernel writes them."""
    b, l, h = modal.inputs.shape
    programs, blocks = b * extent.segments, triton.cdiv(h, plan.channels)
    shapes = dict.fromkeys(("rate", "weight", "start"), (programs, h, extent.n))
    shapes |= dict.fromkeys(("hold", "push"), (b, l, h)) | dict.fromkeys(("B", "C"), (b, blocks, l, extent.n))
    shapes["gap"] = (b, l, h) if plan.own_gaps else (b, blocks, l)

    def memory(name: str) -> Tensor | None:
        return getattr(modal, name).new_empty(shapes[name]) if getattr(needed, name) else None

    return NOTHING._replace(**{name: memory(name) for name in shapes})


def _launch(kernel: Any, modal: Modal, extent: Extent, *rest: Any) -> None:
    plan = rest[-1]
    programs = modal.gap.shape[0] * extent.segments
    grid = programs, triton.cdiv(extent.h, plan.channels)
    kernel[grid](modal, extent, *rest, num_warps=warps_of(plan.channels * plan.modes), **FUSED)


def _join(
    reach: Tensor, inner: Tensor, outer: Tensor | None, joined: Tensor, extent: Extent, *, backwards: bool
) -> None:
    grid = reach.shape[0], triton.cdiv(extent.h * extent.n, JOINED_AT_ONCE)
    parts = _real(reach), _real(inner), outer, _real(joined)
    join_kernel[grid](*parts, extent, reach.is_complex(), backwards, JOINED_AT_ONCE, **FUSED)


def _extent(modal: Modal, plan: Plan, segments: int) -> Extent:
    (_, l, h), n = modal.inputs.shape, modal.rate.shape[1]
    all_tiles = triton.cdiv(l, plan.rows)
    tiles = triton.cdiv(all_tiles, segments)
    return Extent(l, h, n, triton.cdiv(all_tiles, tiles), tiles, all_tiles)


def _as_real(modal: Modal) -> Modal:
    """The fields as kernels read them: one after another in memory, complex numbers as pairs, truth values as bytes."""
    return Modal(*(_real(part) if isinstance(part, Tensor) else part for part in modal))


def _real(part: Tensor | None) -> Tensor | None:
    if part is None:
        return None
    part = part.detach().contiguous()
    if part.is_complex():
        return torch.view_as_real(part.resolve_conj())
    return part.view(torch.uint8) if part.dtype == torch.bool else part.resolve_neg()
