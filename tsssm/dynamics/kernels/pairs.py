"""Kalman filters of pairs of states in C, forward and backward: the call of source/pairs.h."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from tsssm.dynamics.kernels.double_backward import double_backward
from tsssm.dynamics.kernels.native import address, kind_of, library
from tsssm.dynamics.kernels.pairs_loop import Filtering, Pairs, pairs_loop, smooth_pairs

__all__ = ["Filtering", "Pairs", "filter_pairs", "pairs_loop", "smooth_pairs"]

# as in tsssm.c
_MOST_PAIRS = 16

_POINTERS = (
    *("F", "N", "y", "r", "mean", "cov", "seen", "before"),
    *("m", "P", "e", "s", "g_e", "g_s", "g_m", "g_P", "g_F", "g_N", "g_y", "g_r", "g_mean", "g_cov"),
)
_NUMBERS = ("batch", "rows", "pairs", "threads")


class _Call(ctypes.Structure):
    """Arguments, field by field those of tsssm.c."""

    _fields_ = [*((name, ctypes.c_void_p) for name in _POINTERS), *((name, ctypes.c_int64) for name in _NUMBERS)]


def filter_pairs(pairs: Pairs) -> Filtering:
    """Run Kalman filters of pairs of states, observed one number at a time.

    Parameters
    ----------
    pairs : Pairs

    Returns
    -------
    Filtering

    Notes
    -----
    In C on the CPU, O(b l k^2), with a backward pass written by hand; row after row in torch elsewhere and without a
    compiler. Gradients are exact. `pairs_loop` has the equations.

    Examples
    --------
    >>> import torch
    >>> F, N = torch.eye(2).expand(1, 3, 1, 2, 2), torch.ones(1, 3, 1, 3) * torch.tensor([1.0, 0.0, 1.0])
    >>> y, seen, before = torch.ones(1, 3), torch.ones(1, 3, dtype=torch.bool), torch.tensor([[-1, 0, 1]])
    >>> filter_pairs(Pairs(F, N, y, y, seen, before, torch.zeros(1, 2), torch.eye(2)[None])).mean[0, :, 0]
    tensor([0.6667, 0.8750, 0.9524])
    """
    return Filtering(*_Filter.apply(*pairs)) if _takes(pairs) else pairs_loop(pairs)


def _takes(pairs: Pairs) -> bool:
    y = pairs.y
    plain = y.device.type == "cpu" and y.dtype in (torch.float32, torch.float64) and pairs.F.shape[2] <= _MOST_PAIRS
    return plain and hasattr(library(), f"tsssm_pairs_{kind_of(y.dtype)}")


class _Filter(Function):
    @staticmethod
    def forward(ctx: Any, *fields: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        pairs = Pairs(*(part.contiguous() for part in fields))
        (b, l), n = pairs.y.shape, pairs.mean.shape[1]
        m, P = pairs.y.new_empty(b, l, n), pairs.y.new_empty(b, l, n, n)
        e, s = torch.empty_like(pairs.y), torch.empty_like(pairs.y)
        _call(pairs, False, m=m, P=P, e=e, s=s)
        ctx.save_for_backward(*fields, m, P)
        return m, P, e, s

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        *fields, m, P = ctx.saved_tensors
        g_m, g_P, g_e, g_s = grads
        if torch.is_grad_enabled():
            whole = [
                torch.zeros_like(like) if g is None else g for g, like in zip(grads, _like(fields, m, P), strict=True)
            ]
            return double_backward(lambda *parts: pairs_loop(Pairs(*parts)), fields, ctx.needs_input_grad, whole)
        pairs = Pairs(*(part.contiguous() for part in fields))
        # the backward pass gathers in them what later rows say
        g_m = torch.zeros_like(m) if g_m is None else g_m.clone(memory_format=torch.contiguous_format)
        g_P = torch.zeros_like(P) if g_P is None else g_P.clone(memory_format=torch.contiguous_format)
        made = {name: torch.empty_like(getattr(pairs, name)) for name in ("F", "N", "y", "r")}
        made |= {name: torch.zeros_like(getattr(pairs, name)) for name in ("mean", "cov")}
        given = {"g_e": None if g_e is None else g_e.contiguous(), "g_s": None if g_s is None else g_s.contiguous()}
        _call(pairs, True, m=m, P=P, g_m=g_m, g_P=g_P, **given, **{f"g_{name}": part for name, part in made.items()})
        return made["F"], made["N"], made["y"], made["r"], None, None, made["mean"], made["cov"]


def _like(fields: list[Tensor], m: Tensor, P: Tensor) -> tuple[Tensor, ...]:
    y = Pairs(*fields).y
    return m, P, y, y


def _call(pairs: Pairs, backward: bool, **others: Tensor | None) -> None:
    (b, l), k = pairs.y.shape, pairs.F.shape[2]
    pointers = {name: address(part) for name, part in (pairs._asdict() | others).items()}
    call = _Call(**pointers, batch=b, rows=l, pairs=k, threads=torch.get_num_threads())
    getattr(library(), f"tsssm_pairs_{kind_of(pairs.y.dtype)}")(ctypes.byref(call), ctypes.c_int(backward))
