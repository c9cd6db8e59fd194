"""The modal scan by the compiled kernels where gaps are those of each channel, or B and C those of each row."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from tsssm.dynamics.kernels.double_backward import double_backward
from tsssm.dynamics.kernels.fused import call, described, packed
from tsssm.dynamics.kernels.loop import Modal, modal_loop
from tsssm.dynamics.kernels.native import Scan, address

# parts of sums over channels: a fixed number, so that threads do not change the sums
PARTS = 4

_POINTERS = ["gaps", "B", "C", "g_gaps", "g_B", "g_C", "row_parts"]
_NUMBERS = ["complex_B", "complex_C", "parts"]


class Selective(ctypes.Structure):
    """Arguments of a selective scan, field by field those of tsssm.c."""

    _fields_ = [
        ("scan", Scan),
        *((name, ctypes.c_void_p) for name in _POINTERS),
        *((name, ctypes.c_int64) for name in _NUMBERS),
    ]


def modal_selective(modal: Modal) -> tuple[Tensor, Tensor]:
    """Run a modal scan with gaps, B and C of its own on each row in C: the form for CPUs, float32 and float64.

    Arguments and results are those of `modal_loop`. Memory: the outputs, and one state of every 64 rows until the
    backward pass, which computes the others again and needs up to 4 times the size of B and C besides. Second
    derivatives are those of `modal_loop`.

    Parameters
    ----------
    modal : Modal
        On the CPU, with real inputs; gaps (b, l) or (b, l, h).

    Returns
    -------
    y : Tensor, (b, l, h)
    end : Tensor, (b, h, n)

    Notes
    -----
    O(b l h n) work. Source of the recomputation: Mamba, arXiv 2312.00752, section 3.3.2.

    Examples
    --------
    >>> import torch
    >>> rate, gap, ones = torch.tensor([[-1.0]]), torch.ones(1, 2, 1), torch.ones(1, 2, 1)
    >>> y, _ = modal_selective(Modal(rate, 1 / rate, gap, hold=ones, B=ones, C=2 * ones))
    >>> y.flatten()
    tensor([1.2642, 1.7293])
    """
    y, end = _Selective.apply(*modal)
    return y, end


class _Selective(Function):
    @staticmethod
    def forward(ctx: Any, *fields: Any) -> tuple[Tensor, Tensor]:
        modal = packed(fields)
        arguments, kept = _described(modal)
        y = torch.empty_like(modal.inputs)
        end = torch.empty(len(y), *modal.rate.shape, dtype=modal.rate.dtype)
        arguments.scan.y, arguments.scan.end = address(y), address(end)
        checkpoints = None
        if any(ctx.needs_input_grad):
            checkpoints = torch.empty(kept["chunks"] * kept["planes"], dtype=modal.gap.dtype)
            arguments.scan.checkpoints = address(checkpoints)
        call("selective", arguments, modal, backward=False)
        ctx.fields = modal[6:9]
        # the arguments as they came, for the packed ones are no part of the graph that second derivatives follow
        ctx.save_for_backward(*fields[:6], *fields[9:], checkpoints)
        return y, end

    @staticmethod
    def backward(ctx: Any, g_y: Tensor, g_end: Tensor) -> tuple[Tensor | None, ...]:
        *parts, checkpoints = ctx.saved_tensors
        fields = (*parts[:6], *ctx.fields, *parts[6:])
        if torch.is_grad_enabled():
            return double_backward(
                lambda *fields: modal_loop(Modal(*fields)), fields, ctx.needs_input_grad, (g_y, g_end)
            )
        modal = packed(fields)
        arguments, kept = _described(modal)
        grads = [
            torch.empty_like(part) if need and isinstance(part, Tensor) else None
            for part, need in zip(modal, ctx.needs_input_grad, strict=True)
        ]
        # those of rate and weight come in any case, and not every entry of a batch has a series that begins with `start`
        grads[:2] = torch.empty_like(modal.rate), torch.empty_like(modal.weight)
        if grads[5] is not None:
            grads[5].zero_()
        work = _gradients(arguments, kept, modal, (g_y, g_end, checkpoints), grads)
        call("selective", arguments, modal, backward=True)
        del work
        return tuple(grads)


def _gradients(
    arguments: Selective, kept: dict[str, Any], modal: Modal, given: tuple[Tensor, ...], grads: list[Tensor | None]
) -> list[Tensor]:
    """Enter what the backward pass reads and writes; gives the tensors that have to live until it is done."""
    g_y, g_end, checkpoints = (part.resolve_conj().resolve_neg().contiguous() for part in given)
    scan, real, rows = arguments.scan, modal.gap.dtype, modal.gap.shape[0] * modal.gap.shape[1]
    scan.g_rate, scan.g_weight, g_gap, scan.g_hold, scan.g_push, scan.g_start = map(address, grads[:6])
    arguments.g_B, arguments.g_C = map(address, grads[9:])
    each = 2 * (modal.rate.shape[1] + 1) * (1 + (arguments.complex_B or arguments.complex_C))
    sums = torch.empty(scan.groups * 3 * kept["planes"], dtype=real)
    row_parts = torch.zeros(arguments.parts * rows * each, dtype=real)
    if modal.gap.dim() == 3:
        arguments.g_gaps, scan.g_gap = g_gap, None
    else:
        scan.g_gap = g_gap
    gap_parts = torch.empty(kept["blocks"] * rows if scan.g_gap else 0, dtype=real)
    scan.g_y, scan.g_end, scan.checkpoints = address(g_y), address(g_end), address(checkpoints)
    scan.sums, scan.gap_parts, arguments.row_parts = address(sums), address(gap_parts), address(row_parts)
    return [g_y, g_end, checkpoints, sums, gap_parts, row_parts]


def _described(modal: Modal) -> tuple[Selective, dict[str, Any]]:
    """The arguments of the C function, and the tensors and sizes behind them."""
    scan, kept = described(modal)
    own = modal.gap.dim() == 3
    scan.gap = None if own else address(modal.gap)
    arguments = Selective(
        scan=scan,
        gaps=address(modal.gap) if own else None,
        B=address(modal.B),
        C=address(modal.C),
        complex_B=modal.B is not None and modal.B.is_complex(),
        complex_C=modal.C is not None and modal.C.is_complex(),
        parts=max(1, min(PARTS, kept["blocks"])),
    )
    return arguments, kept
