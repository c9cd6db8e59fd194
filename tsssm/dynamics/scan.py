"""The linear recurrence x_k = a_k x_{k-1} + b_k in three forms that agree: step by step, in chunks, associatively."""

from __future__ import annotations

import math

import torch
from torch import Tensor


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
    if state is not None:
        b = torch.cat([torch.addcmul(b[:, :1], a[:, :1], state.unsqueeze(1)), b[:, 1:]], 1)
    return _Recurrence.apply(a, b, False)


class _Recurrence(torch.autograd.Function):
    """x_k = a_k x_{k-1} + b_k from a zero state, or x_k = a_k x_{k+1} + b_k when `backwards`."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor, backwards: bool) -> Tensor:
        x = torch.empty_like(b)
        # unbind, because a slice per step would make the backward pass quadratic in the length
        steps = list(zip(a.unbind(1), b.unbind(1), x.unbind(1), strict=True))
        last = None
        for a_k, b_k, x_k in reversed(steps) if backwards else steps:
            last = x_k.copy_(b_k) if last is None else torch.addcmul(b_k, a_k, last, out=x_k)
        ctx.save_for_backward(a, x)
        ctx.backwards = backwards
        return x

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        a, x = ctx.saved_tensors
        # the adjoint is the same recurrence in the other direction: g_k = grad_k + conj(a_{k+1}) g_{k+1}
        zero = torch.zeros_like(a[:, :1])
        if ctx.backwards:
            g = _Recurrence.apply(torch.cat([zero, a[:, :-1].conj()], 1), grad, False)
            return torch.cat([g[:, :-1] * x[:, 1:].conj(), zero], 1), g, None
        g = _Recurrence.apply(torch.cat([a[:, 1:].conj(), zero], 1), grad, True)
        return torch.cat([zero, g[:, 1:] * x[:, :-1].conj()], 1), g, None


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
    inside = _Recurrence.apply(a, b, False)
    # the product of the transitions up to each row is the recurrence with an impulse at the chunk's start
    impulse = torch.cat([a[:, :1], torch.zeros_like(a[:, 1:])], 1)
    reach = _Recurrence.apply(a, impulse, False)
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

    Measured on two CPU cores: chunks save the few microseconds of overhead a step costs, which pays when there is
    little else to do in it. Arguments and result are those of `sequential_scan`.
    """
    if b.shape[1] >= 256 and b[:, :1].numel() <= 256:
        return chunked_scan(a, b, state)
    return sequential_scan(a, b, state)
