"""Channels with a diagonal plus low rank matrix of rank 1 under a rational rule, row after row in C."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tsssm.dynamics.kernels.native import address, kind_of, library

# modes are filled up to the widest vector there is, and rows of a chunk are computed again backwards (tsssm.c)
LANES, CHUNK = 16, 64

# modes times rows that are worth a thread: 0.3 ms
WORTH_A_THREAD = 1 << 17

_POINTERS = (
    *("parts", "gap", "u", "start", "reset", "active", "y", "end", "checkpoints"),
    *("g_y", "g_end", "g_parts", "g_gap", "g_u", "g_start"),
)
_NUMBERS = ("batch", "rows", "channels", "modes", "threads")


class _LowRank(ctypes.Structure):
    """Arguments, field by field those of tsssm.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in _POINTERS),
        *((name, ctypes.c_int64) for name in _NUMBERS),
        ("alpha", ctypes.c_double),
    ]


def takes(u: Tensor) -> bool:
    """Whether source/lowrank.h is built and made for such numbers."""
    return u.device.type == "cpu" and u.dtype in (torch.float32, torch.float64) and library() is not None


def planes(*parts: Tensor) -> Tensor:
    """Real and imaginary planes of complex parts (*, m): (*, 2 parts, m filled up with zeros)."""
    together = torch.stack([plane for part in parts for plane in (part.real, part.imag)], -2)
    return torch.nn.functional.pad(together, (0, -together.shape[-1] % LANES))


def lowrank_scan(
    parts: Tensor,
    gap: Tensor,
    u: Tensor,
    start: Tensor,
    reset: Tensor | None,
    active: Tensor | None,
    alpha: float,
) -> tuple[Tensor, Tensor]:
    """Outputs and last state of channels ``(1 - a h A) x1 = (1 + (1 - a) h A) x0 + h B u``, ``y = Re(C x)``.

    A is ``diag(L) - P Q^H`` with its conjugate, as in `Paired`. O(b l h m) time, and
    memory for the states of every 64th row.

    Parameters
    ----------
    parts : Tensor (h, 10, m)
        `planes` of L, P, Q, B and C.
    gap : Tensor (b, l), in time, >= 0
        Before each row.
    u : Tensor (b, l, h)
        Input.
    start : Tensor (b, h, 2, m)
        `planes` of the first state.
    reset, active : Tensor of bool (b, l), optional
        Rows that forget what was before, and rows that bring input; the others only look.
    alpha : float
        a, the weight of the end of a gap.

    Returns
    -------
    y : Tensor (b, l, h)
    end : Tensor (b, h, 2, m)

    Examples
    --------
    >>> import torch
    >>> one, none = torch.ones(1, 1) + 0j, torch.zeros(1, 1) + 0j
    >>> parts, start = planes(-one, none, none, one, one), torch.zeros(1, 1, 2, 16)
    >>> y, _ = lowrank_scan(parts, torch.ones(1, 2), torch.ones(1, 2, 1), start, None, None, 1.0)
    >>> y.flatten()
    tensor([0.5000, 0.7500])
    """
    return _Scan.apply(parts, gap, u, start, reset, active, alpha)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        parts: Tensor,
        gap: Tensor,
        u: Tensor,
        start: Tensor,
        reset: Tensor | None,
        active: Tensor | None,
        alpha: float,
    ) -> tuple[Tensor, Tensor]:
        given = [part if part is None else part.contiguous() for part in (parts, gap, u, start, reset, active)]
        (b, l, h), width = u.shape, 2 * parts.shape[-1]
        y, end = torch.empty_like(given[2]), torch.empty_like(given[3])
        checkpoints = u.new_empty(h, b, -(-l // CHUNK), width)
        _call(given, alpha, False, y=y, end=end, checkpoints=checkpoints)
        ctx.save_for_backward(*given, checkpoints)
        ctx.alpha = alpha
        return y, end

    @staticmethod
    @once_differentiable
    def backward(ctx, g_y: Tensor, g_end: Tensor) -> tuple[Tensor | None, ...]:
        *given, checkpoints = ctx.saved_tensors
        parts, gap, u, start, _, _ = given
        g_parts, g_u, g_start = (torch.empty_like(part) for part in (parts, u, start))
        # each channel writes its own
        g_gap = u.new_empty(u.shape[-1], *gap.shape) if ctx.needs_input_grad[1] else None
        grads = {"g_y": g_y.contiguous(), "g_end": g_end.contiguous()}
        made = {"g_parts": g_parts, "g_gap": g_gap, "g_u": g_u, "g_start": g_start}
        _call(given, ctx.alpha, True, checkpoints=checkpoints, **grads, **made)
        return g_parts, None if g_gap is None else g_gap.sum(0), g_u, g_start, None, None, None


def _call(given: list[Tensor | None], alpha: float, backward: bool, **others: Tensor | None) -> None:
    names = ("parts", "gap", "u", "start", "reset", "active")
    tensors = dict(zip(names, given, strict=True)) | others
    (b, l, h), modes = tensors["u"].shape, tensors["parts"].shape[-1]
    threads = max(1, min(torch.get_num_threads(), b * l * h * modes // WORTH_A_THREAD))
    pointers = {name: address(part) for name, part in tensors.items()}
    numbers = {"batch": b, "rows": l, "channels": h, "modes": modes, "threads": threads, "alpha": alpha}
    function = getattr(library(), f"tsssm_lowrank_{kind_of(tensors['u'].dtype)}")
    if function(ctypes.byref(_LowRank(**pointers, **numbers)), ctypes.c_int(backward)):
        raise MemoryError("no memory for the states of a chunk of rows")
