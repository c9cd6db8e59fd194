"""Whole trajectories of a network in C: the calls of source/trajectory.h."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from tsssm.dynamics.kernels.native import address, kind_of, library
from tsssm.dynamics.kernels.trajectory import Gradients, Numbers, Run, Wanted

# as in trajectory.h
ACTIVATIONS = ("tanh", "silu", "relu")
MOST_LAYERS = 16
_WANT_DT, _WANT_FEATURES, _WANT_NORMALS = 1, 2, 4
# evaluations of the network that are worth a thread
WORTH_A_THREAD = 2048


def takes(numbers: Numbers) -> bool:
    """Whether the compiled form is built and made for these tensors."""
    x = numbers.x0
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return False
    return len(numbers.weights) <= 2 * MOST_LAYERS and library() is not None


def forward(run: Run, numbers: Numbers) -> Tensor:
    """`trajectory.forward` in C; of contiguous tensors."""
    x0, dt = numbers.x0, numbers.dt
    states = x0.new_empty(*dt.shape, x0.shape[-1])
    _call("forward", run, numbers, 0, (_flat(numbers.weights), *numbers[:-1], states))
    return states


def backward(run: Run, numbers: Numbers, states: Tensor, grad: Tensor, wanted: Wanted) -> Gradients:
    """`trajectory.backward` in C; of contiguous tensors."""
    weights = _flat(numbers.weights)
    x0, dt, normals, root, size, features, _ = numbers
    timed = size is not None and size.dim() > 1
    to_x0, to_root = torch.empty_like(x0), _like(root)
    to_dt, to_normals = _like(dt, wanted.dt), _like(normals, wanted.normals)
    to_features, to_size = _like(features, wanted.features), _like(size, timed)
    flags = (
        _WANT_DT * (to_dt is not None)
        + _WANT_FEATURES * (to_features is not None)
        + _WANT_NORMALS * (to_normals is not None)
    )
    to_weights = weights.new_empty(len(weights) + x0.shape[-1])
    outputs = (to_weights, to_x0, to_dt, to_normals, to_root, to_size, to_features)
    _call("backward", run, numbers, flags, (weights, *numbers[:-1], states, grad, *outputs))
    shapes = [weight.shape for weight in numbers.weights]
    *parts, last = to_weights.split([*(shape.numel() for shape in shapes), x0.shape[-1]])
    to_size = last if size is not None and not timed else to_size
    to_layers = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
    return Gradients(to_x0, to_dt, to_normals, to_root, to_size, to_features, to_layers)


def _call(name: str, run: Run, numbers: Numbers, wanted: int, tensors: tuple[Tensor | None, ...]) -> None:
    (b, l), d = numbers.dt.shape, numbers.x0.shape[-1]
    stages = len(run.chain.lead)
    places, m = (1, 0) if numbers.features is None else numbers.features.shape[2:]
    threads = max(1, min(torch.get_num_threads(), b * l * stages // WORTH_A_THREAD))
    widths = [d + m, *(len(bias) for bias in numbers.weights[1::2])]
    activation = ACTIVATIONS.index(run.activation)
    timed = numbers.size is not None and numbers.size.dim() > 1
    sizes = [b, l, d, m, threads, wanted]
    form = [len(widths) - 1, activation, stages, places, run.linear, timed, *sizes, *run.place, *widths]
    tableau = [*run.chain.lead, *run.chain.share]
    function = getattr(library(), f"tsssm_trajectory_{name}_{kind_of(numbers.x0.dtype)}")
    arrays = (ctypes.c_int64 * len(form))(*form), (ctypes.c_double * len(tableau))(*tableau)
    if function(*arrays, *(ctypes.c_void_p(address(tensor)) for tensor in tensors)):
        raise MemoryError(f"no memory for a trajectory of {l} steps of {b} states of size {d}")


def _like(tensor: Tensor | None, wanted: bool = True) -> Tensor | None:
    return torch.empty_like(tensor) if wanted and tensor is not None else None


def _flat(weights: Sequence[Tensor]) -> Tensor:
    return torch.cat([weight.reshape(-1) for weight in weights])
