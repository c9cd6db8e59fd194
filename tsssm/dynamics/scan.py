"""The linear recurrence x_k = a_k x_{k-1} + b_k in forms that agree: step by step, in chunks, associatively, in C."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tsssm.dynamics.kernels import recurrence


def sequential_scan(a: Tensor, b: Tensor, state: Tensor | None = None) -> Tensor:
    """Run x_k = a_k x_{k-1} + b_k one step after another: the specification.

    Parameters
    ----------
    a, b : Tensor, (batch, l, *n)
        Transitions and inputs, real or complex, of the same shape.
    state : Tensor, (batch, *n), optional
        x_{-1}; zero if not given.

    Returns
    -------
    Tensor, (batch, l, *n)
        All states. O(l) steps of O(batch n) work; differentiable twice.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.scan import sequential_scan
    >>> sequential_scan(torch.full((1, 3, 1), 0.5), torch.ones(1, 3, 1)).flatten()
    tensor([1.0000, 1.5000, 1.7500])
    """
    return _Recurrence.apply(*_of_one_type(a, b, state), False, False)


def compiled_scan(a: Tensor, b: Tensor, state: Tensor | None = None) -> Tensor:
    """Run the recurrence in C, where `kernels.recurrence` takes its numbers: float32, float64 and complex on CPUs.

    What it costs is reading and writing memory once, and an `a` that is expanded is read as it lies. Measured on one
    thread at (16, 1000, 64) complex64, forward and backward: 4.5 ms instead of 21 by `sequential_scan`. Arguments and
    result are those of `sequential_scan`; differentiable twice.
    """
    a, b, state = _of_one_type(a, b, state)
    return _Recurrence.apply(a.expand_as(b), b, state, False, True)


def _of_one_type(a: Tensor, b: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    kind = torch.promote_types(a.dtype, b.dtype)
    if state is None:
        return a.to(kind), b.to(kind), None
    kind = torch.promote_types(kind, state.dtype)
    return a.to(kind), b.to(kind), state.to(kind).expand(b.shape[:1] + b.shape[2:])


class _Recurrence(torch.autograd.Function):
    """x_k = a_k x_{k-1} + b_k from `start`, or x_k = a_k x_{k+1} + b_k when `backwards`; in C when `compiled`."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor, start: Tensor | None, backwards: bool, compiled: bool) -> Tensor:
        x = recurrence.forward(a, b, start, backwards) if compiled else _loop(a, b, start, backwards)
        ctx.save_for_backward(a, x, start)
        ctx.how = backwards, compiled
        return x

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, x, start = ctx.saved_tensors
        backwards, compiled = ctx.how
        if compiled and not torch.is_grad_enabled():
            return *recurrence.backward(a, x, start, grad, ctx.needs_input_grad[0], backwards), None, None
        # the adjoint is the same recurrence in the other direction: g_k = grad_k + conj(a_{k+1}) g_{k+1}
        first = torch.zeros_like(x[:, :1]) if start is None else start.unsqueeze(1)[:, : x.shape[1]]
        if backwards:
            later, before = [torch.zeros_like(a[:, :1]), a[:, :-1].conj()], [x[:, 1:], first]
        else:
            later, before = [a[:, 1:].conj(), torch.zeros_like(a[:, :1])], [first, x[:, :-1]]
        g = _Recurrence.apply(torch.cat(later, 1), grad, None, not backwards, compiled)
        to_start = None
        if start is not None:
            edge = slice(-1, None) if backwards else slice(0, 1)
            to_start = (a[:, edge].conj() * g[:, edge]).sum(1)
        return g * torch.cat(before, 1).conj(), g, to_start, None, None


def _loop(a: Tensor, b: Tensor, start: Tensor | None, backwards: bool) -> Tensor:
    x = torch.empty_like(b)
    # unbind, because a slice per step would make the backward pass quadratic in the length
    steps = list(zip(a.unbind(1), b.unbind(1), x.unbind(1), strict=True))
    last = start
    for a_k, b_k, x_k in reversed(steps) if backwards else steps:
        last = x_k.copy_(b_k) if last is None else torch.addcmul(b_k, a_k, last, out=x_k)
    return x


def chunked_scan(a: Tensor, b: Tensor, state: Tensor | None = None, chunk: int | None = None) -> Tensor:
    """Run the recurrence in chunks side by side, then carry the states from chunk to chunk.

    About 2 sqrt(l) steps instead of l, for three times the arithmetic: the form for long series and small states.
    Arguments and result are those of `sequential_scan`; `chunk` is the chunk length, sqrt(l) if not given.
    """
    batch, length = b.shape[:2]
    chunk = chunk or max(1, math.isqrt(length))
    count = -(-length // chunk)
    missing = count * chunk - length
    if missing:
        a = torch.cat([a, torch.ones_like(a[:, :1]).expand(-1, missing, *a.shape[2:])], 1)
        b = torch.cat([b, torch.zeros_like(b[:, :1]).expand(-1, missing, *b.shape[2:])], 1)
    a = a.reshape(batch * count, chunk, *a.shape[2:])
    b = b.reshape(batch * count, chunk, *b.shape[2:])
    inside = _Recurrence.apply(a, b, None, False, False)
    # the product of the transitions up to each row is the recurrence with an impulse at the chunk's start
    impulse = torch.cat([a[:, :1], torch.zeros_like(a[:, 1:])], 1)
    reach = _Recurrence.apply(a, impulse, None, False, False)
    inside, reach = (part.reshape(batch, count, chunk, *part.shape[2:]) for part in (inside, reach))
    carried = sequential_scan(reach[:, :, -1], inside[:, :, -1], state)
    first = torch.zeros_like(carried[:, :1]) if state is None else state.unsqueeze(1).to(carried.dtype)
    entering = torch.cat([first, carried[:, :-1]], 1).unsqueeze(2)
    return torch.addcmul(inside, reach, entering).reshape(batch, count * chunk, *b.shape[2:])[:, :length]


def associative_scan(a: Tensor, b: Tensor, state: Tensor | None = None) -> Tensor:
    """Run the recurrence as a parallel prefix of the pairs (a, b), log2(l) rounds deep.

    (a_i, b_i) . (a_j, b_j) = (a_j a_i, a_j b_i + b_j) for i before j; O(l log l) work. The form for wide devices.
    Source: S5, Smith et al. 2023, section 2.3. Arguments and result are those of `sequential_scan`.
    """
    if state is not None:
        b = torch.cat([torch.addcmul(b[:, :1], a[:, :1], state.unsqueeze(1)), b[:, 1:]], 1)
    reach = 1
    while reach < b.shape[1]:
        b = torch.cat([b[:, :reach], torch.addcmul(b[:, reach:], a[:, reach:], b[:, :-reach])], 1)
        a = torch.cat([a[:, :reach], a[:, reach:] * a[:, :-reach]], 1)
        reach *= 2
    return b


def scan(a: Tensor, b: Tensor, state: Tensor | None = None) -> Tensor:
    """Run the recurrence in the form that is fastest for its size.

    In C where it can be. Elsewhere chunks save the few microseconds of overhead a step costs, which pays when there is
    little else to do in it (measured on two CPU cores). Arguments and result are those of `sequential_scan`.
    """
    if recurrence.takes(b) and recurrence.takes(a):
        return compiled_scan(a, b, state)
    if b.shape[1] >= 256 and b[:, :1].numel() <= 256:
        return chunked_scan(a, b, state)
    return sequential_scan(a, b, state)
