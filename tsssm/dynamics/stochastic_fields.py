"""Fields with noise whose structure a solver can use, and the change between the two calculi."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from tsssm.dynamics.fields import StochasticField, differentiable, gradient
from tsssm.dynamics.state_matrix import StateMatrix
from tsssm.errors import explain


class GeometricField(StochasticField):
    """A field in proportion to the state, ``dx = x (mu(t, x, u) dt + sigma(t, x, u) dW)``, entry by entry.

    A solution keeps its sign, and stays 0 where it starts there. To write one with parameters, inherit from it first and
    from ``nn.Module`` after it. Source: Oh, Lim and Kim, 2024, arXiv 2402.14989, the geometric SDE.

    Examples
    --------
    >>> class Growth(GeometricField):
    ...     calculus = "ito"
    ...     def rate(self, t, x, u):
    ...         return torch.full_like(x, 0.5)
    ...     def volatility(self, t, x, u):
    ...         return torch.full_like(x, 0.1)
    >>> Growth()(torch.zeros(1), torch.tensor([[2.0]]), None)
    tensor([[1.]])
    """

    noise = "diagonal"

    @abstractmethod
    def rate(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        """mu, (*, n), in 1/time."""

    @abstractmethod
    def volatility(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        """sigma, (*, n), in 1/sqrt(time); its entry i may depend on entry i of x only."""

    def __call__(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        """``x mu``; see `Field`."""
        return x * self.rate(t, x, u)

    def diffusion(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        """``x sigma``; see `StochasticField`."""
        return x * self.volatility(t, x, u)


class SemilinearField(StochasticField):
    """A field with a linear part, ``dx = (A x + n(t, x, u)) dt + g(t, x, u) dW``, which may be stiff.

    To write one with parameters, inherit from it first and from ``nn.Module`` after it.

    Attributes
    ----------
    A : StateMatrix (n, n), real, in 1/time

    Examples
    --------
    >>> from tsssm.dynamics import Diagonal
    >>> class Pendulum(SemilinearField):
    ...     calculus, noise, A = "ito", "additive", Diagonal(torch.tensor([-9.0]))
    ...     def remainder(self, t, x, u):
    ...         return x.sin()
    ...     def diffusion(self, t, x, u):
    ...         return torch.ones_like(x)
    >>> Pendulum()(torch.zeros(1), torch.zeros(1, 1), None)
    tensor([[0.]])
    """

    A: StateMatrix

    @abstractmethod
    def remainder(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        """n, (*, n), in states per time."""

    def __call__(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        """``A x + n``; see `Field`."""
        return self.A @ x + self.remainder(t, x, u)


class LinearSDE(SemilinearField):
    """``dx = (A x + u) dt + G dW``: a linear system in white noise, whose step over a gap is known exactly.

    Parameters
    ----------
    A : StateMatrix (n, n), real, in 1/time
    G : Tensor, (n,) for a Brownian motion for each entry, or (n, m) for m shared ones
        In states per square root of time.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> from tsssm.dynamics import Diagonal
    >>> LinearSDE(Diagonal(-torch.ones(2)), torch.ones(2))(torch.zeros(1), torch.ones(1, 2), None)
    tensor([[-1., -1.]])
    """

    calculus = "ito"

    def __init__(self, A: StateMatrix, G: Tensor) -> None:
        if G.dim() not in (1, 2) or A.shape[-1] != len(G):
            raise ValueError(
                explain(
                    must=f"`G` must be ({A.shape[-1]},) or ({A.shape[-1]}, m), as A is {tuple(A.shape)}",
                    came=f"{tuple(G.shape)} came",
                    do="Give the size of each entry's noise, or a row of it for each entry",
                )
            )
        self.A, self.G = A, G
        self.noise = "additive" if G.dim() == 1 else "general"

    def remainder(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        return torch.zeros_like(x) if u is None else u

    def diffusion(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        return self.G.expand(*x.shape[:-1], *self.G.shape)


class _Converted(StochasticField):
    def __init__(self, field: StochasticField, sign: float) -> None:
        self.field, self.sign, self.noise = field, sign, field.noise
        self.calculus = "ito" if sign > 0 else "stratonovich"

    def __call__(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        return self.field(t, x, u) + self.sign / 2 * noise_drift(self.field, t, x, u)

    def diffusion(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        return self.field.diffusion(t, x, u)

    def diffusion_and_slope(self, t: Tensor, x: Tensor, u: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.field.diffusion_and_slope(t, x, u)


def noise_drift(field: StochasticField, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
    """``sum_j (dg_j/dx) g_j`` over the columns g_j of the diffusion, (*, n): twice the drift between the calculi.

    Examples
    --------
    >>> from tsssm.dynamics.mlp_fields import MLPField, NoisyMLP
    >>> noise_drift(NoisyMLP(MLPField(1), "linear", 0.5), torch.zeros(1), torch.ones(1, 1), None).detach()
    tensor([[0.2500]])
    """
    if field.noise == "additive":
        return torch.zeros_like(x)
    if field.noise == "diagonal":
        g, slope = field.diffusion_and_slope(t, x, u)
        return g * slope
    state, wanted = differentiable(x), torch.is_grad_enabled()
    with torch.enable_grad():
        total = torch.zeros_like(x)
        for column in field.diffusion(t, state, u).unbind(-1):
            # J g as the gradient of J^T w by w, in the direction g
            w = torch.zeros_like(column, requires_grad=True)
            total = total + gradient(gradient(column, state, w, True), w, column, wanted)
    return total if wanted else total.detach()


def as_ito(field: StochasticField) -> StochasticField:
    """The same process in the sense of Ito: the drift is ``f + 1/2 sum_j (dg_j/dx) g_j`` of a Stratonovich field.

    Parameters
    ----------
    field : StochasticField

    Returns
    -------
    StochasticField
        The field itself if it is one of Ito.

    Notes
    -----
    Diagonal noise costs one derivative of g a call, general noise one for each Brownian motion. Source: Kloeden and
    Platen, 1992, section 4.9.

    Examples
    --------
    >>> from tsssm.dynamics.mlp_fields import MLPField, NoisyMLP
    >>> as_ito(as_stratonovich(NoisyMLP(MLPField(1)))).calculus
    'ito'
    """
    if field.calculus == "ito":
        return field
    return field.field if isinstance(field, _Converted) else _Converted(field, 1.0)


def as_stratonovich(field: StochasticField) -> StochasticField:
    """The same process in the sense of Stratonovich: the drift is ``f - 1/2 sum_j (dg_j/dx) g_j`` of an Ito field.

    Parameters
    ----------
    field : StochasticField

    Returns
    -------
    StochasticField
        The field itself if it is one of Stratonovich.

    Examples
    --------
    >>> from tsssm.dynamics.mlp_fields import MLPField, NoisyMLP
    >>> as_stratonovich(NoisyMLP(MLPField(1))).calculus
    'stratonovich'
    """
    if field.calculus == "stratonovich":
        return field
    return field.field if isinstance(field, _Converted) else _Converted(field, -1.0)
