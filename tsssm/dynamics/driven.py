"""Steps of a network that drives a state, x' = E x + w f(x, u) + k: what neural ODEs and SDEs come to once gaps are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from tsssm.dynamics.kernels import driven_native as native_form
from tsssm.dynamics.kernels.double_backward import double_backward
from tsssm.dynamics.kernels.driven_native import Numbers
from tsssm.dynamics.mlp_fields import ACTIVATIONS, MLPField

# exp of a state beyond is taken for exp(15): a network sees 3e6 and not infinity
MOST_LOG = 15.0


def driven(
    drift: MLPField,
    carry: Tensor,
    weight: Tensor,
    kick: Tensor,
    features: Tensor,
    x0: Tensor,
    log: bool = False,
) -> Tensor:
    """States after each step, ``x_k = carry_k x_{k-1} + weight_k f(z_{k-1}, features_k) + kick_k``.

    z is the state x itself, or exp(x) where the state is kept as a logarithm.

    Parameters
    ----------
    drift : MLPField
        The network f, without a clock.
    carry, weight, kick : Tensor, (b, l, p, n), or 1 in place of any of b, l and p
        What a step keeps of the state, how much of the drift it adds, and what comes from outside: noise, or the start
        of a series, where carry and weight are 0.
    features : Tensor, (b, l, m)
        What the network sees beside the state, the same on all p paths.
    x0 : Tensor, (b, p, n)
        State before the first step.
    log : bool, default False
        Whether the network sees exp(x).

    Returns
    -------
    Tensor, (b, l, p, n)

    Notes
    -----
    O(b l p n width), step after step, compiled where that is built; what depends on the features alone is computed for all
    steps at once. Memory: that and the states, everything else is computed again backwards. `driven_loop` is the
    specification.

    Examples
    --------
    >>> net = MLPField(d_state=2, d_input=3)
    >>> ones = torch.ones(1, 1, 1, 2)
    >>> driven(net, 0.9 * ones, 0.1 * ones, 0 * ones, torch.randn(4, 7, 3), torch.zeros(4, 1, 2)).shape
    torch.Size([4, 7, 1, 2])
    """
    first, *inner = drift.layers
    n = drift.d_state
    beside = torch.nn.functional.linear(features, first.weight[:, n:]).unsqueeze(2)
    weights = [first.weight[:, :n], first.bias, *(part for layer in inner for part in (layer.weight, layer.bias))]
    tensors = (x0, carry, weight, kick, beside, *weights)
    run = _Driven.apply if native_form.takes(_numbers(tensors)) else _states
    return run(drift.activation, log, *tensors)


class _Driven(Function):
    @staticmethod
    def forward(ctx: Any, activation: str, log: bool, *tensors: Tensor) -> Tensor:
        states = native_form.forward(activation, log, _numbers(tensors))
        ctx.activation, ctx.log = activation, log
        ctx.save_for_backward(*tensors, states)
        return states

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, states = ctx.saved_tensors
        if torch.is_grad_enabled():
            # of the plain operations
            return double_backward(
                lambda *parts: (_states(*parts),), (ctx.activation, ctx.log, *tensors), ctx.needs_input_grad, (grad,)
            )
        wanted = ctx.needs_input_grad[3:7]
        return None, None, *native_form.backward(ctx.activation, ctx.log, _numbers(tensors), states, grad, wanted)


def _numbers(tensors: Sequence[Tensor]) -> Numbers:
    return Numbers(*tensors[:5], tensors[5:])


def _states(activation: str, log: bool, *tensors: Tensor) -> Tensor:
    """States of `Numbers` in plain operations, one small one after another."""
    x, *parts, (matrix, bias, *inner) = _numbers(tensors)
    beside, act, states = parts[-1] + bias, ACTIVATIONS[activation], []
    b, l = beside.shape[:2]
    carry, weight, kick = (part.expand(b, l, *part.shape[2:]).unbind(1) for part in parts[:3])
    for E, w, k, seen in zip(carry, weight, kick, beside.unbind(1), strict=True):
        f = (x.clamp(max=MOST_LOG).exp() if log else x) @ matrix.T + seen
        for upper, shift in zip(inner[::2], inner[1::2], strict=True):
            f = torch.nn.functional.linear(act(f), upper, shift)
        x = torch.addcmul(torch.addcmul(k, E, x), w, f)
        states.append(x)
    return torch.stack(states, 1)


def driven_loop(
    drift: MLPField,
    carry: Tensor,
    weight: Tensor,
    kick: Tensor,
    features: Tensor,
    x0: Tensor,
    log: bool = False,
) -> Tensor:
    """`driven` as it is written down, the network called at every step: the specification.

    Examples
    --------
    >>> net, ones = MLPField(d_state=1, d_input=1), torch.ones(1, 1, 1, 1)
    >>> driven_loop(net, 0.5 * ones, 0 * ones, 0 * ones, torch.zeros(1, 2, 1), torch.ones(1, 1, 1)).flatten().detach()
    tensor([0.5000, 0.2500])
    """
    (b, l, m), p = features.shape, x0.shape[1]
    carry, weight, kick = (part.expand(b, l, p, -1) for part in (carry, weight, kick))
    x, states = x0, []
    for i in range(l):
        z = x.clamp(max=MOST_LOG).exp() if log else x
        f = drift(torch.zeros(b, p), z, features[:, i].unsqueeze(1).expand(b, p, m))
        x = carry[:, i] * x + weight[:, i] * f + kick[:, i]
        states.append(x)
    return torch.stack(states, 1)
