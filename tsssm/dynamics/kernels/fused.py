"""The modal scan by the compiled kernels: forward and backward fused, no states in memory."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from tsssm.dynamics.kernels.double_backward import double_backward
from tsssm.dynamics.kernels.loop import Modal, modal_loop
from tsssm.dynamics.kernels.native import Scan, address, kind_of, library
from tsssm.errors import explain

# a table of the transitions of different gaps pays while it stays in a second-level cache and is reused
TABLE_BYTES, TABLE_GAPS, TABLE_REUSE = 1 << 22, 1024, 8
# parts of a gradient that are summed at the end: a fixed number, so that threads do not change the sum
GROUPS = 16


def modal_fused(modal: Modal, held: bool = False) -> tuple[Tensor, Tensor]:
    """Run a modal scan in C: the form for CPUs, float32 and float64.

    Arguments and results are those of `modal_loop`, B and C left out. Memory: the outputs, and one state of every 64
    rows until the backward pass, which computes the others again. Where few different gaps occur their transitions
    are tabled. Second derivatives are those of `modal_loop`.

    Parameters
    ----------
    modal : Modal
        On the CPU, with gaps (b, l), without B and C.
    held : bool
        As in `modal_loop`; the rates must not be 0.

    Returns
    -------
    y : Tensor, (b, l, h)
    end : Tensor, (b, h, n)

    Examples
    --------
    >>> import torch
    >>> rate = torch.tensor([[-1.0]])
    >>> y, _ = modal_fused(Modal(rate, rate * 0 + 1, torch.ones(1, 2), hold=torch.ones(1, 2, 1)), held=True)
    >>> y.flatten()
    tensor([0.6321, 0.8647])
    """
    _refuse_misfits(modal)
    y, end = _Fused.apply(held, *modal[:9])
    return y, end


class _Fused(Function):
    @staticmethod
    def forward(ctx: Any, held: bool, *fields: Any) -> tuple[Tensor, Tensor]:
        modal = packed(fields)
        scan, kept = _tabled(modal, held)
        y = torch.empty_like(modal.inputs)
        end = torch.empty(len(y), *modal.rate.shape, dtype=modal.rate.dtype)
        scan.y, scan.end = address(y), address(end)
        checkpoints = None
        if any(ctx.needs_input_grad):
            checkpoints = torch.empty(kept["chunks"] * kept["planes"], dtype=modal.gap.dtype)
            scan.checkpoints = address(checkpoints)
        call("scan", scan, modal, backward=False)
        ctx.fields, ctx.held = modal[6:9], held
        # the arguments as they came, for the packed ones are no part of the graph that second derivatives follow
        ctx.save_for_backward(*fields[:6], checkpoints)
        return y, end

    @staticmethod
    def backward(ctx: Any, g_y: Tensor, g_end: Tensor) -> tuple[Tensor | None, ...]:
        *parts, checkpoints = ctx.saved_tensors
        needed = ctx.needs_input_grad
        if torch.is_grad_enabled():
            fields = (ctx.held, *parts, *ctx.fields)
            return double_backward(lambda held, *fields: modal_loop(Modal(*fields), held), fields, needed, (g_y, g_end))
        modal = packed((*parts, *ctx.fields))
        scan, kept = _tabled(modal, ctx.held)
        g_y, g_end = (part.resolve_conj().resolve_neg().contiguous() for part in (g_y, g_end))
        grads = [None if part is None else torch.empty_like(part) for part in modal[:6]]
        grads[2] = grads[2] if needed[3] else None
        if grads[5] is not None:
            grads[5].zero_()
        scan.g_rate, scan.g_weight, scan.g_gap, scan.g_hold, scan.g_push, scan.g_start = map(address, grads)
        scan.g_y, scan.g_end, scan.checkpoints = address(g_y), address(g_end), address(checkpoints)
        sums = torch.empty(scan.groups * 3 * kept["planes"], dtype=modal.gap.dtype)
        gap_parts = torch.empty(kept["blocks"] * scan.rows if needed[3] else 0, dtype=modal.gap.dtype)
        scan.sums, scan.gap_parts = address(sums), address(gap_parts)
        call("scan", scan, modal, backward=True)
        return (None, *grads, *(None,) * 3)


def packed(fields: tuple[Any, ...]) -> Modal:
    """The fields as C reads them."""
    parts: list[Any] = [
        part.resolve_conj().resolve_neg().contiguous() if isinstance(part, Tensor) else part for part in fields
    ]
    return Modal(*parts)


def described(modal: Modal) -> tuple[Scan, dict[str, Any]]:
    """The arguments of any scan in C but its gaps, and the tensors and sizes behind them."""
    native = library()
    assert native is not None
    b, l, h = modal.inputs.shape
    n, lanes = modal.rate.shape[1], native.tsssm_lanes(modal.gap.dtype.itemsize)
    blocks = -(-h // lanes)
    resets = 0 if modal.reset is None else int(modal.reset.sum())
    tables = torch.empty(4, b + resets + 1, dtype=torch.int64)
    series = native.tsssm_series(address(modal.reset), b, l, *(address(table) for table in tables))
    scan = Scan(
        **{name: address(getattr(modal, name)) for name in ("rate", "weight", "hold", "push", "start", "active")},
        **dict(zip(("offsets", "chunks", "source", "sink"), map(address, tables), strict=True)),
        rows=b * l,
        channels=h,
        modes=n,
        series=series,
        groups=max(1, min(GROUPS, series)),
        threads=torch.get_num_threads(),
        complex_modes=modal.rate.is_complex(),
        complex_rows=modal.inputs.is_complex(),
        rational=modal.alpha is not None,
        alpha=modal.alpha or 0.0,
    )
    return scan, {
        "blocks": blocks,
        "planes": blocks * n * 2 * lanes,
        "chunks": int(tables[1, series]),
        "tables": tables,
    }


def call(name: str, arguments: ctypes.Structure, modal: Modal, backward: bool) -> None:
    """Call a scan in C for numbers of the type of these."""
    native = library()
    assert native is not None
    function = getattr(native, f"tsssm_{name}_{kind_of(modal.gap.dtype)}")
    if function(ctypes.byref(arguments), ctypes.c_int(backward)):
        raise MemoryError("the scan could not allocate its working memory")


def _tabled(modal: Modal, held: bool) -> tuple[Scan, dict[str, Any]]:
    """`described`, with the gaps, those of them that differ and room for their transitions."""
    scan, kept = described(modal)
    real, planes = modal.gap.dtype, kept["planes"]
    which, gaps, unique = _different(modal.gap, min(TABLE_GAPS, TABLE_BYTES // (real.itemsize * planes)))
    table = torch.empty(unique * planes, dtype=real)
    scan.gap, scan.which, scan.unique_gaps, scan.table = map(address, (modal.gap, which, gaps, table))
    scan.unique, scan.held = unique, held
    return scan, kept | {"tabled": (which, gaps, table)}


def _refuse_misfits(modal: Modal) -> None:
    """Raise where the kernel would read other numbers than those that were meant, or beyond their end."""
    (b, l, h), n, mode, inputs = modal.inputs.shape, modal.rate.shape[-1], modal.rate.dtype, modal.inputs.dtype
    wanted = {
        "rate": ((h, n), mode),
        "weight": ((h, n), mode),
        "gap": ((b, l), mode.to_real()),
        "hold": ((b, l, h), inputs),
        "push": ((b, l, h), inputs),
        "start": ((b, h, n), mode),
        "reset": ((b, l), torch.bool),
        "active": ((b, l), torch.bool),
    }
    for name, (shape, dtype) in wanted.items():
        part = getattr(modal, name)
        if part is not None and (part.shape != shape or part.dtype != dtype or part.device.type != "cpu"):
            raise ValueError(
                explain(
                    f"`{name}` of a scan must be a CPU tensor {shape} of {dtype}",
                    f"one of shape {tuple(part.shape)} and {part.dtype} came, on {part.device}",
                    "Convert the parts to one precision, and check their shapes",
                )
            )
    if inputs.to_real() != mode.to_real() or (inputs.is_complex and not mode.is_complex):
        raise ValueError(
            explain(
                "inputs of a scan must have the precision of its rates", f"{inputs} and {mode} came", "Convert them"
            )
        )


def _different(gap: Tensor, most: int) -> tuple[Tensor, Tensor, int]:
    """The different gaps, and which of them each row has; none where a table of them would not pay."""
    native = library()
    assert native is not None
    most = min(most, gap.numel() // TABLE_REUSE)
    which, gaps = torch.empty(gap.numel(), dtype=torch.int32), torch.empty(max(most, 0), dtype=gap.dtype)
    if most < 1:
        return which, gaps, 0
    unique = getattr(native, f"tsssm_unique_{kind_of(gap.dtype)}")
    return which, gaps, unique(address(gap), gap.numel(), most, address(which), address(gaps))
