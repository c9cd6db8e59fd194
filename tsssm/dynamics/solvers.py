"""Solvers of our own with fixed steps: rules that advance any field, each row of the batch over its own gap.

A gap is cut into `substeps` equal parts, so a row with dt = 0 stays as it is. Between samples the input goes linearly from
`u_before` to `u`, or is held at `u` when no `u_before` is given.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tsssm.dynamics.fields import Field
from tsssm.dynamics.gap import Gap, check_stochastic, check_substeps, noise_shape
from tsssm.dynamics.library_solvers import Torchdiffeq, Torchsde
from tsssm.dynamics.rules import Discretization
from tsssm.errors import explain

__all__ = [
    "RK4",
    "Euler",
    "EulerMaruyama",
    "FixedStepSolver",
    "Heun",
    "Midpoint",
    "Torchdiffeq",
    "Torchsde",
    "euler_maruyama",
]


class FixedStepSolver(Discretization):
    """A one-step method applied to equal parts of the gap."""

    substeps: int

    @abstractmethod
    def advance(self, gap: Gap, s: float, part: float, x: Tensor) -> Tensor:
        """State (*, n) at the fraction ``s + part`` of the gap from the state x (*, n) at s."""

    def step(
        self,
        field: Field,
        t: Tensor | float,
        dt: Tensor | float,
        x: Tensor,
        u: Tensor | None,
        u_before: Tensor | None = None,
    ) -> Tensor:
        """State at t + dt; see `Discretization.step`."""
        gap = Gap(field, t, dt, x, u, u_before)
        for i in range(self.substeps):
            x = self.advance(gap, i / self.substeps, 1 / self.substeps, x)
        return x


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


@dataclass(frozen=True)
class EulerMaruyama(FixedStepSolver):
    """``x1 = x0 + h f(x0) + g(x0) dW`` for Ito equations, dW normal with variance h.

    Strong order 1/2, and 1 when the noise is additive; weak order 1. One call of drift and diffusion a step. The Brownian
    motions are real, also where the state is complex. Source: Kloeden and Platen (1992), section 10.2.

    Parameters
    ----------
    substeps : int, default 1
        Equal parts of each gap.
    generator : torch.Generator, optional
        Where the noise comes from; drawn on its device, so a CPU generator gives the same noise on every device.

    Raises
    ------
    ValueError
        If `substeps` is less than 1, or in `step` if a Stratonovich field has noise that depends on the state.
    TypeError
        In `step`, if the field has no diffusion.

    Examples
    --------
    >>> EulerMaruyama(substeps=4)
    EulerMaruyama(substeps=4)
    """

    substeps: int = 1
    generator: torch.Generator | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_substeps(self.substeps)

    def advance(self, gap: Gap, s: float, part: float, x: Tensor) -> Tensor:
        check_stochastic(gap.field, "EulerMaruyama")
        if gap.field.calculus == "stratonovich" and gap.field.noise != "additive":
            raise ValueError(
                explain(
                    must="EulerMaruyama needs an Ito field, or additive noise",
                    came=f"{type(gap.field).__name__} is Stratonovich with {gap.field.noise} noise",
                    do="Use Torchsde(method='midpoint'), or rewrite the drift for Ito",
                )
            )
        g = gap.diffusion(s, x)
        source = x.device if self.generator is None else self.generator.device
        noise = torch.randn(
            noise_shape(gap.field, g), generator=self.generator, dtype=x.dtype.to_real(), device=source
        ).to(x.device)
        return euler_maruyama(gap, s, part, x, g, part**0.5 * noise)


def euler_maruyama(gap: Gap, s: float, part: float, x: Tensor, g: Tensor, increment: Tensor) -> Tensor:
    """One step with a given Brownian increment.

    Parameters
    ----------
    gap : Gap
        The field over the gap.
    s, part : float
        Start and length of the step, as fractions of the gap.
    x : Tensor (*, n)
        State at s.
    g : Tensor (*, n) or (*, n, m)
        ``gap.diffusion(s, x)``.
    increment : Tensor (*, n) or (*, m)
        Increment over the step of a Brownian motion in s, of variance `part`.

    Returns
    -------
    Tensor (*, n)
        State at ``s + part``.
    """
    if gap.field.noise == "general":
        kick = (g @ increment.to(g.dtype).unsqueeze(-1)).squeeze(-1)
    else:
        kick = g * increment
    return x + part * gap.drift(s, x) + kick
