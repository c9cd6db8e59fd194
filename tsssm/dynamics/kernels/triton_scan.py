"""The modal scan on a CUDA device: `modal_triton`, equal to `modal_loop`. Importing this file needs Triton."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import triton
from torch import Tensor

from tsssm.dynamics.kernels.loop import Modal, modal_loop
from tsssm.dynamics.kernels.triton_launch import run_backward, run_forward, warps_of
from tsssm.dynamics.kernels.triton_rows import Plan
from tsssm.errors import explain

# Rows of a tile, whose states and growths stay in registers: with 8 the backward kernel takes 128 registers a lane and
# 16 programs fit on a multiprocessor of compute capability 9.0, with 16 it takes 204 and 9 fit.
ROWS, WARP = 8, 32
# Programs of one warp that keep a multiprocessor busy: with fewer, a program waits for its own last row
PROGRAMS_PER_PROCESSOR = 16
# Shorter segments would spend their time on starting
TILES_PER_SEGMENT = 4


def modal_triton(modal: Modal) -> tuple[Tensor, Tensor]:
    """Run a modal scan on a CUDA device without the states of all rows ever being in memory.

    Arguments and results are those of `modal_loop`, in float32 and complex64.

    Parameters
    ----------
    modal : Modal

    Returns
    -------
    y : Tensor, (b, l, h)
    end : Tensor, (b, h, n)

    Raises
    ------
    ValueError
        If the numbers are not in single precision.

    Notes
    -----
    O(b l h n) work, and one state in eight in memory. The way back computes the others again. A program crosses the
    time of one batch entry and a few channels, or a segment of it where there are too few for the device: then a first
    pass finds what each segment does to a state, which doubles the work. Sums are taken in a fixed order: results do
    not vary from run to run. Nothing waits for the device, so that a CUDA graph can hold it. Gradients of gradients are
    those of `modal_loop`.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.kernels.loop import Modal
    >>> if torch.cuda.is_available():
    ...     rate = torch.tensor([[-1.0]], device="cuda")
    ...     y, _ = modal_triton(Modal(rate, 1 / rate, torch.ones(1, 2).cuda(), hold=torch.ones(1, 2, 1).cuda()))
    """
    for name, part in modal._asdict().items():
        if isinstance(part, Tensor) and part.dtype not in (torch.float32, torch.complex64, torch.bool):
            raise ValueError(
                explain(f"`{name}` must be in single precision", f"got {part.dtype}", "use `modal_loop` for others")
            )
    if modal.inputs.numel() == 0 or modal.rate.numel() == 0:
        return modal_loop(modal)
    plan = plan_for(modal)
    return run_plan(modal, plan, segments_for(modal, plan))


def run_plan(modal: Modal, plan: Plan, segments: int) -> tuple[Tensor, Tensor]:
    """`modal_triton` by a plan and a number of segments chosen before."""
    # Triton launches on the current device, which need not be that of the tensors
    with torch.cuda.device_of(modal.rate):
        return _Scan.apply(plan, segments, *modal)


def plan_for(modal: Modal) -> Plan:
    """Fill a warp; where gradients are summed over channels, four of them, since each program writes its own sum."""
    modes = triton.next_power_of_2(modal.rate.shape[1])
    summed = any(part is not None and part.requires_grad for part in (modal.B, modal.C))
    channels = min(max(1, (4 if summed else 1) * WARP // modes), triton.next_power_of_2(modal.rate.shape[0]))
    each = -(-channels * modes // (WARP * warps_of(channels * modes)))
    return Plan(
        rows=ROWS if each <= 2 else ROWS // 2,
        channels=channels,
        modes=modes,
        own_gaps=modal.gap.ndim == 3,
        complex_rate=modal.rate.is_complex(),
        complex_inputs=modal.inputs.is_complex(),
        complex_B=modal.B is not None and modal.B.is_complex(),
        complex_C=modal.C is not None and modal.C.is_complex(),
    )


def segments_for(modal: Modal, plan: Plan) -> int:
    """Segments of time that are needed to keep the device busy."""
    b, l, h = modal.inputs.shape
    programs = b * triton.cdiv(h, plan.channels)
    wanted = PROGRAMS_PER_PROCESSOR * _processors(modal.rate.device) // programs
    # two segments would only pay for their own first pass
    return 1 if wanted < 3 else max(1, min(wanted, triton.cdiv(l, plan.rows * TILES_PER_SEGMENT)))


@lru_cache
def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


class _Scan(torch.autograd.Function):
    """The scan with the gradients of all tensors of a `Modal`."""

    @staticmethod
    def forward(ctx, plan: Plan, segments: int, *fields: Any) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        modal = Modal(*fields)
        y, end, kept = run_forward(modal, plan, segments, any(ctx.needs_input_grad))
        ctx.plan, ctx.segments, ctx.alpha = plan, segments, modal.alpha
        ctx.save_for_backward(*modal._replace(alpha=None), *kept)
        return y, end

    @staticmethod
    def backward(ctx, grad_y: Tensor | None, grad_end: Tensor | None) -> tuple[Tensor | None, ...]:
        modal, kept = Modal(*ctx.saved_tensors[: len(Modal._fields)]), ctx.saved_tensors[len(Modal._fields) :]
        modal, needed = modal._replace(alpha=ctx.alpha), Modal(*ctx.needs_input_grad[2:])
        if grad_y is None:
            grad_y = torch.zeros_like(modal.inputs)
        if torch.is_grad_enabled():
            return None, None, *_differentiable(modal, needed, grad_y, grad_end)
        return None, None, *run_backward(modal, needed, kept, grad_y, grad_end, ctx.plan, ctx.segments)


def _differentiable(modal: Modal, needed: Modal, grad_y: Tensor, grad_end: Tensor | None) -> Modal:
    """Gradients that can be differentiated again: those of the loop."""
    # views, so that a tensor made from another one of these does not count twice
    parts = [part.view_as(part) if isinstance(part, Tensor) else part for part in modal]
    y, end = modal_loop(Modal(*parts))
    asked = [part for part, wanted in zip(parts, needed, strict=True) if wanted]
    outputs, grads = ([y], [grad_y]) if grad_end is None else ([y, end], [grad_y, grad_end])
    found = iter(torch.autograd.grad(outputs, asked, grads, create_graph=True, allow_unused=True))
    return Modal(*(next(found) if wanted else None for wanted in needed))
