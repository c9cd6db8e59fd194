"""Solvers of our own with fixed steps: rules that advance any field, each row of the batch over its own gap.

A gap is cut into `substeps` equal parts, so a row with dt = 0 stays as it is. Between samples the input goes linearly from
`u_before` to `u`, or is held at `u` when no `u_before` is given.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tsssm.dynamics.exponential_solvers import ExactLinear, ExponentialEulerMaruyama
from tsssm.dynamics.fixed_steps import FixedStepSolver
from tsssm.dynamics.gap import Gap, check_substeps
from tsssm.dynamics.library_sde import Torchsde
from tsssm.dynamics.library_solvers import Torchdiffeq
from tsssm.dynamics.stochastic import EulerMaruyama, LogEuler, Milstein, StochasticSolver, euler_maruyama
from tsssm.dynamics.stochastic_stages import SRA1, StochasticHeun, StochasticMidpoint

__all__ = [
    "RK4",
    "SRA1",
    "Euler",
    "EulerMaruyama",
    "ExactLinear",
    "ExponentialEulerMaruyama",
    "FixedStepSolver",
    "Heun",
    "LogEuler",
    "Midpoint",
    "Milstein",
    "StochasticHeun",
    "StochasticMidpoint",
    "StochasticSolver",
    "Torchdiffeq",
    "Torchsde",
    "euler_maruyama",
]


@dataclass(frozen=True)
class Euler(FixedStepSolver):
    """``x1 = x0 + h f(x0)``: first order, one call a step.

    Parameters
    ----------
    substeps : int, default 1
        Equal parts of each gap.

    Raises
    ------
    ValueError
        If `substeps` is less than 1.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> Euler(substeps=2).step(Diagonal(-torch.ones(1)), 0.0, 1.0, torch.ones(1), None)
    tensor([0.2500])
    """

    substeps: int = 1

    def __post_init__(self) -> None:
        check_substeps(self.substeps)

    def advance(self, gap: Gap, s: float, part: float, x: Tensor) -> Tensor:
        return x + part * gap.drift(s, x)


@dataclass(frozen=True)
class Midpoint(FixedStepSolver):
    """``x1 = x0 + h f(x0 + h/2 f(x0))``: second order, two calls a step.

    Parameters
    ----------
    substeps : int, default 1
        Equal parts of each gap.

    Raises
    ------
    ValueError
        If `substeps` is less than 1.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> Midpoint().step(Diagonal(-torch.ones(1)), 0.0, 1.0, torch.ones(1), None)
    tensor([0.5000])
    """

    substeps: int = 1

    def __post_init__(self) -> None:
        check_substeps(self.substeps)

    def advance(self, gap: Gap, s: float, part: float, x: Tensor) -> Tensor:
        half = x + part / 2 * gap.drift(s, x)
        return x + part * gap.drift(s + part / 2, half)


@dataclass(frozen=True)
class Heun(FixedStepSolver):
    """``x1 = x0 + h/2 (f(x0) + f(x0 + h f(x0)))``: second order, two calls a step.

    Parameters
    ----------
    substeps : int, default 1
        Equal parts of each gap.

    Raises
    ------
    ValueError
        If `substeps` is less than 1.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> Heun().step(Diagonal(-torch.ones(1)), 0.0, 1.0, torch.ones(1), None)
    tensor([0.5000])
    """

    substeps: int = 1

    def __post_init__(self) -> None:
        check_substeps(self.substeps)

    def advance(self, gap: Gap, s: float, part: float, x: Tensor) -> Tensor:
        start = gap.drift(s, x)
        return x + part / 2 * (start + gap.drift(s + part, x + part * start))


@dataclass(frozen=True)
class RK4(FixedStepSolver):
    """The classical Runge-Kutta method: fourth order, four calls a step, stable up to ``h |Im A| = 2.8``.

    Parameters
    ----------
    substeps : int, default 1
        Equal parts of each gap.

    Raises
    ------
    ValueError
        If `substeps` is less than 1.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> RK4().step(Diagonal(-torch.ones(1)), 0.0, 1.0, torch.ones(1), None)
    tensor([0.3750])
    """

    substeps: int = 1

    def __post_init__(self) -> None:
        check_substeps(self.substeps)

    def advance(self, gap: Gap, s: float, part: float, x: Tensor) -> Tensor:
        k1 = gap.drift(s, x)
        k2 = gap.drift(s + part / 2, x + part / 2 * k1)
        k3 = gap.drift(s + part / 2, x + part / 2 * k2)
        k4 = gap.drift(s + part, x + part * k3)
        return x + part / 6 * (k1 + 2 * (k2 + k3) + k4)
