"""The linear recurrence x_k = a_k x_{k-1} + b_k in C: the calls of source/recurrence.h."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tsssm.dynamics.kernels.native import address, kind_of, library

# numbers of a row that are worth a walk of their own through factors which several of them share
_WORTH_A_WALK = 16

_POINTERS = ["a", "b", "start", "x", "g_x", "g_a", "g_b", "g_start"]
_NUMBERS = ["batch", "outer", "rows", "inner", "a_batch", "a_row", "complex", "reverse", "threads"]


class _Recurrence(ctypes.Structure):
    """Arguments of a recurrence, field by field those of tsssm.c."""

    _fields_ = [*((name, ctypes.c_void_p) for name in _POINTERS), *((name, ctypes.c_int64) for name in _NUMBERS)]


def takes(b: Tensor) -> bool:
    """Whether the compiled form is built and made for such numbers."""
    types = (torch.float32, torch.float64, torch.complex64, torch.complex128)
    return b.device.type == "cpu" and b.dtype in types and _function(b.dtype) is not None


def forward(a: Tensor, b: Tensor, start: Tensor | None, reverse: bool = False) -> Tensor:
    """States of the recurrence from `start`, or from the last row to the first if `reverse`.

    Factors that are expanded, over the batch, over rows or over leading parts of a row, are read as they lie.

    Parameters
    ----------
    a, b : Tensor, (batch, l, *n), of one type
    start : Tensor, (batch, *n), or None for zeros

    Returns
    -------
    Tensor, (batch, l, *n)
    """
    b, start = _plain(b), None if start is None else _plain(start)
    x = torch.empty_like(b)
    _call(a, b.shape, reverse, False, b=b, start=start, x=x)
    return x


def backward(
    a: Tensor, x: Tensor, start: Tensor | None, grad: Tensor, wants_a: bool = True, reverse: bool = False
) -> tuple[Tensor | None, Tensor, Tensor | None]:
    """Gradients of a, b and start from that of the states x: g_k = grad_k + conj(a_{k+1}) g_{k+1} is that of b.

    That of a is g_k conj(x_{k-1}), in full where a is expanded; that of start is conj(a_0) g_0.
    """
    grad, start = _plain(grad), None if start is None else _plain(start)
    to_a, to_b = torch.empty_like(x) if wants_a else None, torch.empty_like(x)
    to_start = None if start is None else torch.empty_like(start)
    _call(a, x.shape, reverse, True, start=start, x=x, g_x=grad, g_a=to_a, g_b=to_b, g_start=to_start)
    return to_a, to_b, to_start


def _call(a: Tensor, shape: torch.Size, reverse: bool, is_backward: bool, **tensors: Tensor | None) -> None:
    function = _function(a.dtype)
    assert function is not None
    a = a.resolve_conj().resolve_neg()
    outer = _parts(a)
    if outer is None:
        a, outer = a.contiguous(), 1
    each = 2 if a.is_complex() else 1
    call = _Recurrence(
        a=address(a),
        **{name: address(tensor) for name, tensor in tensors.items()},
        batch=shape[0],
        outer=outer,
        rows=shape[1],
        inner=each * (shape[2:].numel() // max(1, outer)),
        a_batch=each * a.stride(0),
        a_row=each * a.stride(1),
        complex=a.is_complex(),
        reverse=reverse,
        threads=torch.get_num_threads(),
    )
    function(ctypes.byref(call), ctypes.c_int(is_backward))


def _parts(a: Tensor) -> int | None:
    """Into how many parts a row falls that share one stretch of factors; None where factors lie in another way."""
    inner, outer = 1, 1
    for size, stride in reversed(list(zip(a.shape[2:], a.stride()[2:], strict=True))):
        if size == 1:
            continue
        if stride == 0 and inner >= _WORTH_A_WALK:
            outer *= size
        elif stride == inner and outer == 1:
            inner *= size
        else:
            return None
    return outer


def _plain(tensor: Tensor) -> Tensor:
    return tensor.resolve_conj().resolve_neg().contiguous()


def _function(dtype: torch.dtype) -> Callable[..., Any] | None:
    native = library()
    return None if native is None else getattr(native, f"tsssm_recurrence_{kind_of(dtype)}", None)
