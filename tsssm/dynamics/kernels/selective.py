"""The modal scan by the compiled kernels where gaps are those of each channel, or B and C those of each row."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from tsssm.dynamics.kernels.loop import Modal, modal_loop
from tsssm.dynamics.kernels.native import Scan, address, kind_of, library

# parts of sums over rows, and over channels: fixed numbers, so that threads do not change the sums
GROUPS, PARTS = 16, 4

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
        modal = _packed(fields)
        call, kept = _described(modal)
        y = torch.empty_like(modal.inputs)
        end = torch.empty(len(y), *modal.rate.shape, dtype=modal.rate.dtype)
        call.scan.y, call.scan.end = address(y), address(end)
        checkpoints = None
        if any(ctx.needs_input_grad):
            checkpoints = torch.empty(kept["chunks"] * kept["planes"], dtype=modal.gap.dtype)
            call.scan.checkpoints = address(checkpoints)
        _call(call, modal, backward=False)
        ctx.fields = modal[6:9]
        # the arguments as they came, for the packed ones are no part of the graph that second derivatives follow
        ctx.save_for_backward(*fields[:6], *fields[9:], checkpoints)
        return y, end

    @staticmethod
    def backward(ctx: Any, g_y: Tensor, g_end: Tensor) -> tuple[Tensor | None, ...]:
        *parts, checkpoints = ctx.saved_tensors
        fields = (*parts[:6], *ctx.fields, *parts[6:])
        if torch.is_grad_enabled():
            return _differentiable(fields, ctx.needs_input_grad, (g_y, g_end))
        modal = _packed(fields)
        call, kept = _described(modal)
        grads = [
            torch.empty_like(part) if need and isinstance(part, Tensor) else None
            for part, need in zip(modal, ctx.needs_input_grad, strict=True)
        ]
        # those of rate and weight come in any case, and not every entry of a batch has a series that begins with `start`
        grads[:2] = torch.empty_like(modal.rate), torch.empty_like(modal.weight)
        if grads[5] is not None:
            grads[5].zero_()
        work = _gradients(call, kept, modal, (g_y, g_end, checkpoints), grads)
        _call(call, modal, backward=True)
        del work
        return tuple(grads)


def _gradients(
    call: Selective, kept: dict[str, Any], modal: Modal, given: tuple[Tensor, ...], grads: list[Tensor | None]
) -> list[Tensor]:
    """Enter what the backward pass reads and writes; gives the tensors that have to live until it is done."""
    g_y, g_end, checkpoints = (part.resolve_conj().contiguous() for part in given)
    scan, real, rows = call.scan, modal.gap.dtype, modal.gap.shape[0] * modal.gap.shape[1]
    scan.g_rate, scan.g_weight, g_gap, scan.g_hold, scan.g_push, scan.g_start = map(address, grads[:6])
    call.g_B, call.g_C = map(address, grads[9:])
    each = 2 * (modal.rate.shape[1] + 1) * (1 + (call.complex_B or call.complex_C))
    sums = torch.empty(scan.groups * 3 * kept["planes"], dtype=real)
    row_parts = torch.zeros(call.parts * rows * each, dtype=real)
    if modal.gap.dim() == 3:
        call.g_gaps, scan.g_gap = g_gap, None
    else:
        scan.g_gap = g_gap
    gap_parts = torch.empty(kept["blocks"] * rows if scan.g_gap else 0, dtype=real)
    scan.g_y, scan.g_end, scan.checkpoints = address(g_y), address(g_end), address(checkpoints)
    scan.sums, scan.gap_parts, call.row_parts = address(sums), address(gap_parts), address(row_parts)
    return [g_y, g_end, checkpoints, sums, gap_parts, row_parts]


def _packed(fields: tuple[Any, ...]) -> Modal:
    parts: list[Any] = [part.resolve_conj().contiguous() if isinstance(part, Tensor) else part for part in fields]
    return Modal(*parts)


def _described(modal: Modal) -> tuple[Selective, dict[str, Any]]:
    """The arguments of the C function, and the tensors and sizes behind them."""
    native = library()
    assert native is not None
    b, l, h = modal.inputs.shape
    n, lanes = modal.rate.shape[1], native.tsssm_lanes(modal.gap.dtype.itemsize)
    blocks = -(-h // lanes)
    resets = 0 if modal.reset is None else int(modal.reset.sum())
    tables = torch.empty(4, b + resets + 1, dtype=torch.int64)
    series = native.tsssm_series(address(modal.reset), b, l, *(address(table) for table in tables))
    own = modal.gap.dim() == 3
    scan = Scan(
        **{name: address(getattr(modal, name)) for name in ("rate", "weight", "hold", "push", "start", "active")},
        **dict(zip(("offsets", "chunks", "source", "sink"), map(address, tables), strict=True)),
        gap=None if own else address(modal.gap),
        rows=b * l,
        channels=h,
        modes=n,
        series=series,
        groups=max(1, min(GROUPS, series)),
        threads=torch.get_num_threads(),
        complex_modes=modal.rate.is_complex(),
        rational=modal.alpha is not None,
        alpha=modal.alpha or 0.0,
    )
    call = Selective(
        scan=scan,
        gaps=address(modal.gap) if own else None,
        B=address(modal.B),
        C=address(modal.C),
        complex_B=modal.B is not None and modal.B.is_complex(),
        complex_C=modal.C is not None and modal.C.is_complex(),
        parts=max(1, min(PARTS, blocks)),
    )
    kept = {"blocks": blocks, "planes": blocks * n * 2 * lanes, "chunks": int(tables[1, series]), "tables": tables}
    return call, kept


def _call(call: Selective, modal: Modal, backward: bool) -> None:
    native = library()
    assert native is not None
    function = getattr(native, f"tsssm_selective_{kind_of(modal.gap.dtype)}")
    if function(ctypes.byref(call), ctypes.c_int(backward)):
        raise MemoryError("the scan could not allocate its working memory")


def _differentiable(
    fields: tuple[Any, ...], needed: tuple[bool, ...], grads: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    """Gradients that can be differentiated again: those of the plain loop."""
    with torch.enable_grad():
        outputs = modal_loop(Modal(*fields))
        wanted = [part for part, need in zip(fields, needed, strict=True) if need]
        found = iter(torch.autograd.grad(outputs, wanted, grads, create_graph=True, allow_unused=True))
    return tuple(next(found) if need else None for need in needed)
