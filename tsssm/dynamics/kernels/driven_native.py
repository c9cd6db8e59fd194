"""Steps that a network drives, in C: the calls of source/driven.h."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tsssm.dynamics.kernels.native import address, kind_of, library
from tsssm.dynamics.kernels.trajectory_native import ACTIVATIONS, MOST_LAYERS, WORTH_A_THREAD

_PARTS = ("x0", "carry", "weight", "kick", "beside", "states")
_GRADIENTS = ("g_states", "g_x0", "g_carry", "g_weight", "g_kick", "g_beside")


class Numbers(NamedTuple):
    """Tensors of l steps x' = carry x + weight f(z) + kick, and what the network f looks at.

    Attributes
    ----------
    x0 : Tensor, (b, p, n)
    carry, weight, kick : Tensor, (b, l, p, n), or 1 in place of any of b, l and p
    beside : Tensor, (b, l, p, width), or 1 in place of p
        What is added to the outputs of the first layer.
    weights : sequence of Tensor
        Matrix (out, in) and bias (out) of each layer; the first takes the state alone.
    """

    x0: Tensor
    carry: Tensor
    weight: Tensor
    kick: Tensor
    beside: Tensor
    weights: Sequence[Tensor]


class _Part(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), *((name, ctypes.c_int64) for name in ("lane", "outer", "step"))]


class _Driven(ctypes.Structure):
    """Arguments of driven steps, field by field those of tsssm.c."""

    _fields_ = [
        *((name, _Part) for name in _PARTS + _GRADIENTS),
        *((name, ctypes.c_void_p) for name in ("form", "weights", "g_weights")),
        *((name, ctypes.c_int64) for name in ("outer", "log")),
    ]


def takes(numbers: Numbers) -> bool:
    """Whether the compiled form is built and made for these tensors."""
    x, *others = (*numbers[:-1], *numbers.weights)
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return False
    same = all(part.dtype == x.dtype and part.device == x.device for part in others)
    return same and len(numbers.weights) <= 2 * MOST_LAYERS and library() is not None


def forward(activation: str, log: bool, numbers: Numbers) -> Tensor:
    """States after each step, (b, l, p, n)."""
    (b, p, n), l = numbers.x0.shape, numbers.beside.shape[1]
    states = numbers.x0.new_empty(b, l, p, n)
    _call(activation, log, numbers, states, _flat(numbers.weights))
    return states


def backward(
    activation: str, log: bool, numbers: Numbers, states: Tensor, grad: Tensor, wanted: Sequence[bool]
) -> list[Tensor | None]:
    """Gradients by the fields of `Numbers`, those of the weights one after another; of the parts that are `wanted`."""
    b, l, p, n = states.shape
    weights = _flat(numbers.weights)
    # the kernel has a place for the gradient of a size of noise, which is none here
    to_weights = weights.new_empty(len(weights) + n)
    wide = [
        states.new_empty(b, l, p, part.shape[-1]) if wants else None
        for wants, part in zip(wanted, numbers[1:5], strict=True)
    ]
    to_x0 = torch.empty_like(states[:, 0])
    _call(activation, log, numbers, states, weights, grad, [to_x0, *wide], to_weights)
    parts = [None if g is None else g.sum_to_size(part.shape) for g, part in zip(wide, numbers[1:5], strict=True)]
    shapes = [weight.shape for weight in numbers.weights]
    *to_layers, _ = to_weights.split([*(shape.numel() for shape in shapes), n])
    return [to_x0, *parts, *(part.view(shape) for part, shape in zip(to_layers, shapes, strict=True))]


def _call(
    activation: str,
    log: bool,
    numbers: Numbers,
    states: Tensor,
    weights: Tensor,
    grad: Tensor | None = None,
    gradients: Sequence[Tensor | None] = (),
    to_weights: Tensor | None = None,
) -> None:
    b, l, p, n = states.shape
    # lanes hold series, or the paths of few
    along, outer = (p, b) if p > b else (b, p)
    widths = [n, *(len(bias) for bias in numbers.weights[1::2])]
    threads = max(1, min(torch.get_num_threads(), b * p * l // WORTH_A_THREAD))
    form = [len(widths) - 1, ACTIVATIONS.index(activation), 1, 1, 0, 0, along, l, n, 0, threads, 0, 0, *widths]
    held = [
        part if part is None or part.stride(-1) == 1 else part.contiguous() for part in (*numbers[:-1], states, grad)
    ]
    tensors = [*held, *gradients]
    lies = (ctypes.c_int64 * len(form))(*form)
    of = _Driven(outer=outer, log=log, weights=address(weights), g_weights=address(to_weights))
    of.form = ctypes.cast(lies, ctypes.c_void_p)
    for name, part in zip(_PARTS + _GRADIENTS, tensors, strict=False):
        if part is not None:
            of_b, of_l, of_p = _strides(part, (b, l, p))
            strides = (of_p, of_b, of_l) if p > b else (of_b, of_p, of_l)
            setattr(of, name, _Part(address(part), *strides))
    if getattr(library(), f"tsssm_driven_{kind_of(states.dtype)}")(ctypes.byref(of), int(grad is not None)):
        raise MemoryError(f"no memory for {l} steps of {b} series of {p} paths with states of size {n}")


def _strides(part: Tensor, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Numbers between series, steps and paths."""
    if part.dim() == 3:
        part = part.unsqueeze(1)
    of_b, of_l, of_p, _ = part.expand(*shape, -1).stride()
    return of_b, of_l, of_p


def _flat(weights: Sequence[Tensor]) -> Tensor:
    return torch.cat([weight.reshape(-1) for weight in weights])
