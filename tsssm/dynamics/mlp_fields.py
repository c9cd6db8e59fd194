"""Fields that are small networks: the drift of neural ODEs and SDEs, in the form that whole trajectories can be fused for."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsssm.dynamics.fields import Field, StochasticField
from tsssm.errors import explain

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "silu": functional.silu,
    "relu": functional.relu,
}


class MLPField(nn.Module, Field):
    """A network of the state, the input and the clock, ``f(t, x, u) = W_k a(... a(W_1 [x, u, sin t, cos t] + b_1) ...) + b_k``.

    Parameters
    ----------
    d_state : int
        Size n of the state.
    d_input : int, default 0
        Size m of the input; 0 for a field that looks at none.
    width, depth : int, default 64 and 1
        Size and number of hidden layers, each followed by the activation.
    activation : "tanh", "silu" or "relu", default "tanh"
        The function a. All are Lipschitz, so solutions exist and are unique.
    clock : bool, default False
        Whether the field sees the time, as sin t and cos t: t in time scales, for they repeat every 2 pi.

    Raises
    ------
    ValueError
        If a size is too small or the activation is unknown.

    Notes
    -----
    `trajectory` runs it along a grid, compiled where that is built. Source of the clock: Oh, Lim and Kim (2024), section 3.

    Examples
    --------
    >>> field = MLPField(d_state=2, d_input=3, clock=True)
    >>> field(torch.zeros(5), torch.zeros(5, 2), torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        d_state: int,
        d_input: int = 0,
        width: int = 64,
        depth: int = 1,
        activation: Literal["tanh", "silu", "relu"] = "tanh",
        clock: bool = False,
    ) -> None:
        super().__init__()
        _check(d_state, d_input, width, depth, activation)
        self.d_state, self.d_input, self.activation, self.clock = d_state, d_input, activation, clock
        widths = [d_state + d_input + 2 * clock, *[width] * depth, d_state]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))

    def forward(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        """Rate of change of the state; see `Field`."""
        beside = self.features(t, u)
        z = x if beside is None else torch.cat([x, beside.expand(*x.shape[:-1], beside.shape[-1])], -1)
        *hidden, last = self.layers
        for layer in hidden:
            z = ACTIVATIONS[self.activation](layer(z))
        return last(z)

    def ahead(self, features: Tensor) -> Tensor:
        """What features (*, m) put into the first layer, (*, width): all that need not wait for the states."""
        first = self.layers[0]
        return functional.linear(features, first.weight[:, self.d_state :], first.bias)

    def beside(self, ahead: Tensor, x: Tensor) -> Tensor:
        """Rate of change of the state x, (*, n), beside features that `ahead` has seen."""
        first, *upper = self.layers
        z = functional.linear(x, first.weight[:, : self.d_state]) + ahead
        for layer in upper:
            z = layer(ACTIVATIONS[self.activation](z))
        return z

    def features(self, t: Tensor, u: Tensor | None) -> Tensor | None:
        """What the network sees beside the state, (*, m) or (*, m + 2); None if nothing."""
        parts = []
        if self.d_input:
            if u is None:
                raise ValueError(
                    explain(
                        "`u` must come", f"the field has {self.d_input} inputs, None came", "Pass u of shape (*, m)"
                    )
                )
            parts.append(u)
        if self.clock:
            like = self.layers[0].weight
            time = turn(t).to(like)
            parts.append(time.expand(*u.shape[:-1], 2) if parts else time)
        return torch.cat(parts, -1) if parts else None


class NoisyMLP(nn.Module, StochasticField):
    """A network with noise, ``dx = f dt + s(t) dW`` or ``dx = f dt + s(t) x dW``, in the sense of Ito.

    Parameters
    ----------
    drift : MLPField
        The network f.
    form : "additive" or "linear", default "additive"
        Whether the noise is of the size s, or of s times each entry of the state, which then stays 0 where f is.
    size : float, default 0.1
        s at the start, > 0, in states (linear: none) per square root of time. It is learned for each entry of the state.
    clock : bool, default False
        Whether s depends on time, as a network of sin t and cos t with one hidden layer of the drift's width.

    Raises
    ------
    ValueError
        If the form is unknown or `size` is not positive.

    Notes
    -----
    s is a softplus, so positive. Source: Oh, Lim and Kim (2024), equations of the Langevin and the linear noise SDE.

    Examples
    --------
    >>> field = NoisyMLP(MLPField(2), "linear")
    >>> field.diffusion(torch.zeros(1), torch.tensor([[1.0, 2.0]]), None).detach()
    tensor([[0.1000, 0.2000]])
    """

    calculus = "ito"

    def __init__(
        self, drift: MLPField, form: Literal["additive", "linear"] = "additive", size: float = 0.1, clock: bool = False
    ) -> None:
        super().__init__()
        if form not in ("additive", "linear"):
            raise ValueError(
                explain("`form` must be additive or linear", f"form={form!r} came", "Choose one of the two")
            )
        if not size > 0:
            raise ValueError(
                explain("`size` must be positive", f"size={size} came", "For no noise use the drift alone")
            )
        self.drift, self.linear, self.clock = drift, form == "linear", clock
        self.noise = "diagonal" if self.linear else "additive"
        like = drift.layers[0].weight
        level = torch.full((drift.d_state,), math.log(math.expm1(size)), dtype=like.dtype, device=like.device)
        if clock:
            self.level = nn.Sequential(nn.Linear(2, len(like)), nn.Tanh(), nn.Linear(len(like), drift.d_state)).to(like)
            nn.init.zeros_(self.level[2].weight)
            self.level[2].bias.data = level
        else:
            self.level = nn.Parameter(level)

    def forward(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        """The drift; see `Field`."""
        return self.drift(t, x, u)

    def size(self, t: Tensor) -> Tensor:
        """s(t), (*, n), or (n,) if it does not depend on time."""
        if self.clock:
            return functional.softplus(self.level(turn(t).to(self.level[0].weight)))
        return functional.softplus(self.level)

    def diffusion(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        """Size of the noise, (*, n)."""
        size = self.size(t)
        return size * x if self.linear else size.expand_as(x)

    def diffusion_and_slope(self, t: Tensor, x: Tensor, u: Tensor | None) -> tuple[Tensor, Tensor]:
        """Size of the noise and its derivative by the state, (*, n) each."""
        size = self.size(t).expand_as(x)
        return (size * x, size) if self.linear else (size, torch.zeros_like(x))


def turn(t: Tensor) -> Tensor:
    """sin t and cos t, (*, 2)."""
    return torch.stack([t.sin(), t.cos()], -1)


def _check(d_state: int, d_input: int, width: int, depth: int, activation: str) -> None:
    if min(d_state, width) < 1 or min(d_input, depth) < 0:
        raise ValueError(
            explain(
                must="`d_state` and `width` must be at least 1, `d_input` and `depth` at least 0",
                came=f"d_state={d_state}, width={width}, d_input={d_input}, depth={depth} came",
                do="Use depth=0 for a linear field",
            )
        )
    if activation not in ACTIVATIONS:
        raise ValueError(
            explain(
                must=f"`activation` must be one of {', '.join(ACTIVATIONS)}",
                came=f"{activation!r} came",
                do="Use tanh for bounded rates, silu for smooth ones",
            )
        )
