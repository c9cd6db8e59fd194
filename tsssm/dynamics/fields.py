"""Fields: what moves a state. Rules advance any of them over a gap."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor


class Field(ABC):
    """A vector field ``dx/dt = f(t, x, u)``.

    To write one with parameters, inherit from ``nn.Module`` first and define ``forward``.

    Examples
    --------
    >>> import torch
    >>> class Decay(torch.nn.Module, Field):
    ...     def forward(self, t, x, u):
    ...         return -x
    >>> Decay()(torch.zeros(1), torch.ones(1, 2), None)
    tensor([[-1., -1.]])
    """

    @abstractmethod
    def __call__(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        """Rate of change of the state.

        Parameters
        ----------
        t : Tensor (*,)
            Time of each row of the batch.
        x : Tensor (*, n)
            State.
        u : Tensor (*, m) or None
            Input at time t.

        Returns
        -------
        Tensor (*, n)
            State per unit of time.
        """


class StochasticField(Field):
    """A field with noise, ``dx = f(t, x, u) dt + g(t, x, u) dW``.

    Attributes
    ----------
    calculus : "ito" or "stratonovich"
        How the integral over dW is meant. It changes the law of x unless the noise is additive.
    noise : "additive", "diagonal" or "general"
        Additive: g has shape (*, n) and does not depend on x. Diagonal: g has shape (*, n), and its entry i depends on
        entry i of x only. General: g has shape (*, n, m) and multiplies m Brownian motions.

    Examples
    --------
    >>> import torch
    >>> class Noise(torch.nn.Module, StochasticField):
    ...     calculus, noise = "ito", "additive"
    ...     def forward(self, t, x, u):
    ...         return -x
    ...     def diffusion(self, t, x, u):
    ...         return torch.ones_like(x)
    >>> Noise().diffusion(torch.zeros(1), torch.ones(1, 2), None)
    tensor([[1., 1.]])
    """

    calculus: Literal["ito", "stratonovich"]
    noise: Literal["additive", "diagonal", "general"]

    @abstractmethod
    def diffusion(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        """Size of the noise; arguments as for the field itself, shape as `noise` says."""

    def diffusion_and_slope(self, t: Tensor, x: Tensor, u: Tensor | None) -> tuple[Tensor, Tensor]:
        """The diffusion g of diagonal or additive noise and its derivative by the state, both (*, n).

        By differentiation, at about twice the cost of g; override it where the derivative is known.
        """
        state, wanted = differentiable(x), torch.is_grad_enabled()
        with torch.enable_grad():
            g = self.diffusion(t, state, u)
            slope = gradient(g, state, torch.ones_like(g), wanted).resolve_conj().conj()
        return (g, slope) if wanted else (g.detach(), slope)


def differentiable(x: Tensor) -> Tensor:
    """The tensor itself if it wants gradients, else a copy that does."""
    return x if x.requires_grad else x.detach().requires_grad_()


def gradient(y: Tensor, x: Tensor, weights: Tensor, create_graph: bool) -> Tensor:
    """Gradient of ``sum(weights y)`` by x, 0 where y does not depend on it."""
    found = None
    if y.requires_grad:
        (found,) = torch.autograd.grad(y, x, weights, create_graph=create_graph, retain_graph=True, allow_unused=True)
    return torch.zeros_like(x) if found is None else found
