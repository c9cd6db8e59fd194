"""Stable neural SDEs: additive, linear and geometric noise, each stable and well posed by construction."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from tsssm.layers.exponential import Affine, Exponential
from tsssm.layers.noise import Size, root


class LangevinSDE(Exponential):
    r"""Neural Langevin SDE, ``dx = a (f(x, u) - x) dt + s(t) dW``: the noise does not depend on the state.

    f is a bounded network, so that the drift is dissipative, :math:`\langle x, a(f - x)\rangle \le -a|x|^2 + ac|x|`: the
    equation has one invariant law and forgets its start exponentially fast. Slow states are slow means of f, no larger
    than fast ones.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 32
        Size of the state.
    width, depth : int, default 64 and 1
        Size and number of the hidden layers of f.
    timescale : tuple of float, default (0.01, 1.0)
        Range of the initial decay a of each state, per median gap.
    noise : float, default 0.1
        Initial size of the noise: the standard deviation of a settled state with f = 0.
    paths : int, default 8
        Sample paths whose mean is the answer outside of training, always the same ones; in training one is drawn.

    Notes
    -----
    Exponential Euler steps, exact in the linear part and its noise: strong order 1, stable at any gap. O(b l paths
    d_state width).

    References
    ----------
    Oh, Lim and Kim, 2024, Stable neural stochastic differential equations (arXiv 2402.14989), the Langevin-type SDE.
    The decay is ours: a network alone is not dissipative. The step is that of Ornstein-Uhlenbeck processes.

    Examples
    --------
    >>> import torch
    >>> from tsssm.grid import Grid
    >>> from tsssm.layers import LangevinSDE
    >>> y, state = LangevinSDE(8)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    noisy = True

    def __init__(
        self,
        d_model: int,
        d_state: int = 32,
        width: int = 64,
        depth: int = 1,
        timescale: tuple[float, float] = (0.01, 1.0),
        noise: float = 0.1,
        paths: int = 8,
    ):
        super().__init__(d_model, d_state, width, depth, timescale, paths)
        self.size = Size(d_state, math.log(math.expm1(noise)))

    def share(self, clock: Tensor) -> Tensor:
        """s / sqrt(2 a) at a clock (..., 1), (..., n)."""
        return functional.softplus(self.size(clock))

    def affine(self, gap: Tensor, clock: Tensor, noise: Tensor) -> Affine:
        return settling(self.decay, self.share(clock), gap, noise)


class LinearNoiseSDE(Exponential):
    """Neural SDE with linear noise, ``dx = a (f(x, u) - x) dt + s(t) x dW``, with s^2 < 2 a and f bounded.

    The bound on s keeps the second moment of the linear part falling: mean-square stable by construction.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 32
        Size of the state.
    width, depth : int, default 64 and 1
        Size and number of the hidden layers of f.
    timescale : tuple of float, default (0.01, 1.0)
        Range of the initial decay a of each state, per median gap.
    noise : float, default 0.1
        Initial share s / sqrt(2 a) of the largest noise that is stable, < 1.
    paths : int, default 8
        Sample paths whose mean is the answer outside of training, always the same ones; in training one is drawn.

    Notes
    -----
    Exponential Euler steps whose linear part and noise are exact, ``exp(-(a + s^2/2) h + s dW)``: strong order 1. O(b l
    paths d_state width).

    References
    ----------
    Oh, Lim and Kim, 2024 (arXiv 2402.14989), the linear-noise SDE; the condition s^2 < 2 a is Mao, 2007, section 4.4.

    Examples
    --------
    >>> import torch
    >>> from tsssm.grid import Grid
    >>> from tsssm.layers import LinearNoiseSDE
    >>> y, state = LinearNoiseSDE(8)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    noisy = True

    def __init__(
        self,
        d_model: int,
        d_state: int = 32,
        width: int = 64,
        depth: int = 1,
        timescale: tuple[float, float] = (0.01, 1.0),
        noise: float = 0.1,
        paths: int = 8,
    ):
        super().__init__(d_model, d_state, width, depth, timescale, paths)
        self.size = Size(d_state, math.log(noise / (1 - noise)))

    def share(self, clock: Tensor) -> Tensor:
        """s / sqrt(2 a) at a clock (..., 1), (..., n): below 1."""
        return torch.sigmoid(self.size(clock))

    def affine(self, gap: Tensor, clock: Tensor, noise: Tensor) -> Affine:
        a = self.decay
        s = self.share(clock) * (2 * a).sqrt()
        carry = torch.exp(-(a + s.square() / 2) * gap + s * root(gap) * noise)
        return Affine(carry, -torch.expm1(-a * gap), torch.zeros_like(carry))


class GeometricSDE(Exponential):
    """Neural geometric SDE, ``dz / z = g(z, u) dt + s(t) dW``: z keeps its sign whatever happens.

    With g = a (f(z, u) - log z) + s^2/2 and f a bounded network, the state x = log z obeys ``dx = a (f - x) dt + s dW``
    and is never far from where f holds it.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 32
        Size of the state.
    width, depth : int, default 64 and 1
        Size and number of the hidden layers of f.
    timescale : tuple of float, default (0.01, 1.0)
        Range of the initial decay a of each state, per median gap.
    noise : float, default 0.1
        Initial size of the noise: the standard deviation of a settled log z with f = 0.
    paths : int, default 8
        Sample paths whose mean is the answer outside of training, always the same ones; in training one is drawn.

    Notes
    -----
    Steps of log z, exact in its linear part and noise: positive at any gap, strong order 1. Every z is positive; signs
    are those of the weights that read it. O(b l paths d_state width).

    References
    ----------
    Oh, Lim and Kim, 2024 (arXiv 2402.14989), the geometric SDE, whose drift here has -a log z: without it z may grow or
    vanish exponentially over long gaps.

    Examples
    --------
    >>> import torch
    >>> from tsssm.grid import Grid
    >>> from tsssm.layers import GeometricSDE
    >>> y, state = GeometricSDE(8)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    log = True
    noisy = True

    def __init__(
        self,
        d_model: int,
        d_state: int = 32,
        width: int = 64,
        depth: int = 1,
        timescale: tuple[float, float] = (0.01, 1.0),
        noise: float = 0.1,
        paths: int = 8,
    ):
        super().__init__(d_model, d_state, width, depth, timescale, paths)
        self.size = Size(d_state, math.log(math.expm1(noise)))

    def share(self, clock: Tensor) -> Tensor:
        """s / sqrt(2 a) at a clock (..., 1), (..., n)."""
        return functional.softplus(self.size(clock))

    def affine(self, gap: Tensor, clock: Tensor, noise: Tensor) -> Affine:
        return settling(self.decay, self.share(clock), gap, noise)


def settling(decay: Tensor, spread: Tensor, gap: Tensor, noise: Tensor) -> Affine:
    """The exact step of ``dx = a (f - x) dt + spread sqrt(2 a) dW`` with f held, whose settled deviation is `spread`."""
    passed = decay * gap
    grown = -torch.expm1(-2 * passed)
    return Affine(torch.exp(-passed), -torch.expm1(-passed), spread * root(grown) * noise)
