"""Discretization rules: from x' = A x + v over a gap dt to x1 = T x0 + G0 v0 + G1 v1.

T, G0 and G1 depend on A and dt alone; v0 is the input at the start of the gap and v1 at its end. A rule is a frozen
dataclass with one method, `matrices`. In the docstrings z = dt A and phi_k are the functions of `dynamics.functions`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tsssm.dynamics.matrices import StateMatrix, scaled_identity
from tsssm.dynamics.rules import Discretization, LinearDiscretization, ModalInputs, Step
from tsssm.errors import explain

__all__ = [
    "BackwardEuler",
    "Bilinear",
    "Dirac",
    "Discretization",
    "ExponentialEuler",
    "ExponentialTrapezoid",
    "FirstOrderHold",
    "ForwardEuler",
    "GeneralizedBilinear",
    "LeftHold",
    "LinearDiscretization",
    "Step",
    "ZeroOrderHold",
]


@dataclass(frozen=True)
class ZeroOrderHold(LinearDiscretization):
    """Input held at its value at the end of the gap (right hold): the convention of S4D and S5.

    ``x1 = e^z x0 + dt phi_1(z) v1``. First order on smooth inputs, exact on held ones. Source: S5, arXiv 2208.04933,
    equation 6.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> ZeroOrderHold().step(Diagonal(torch.zeros(1)), 0.0, 2.0, torch.ones(1), torch.ones(1))
    tensor([3.])
    """

    def matrices(self, A: StateMatrix, dt: Tensor | float) -> Step:
        """``e^z, none, dt phi_1(z)``."""
        exp, integral = A.exp_and_integral(dt)
        return Step(exp, None, integral)

    def modal(self, dt: Tensor, before: Tensor, after: Tensor) -> ModalInputs:
        return ModalInputs(after, held=True)


@dataclass(frozen=True)
class LeftHold(LinearDiscretization):
    """Input held at its value at the start of the gap: the textbook zero-order hold of a control input.

    ``x1 = e^z x0 + dt phi_1(z) v0``. First order on smooth inputs, exact on held ones.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> LeftHold().step(Diagonal(torch.zeros(1)), 0.0, 2.0, torch.ones(1), torch.ones(1), torch.zeros(1))
    tensor([1.])
    """

    def matrices(self, A: StateMatrix, dt: Tensor | float) -> Step:
        """``e^z, dt phi_1(z), none``."""
        exp, integral = A.exp_and_integral(dt)
        return Step(exp, integral, None)

    def modal(self, dt: Tensor, before: Tensor, after: Tensor) -> ModalInputs:
        return ModalInputs(before, held=True)


@dataclass(frozen=True)
class FirstOrderHold(LinearDiscretization):
    """Input linear between samples.

    ``x1 = e^z x0 + dt (phi_1 - phi_2)(z) v0 + dt phi_2(z) v1``. Second order on smooth inputs, exact on piecewise linear
    ones: the best choice for a sampled physical signal. One phi function more than the zero-order hold.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> FirstOrderHold().step(Diagonal(torch.zeros(1)), 0.0, 2.0, torch.ones(1), torch.ones(1), torch.zeros(1))
    tensor([2.])
    """

    def matrices(self, A: StateMatrix, dt: Tensor | float) -> Step:
        """``e^z, dt (phi_1 - phi_2)(z), dt phi_2(z)``."""
        exp, mean, ramp = A.phis(2, dt)
        return Step(exp, (mean - ramp).affine(dt), ramp.affine(dt))


@dataclass(frozen=True)
class Bilinear(LinearDiscretization):
    """Trapezoidal rule with averaged input (Tustin).

    ``x1 = (1 - z/2)^-1 ((1 + z/2) x0 + dt/2 (v0 + v1))``. Second order, stable at every gap; very fast modes ring (the
    transition tends to -1) instead of dying. The single-input form of LSSL and S4 is ``GeneralizedBilinear(0.5)``.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> Bilinear().step(Diagonal(-torch.ones(1)), 0.0, 2.0, torch.ones(1), torch.ones(1))
    tensor([1.])
    """

    def matrices(self, A: StateMatrix, dt: Tensor | float) -> Step:
        """``(1 - z/2)^-1 (1 + z/2)`` and twice ``dt/2 (1 - z/2)^-1``."""
        transition, inverse = A.rational(dt, 0.5)
        gain = inverse.affine(dt / 2)
        return Step(transition, gain, gain)

    def modal(self, dt: Tensor, before: Tensor, after: Tensor) -> ModalInputs:
        return ModalInputs((before + after) / 2, held=True, alpha=0.5)


@dataclass(frozen=True)
class GeneralizedBilinear(LinearDiscretization):
    """Generalized bilinear transform with the input at the end of the gap.

    ``x1 = (1 - a z)^-1 ((1 + (1 - a) z) x0 + dt v1)``: a = 0 forward Euler, 1/2 the rule of LSSL and S4, 1 backward Euler.
    First order on smooth inputs. Source: LSSL, arXiv 2110.13985, equation 3.

    Parameters
    ----------
    alpha : float, default 0.5
        Weight of the end of the gap, in [0, 1].

    Raises
    ------
    ValueError
        If `alpha` is outside [0, 1].

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> GeneralizedBilinear(1.0).step(Diagonal(-torch.ones(1)), 0.0, 1.0, torch.ones(1), torch.zeros(1))
    tensor([0.5000])
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        _check_weight("alpha", self.alpha)

    def matrices(self, A: StateMatrix, dt: Tensor | float) -> Step:
        """``(1 - a z)^-1 (1 + (1 - a) z), none, dt (1 - a z)^-1``."""
        transition, inverse = A.rational(dt, self.alpha)
        return Step(transition, None, inverse.affine(dt))

    def modal(self, dt: Tensor, before: Tensor, after: Tensor) -> ModalInputs:
        return ModalInputs(after, held=True, alpha=self.alpha)


@dataclass(frozen=True)
class ForwardEuler(LinearDiscretization):
    """``x1 = (1 + z) x0 + dt v1``: first order, unstable where |1 + z| > 1.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> ForwardEuler().step(Diagonal(-torch.ones(1)), 0.0, 0.5, torch.ones(1), torch.zeros(1))
    tensor([0.5000])
    """

    def matrices(self, A: StateMatrix, dt: Tensor | float) -> Step:
        """``1 + z, none, dt``."""
        return Step(A.affine(dt, 1.0), None, scaled_identity(A, dt))

    def modal(self, dt: Tensor, before: Tensor, after: Tensor) -> ModalInputs:
        return ModalInputs(after, held=True, alpha=0.0)


@dataclass(frozen=True)
class BackwardEuler(LinearDiscretization):
    """``x1 = (1 - z)^-1 (x0 + dt v1)``: first order, damps at every gap; the rule hidden in a gate (LSSL, lemma 3.1).

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> BackwardEuler().step(Diagonal(-torch.ones(1)), 0.0, 1.0, torch.ones(1), torch.zeros(1))
    tensor([0.5000])
    """

    def matrices(self, A: StateMatrix, dt: Tensor | float) -> Step:
        """``(1 - z)^-1, none, dt (1 - z)^-1``."""
        inverse = A.resolvent(dt)
        return Step(inverse, None, inverse.affine(dt))

    def modal(self, dt: Tensor, before: Tensor, after: Tensor) -> ModalInputs:
        return ModalInputs(after, held=True, alpha=1.0)


@dataclass(frozen=True)
class ExponentialEuler(LinearDiscretization):
    """``x1 = e^z x0 + dt v1``: the rule of Mamba's code, often called a zero-order hold, which it is not.

    First order; its input gain exceeds the exact one by ``z / (1 - e^-z)``, 1.58 at dt |A| = 1.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> ExponentialEuler().step(Diagonal(torch.zeros(1)), 0.0, 2.0, torch.ones(1), torch.ones(1))
    tensor([3.])
    """

    def matrices(self, A: StateMatrix, dt: Tensor | float) -> Step:
        """``e^z, none, dt``."""
        return Step(A.exp(dt), None, scaled_identity(A, dt))

    def modal(self, dt: Tensor, before: Tensor, after: Tensor) -> ModalInputs:
        return ModalInputs(dt * after, held=False)


@dataclass(frozen=True)
class ExponentialTrapezoid(LinearDiscretization):
    """``x1 = e^z x0 + (1 - w) dt e^z v0 + w dt v1``: second order at w = 1/2.

    Parameters
    ----------
    weight : float, default 0.5
        Weight w of the input at the end of the gap, in [0, 1]; 1 is `ExponentialEuler`.

    Raises
    ------
    ValueError
        If `weight` is outside [0, 1].

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> ExponentialTrapezoid().step(Diagonal(torch.zeros(1)), 0.0, 2.0, torch.ones(1), torch.ones(1), torch.zeros(1))
    tensor([2.])
    """

    weight: float = 0.5

    def __post_init__(self) -> None:
        _check_weight("weight", self.weight)

    def matrices(self, A: StateMatrix, dt: Tensor | float) -> Step:
        """``e^z, (1 - w) dt e^z, w dt``."""
        exp = A.exp(dt)
        return Step(exp, exp.affine((1 - self.weight) * dt), scaled_identity(A, self.weight * dt))


@dataclass(frozen=True)
class Dirac(LinearDiscretization):
    """``x1 = e^z x0 + v1``: the input is an impulse at the end of the gap, for streams of events.

    Two events at the same time (dt = 0) both count, unlike under the other rules.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> Dirac().step(Diagonal(torch.zeros(1)), 0.0, 2.0, torch.ones(1), torch.ones(1))
    tensor([2.])
    """

    def matrices(self, A: StateMatrix, dt: Tensor | float) -> Step:
        """``e^z, none, 1``."""
        return Step(A.exp(dt), None, scaled_identity(A, 1.0))

    def modal(self, dt: Tensor, before: Tensor, after: Tensor) -> ModalInputs:
        return ModalInputs(after, held=False)


def _check_weight(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(
            explain(
                must=f"`{name}` must lie in [0, 1]",
                came=f"{name}={value!r} came",
                do="Use 0.5 for second order, 1 for the end of the gap only",
            )
        )
