"""Steps of a network that drives a state, x' = E x + w f(x, u) + k: what neural ODEs and SDEs come to once gaps are known."""

from __future__ import annotations

import torch
from torch import Tensor

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
    O(b l p n width), step after step; what depends on the features alone is computed for all steps at once.
    `driven_loop` is the specification.

    Examples
    --------
    >>> net = MLPField(d_state=2, d_input=3)
    >>> ones = torch.ones(1, 1, 1, 2)
    >>> driven(net, 0.9 * ones, 0.1 * ones, 0 * ones, torch.randn(4, 7, 3), torch.zeros(4, 1, 2)).shape
    torch.Size([4, 7, 1, 2])
    """
    first, *inner = drift.layers
    n, act = drift.d_state, ACTIVATIONS[drift.activation]
    seen = torch.nn.functional.linear(features, first.weight[:, n:], first.bias).unsqueeze(2)
    own = first.weight[:, :n].T
    b, l, _ = features.shape
    carry, weight, kick = (part.expand(b, l, *part.shape[2:]).unbind(1) for part in (carry, weight, kick))
    x, states = x0, []
    for E, w, k, beside in zip(carry, weight, kick, seen.unbind(1), strict=True):
        f = (x.clamp(max=MOST_LOG).exp() if log else x) @ own + beside
        for layer in inner:
            f = layer(act(f))
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
