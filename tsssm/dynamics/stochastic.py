"""Solvers of our own for noise, with fixed steps: each row of the batch crosses its own gap and ends exactly at its end.

All formulas are in units of the gap: over a step of the fraction `part`, f is ``dt f``, g is ``sqrt(dt) g`` and the
increment D of the Brownian motion has variance `part`. Source of the table of orders: Kloeden and Platen, 1992; Roessler, 2010.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tsssm.dynamics.fields import StochasticField
from tsssm.dynamics.fixed_steps import FixedStepSolver
from tsssm.dynamics.gap import Gap, check_stochastic, check_substeps, noise_shape
from tsssm.dynamics.stochastic_fields import GeometricField
from tsssm.errors import explain

Draw = Callable[[Sequence[int]], Tensor]
"""Standard normal numbers of a shape: one call for D, a second for the area under the path where a solver needs it."""


class StochasticSolver(FixedStepSolver):
    """A one-step method that draws its noise."""

    calculi: ClassVar[tuple[str, ...]]
    noises: ClassVar[tuple[str, ...]]
    generator: torch.Generator | None

    @abstractmethod
    def move(self, gap: Gap, s: float, part: float, x: Tensor, draw: Draw) -> Tensor:
        """State (*, n) at ``s + part`` from x at s, with the normal numbers of `draw`."""

    def advance(self, gap: Gap, s: float, part: float, x: Tensor) -> Tensor:
        self.check(gap.field)
        source = x.device if self.generator is None else self.generator.device

        def draw(shape: Sequence[int]) -> Tensor:
            numbers = torch.randn(shape, generator=self.generator, dtype=x.dtype.to_real(), device=source)
            return numbers.to(x.device)

        return self.move(gap, s, part, x, draw)

    def check(self, field: StochasticField) -> None:
        """Raise unless the method fits the noise and the calculus of the field."""
        name = type(self).__name__
        check_stochastic(field, name)
        if field.noise not in self.noises:
            raise ValueError(
                explain(
                    must=f"{name} needs {' or '.join(self.noises)} noise",
                    came=f"{type(field).__name__} has {field.noise} noise",
                    do="Use EulerMaruyama, or StochasticHeun after as_stratonovich",
                )
            )
        # the calculi differ by a drift that additive noise does not have
        if field.calculus not in self.calculi and field.noise != "additive":
            wanted = {"ito": "an Ito", "stratonovich": "a Stratonovich"}[self.calculi[0]]
            raise ValueError(
                explain(
                    must=f"{name} needs {wanted} field, or additive noise",
                    came=f"{type(field).__name__} is {field.calculus.capitalize()} with {field.noise} noise",
                    do=f"Wrap it in as_{self.calculi[0]}, which corrects the drift",
                )
            )


def kicked(field: StochasticField, g: Tensor, increment: Tensor) -> Tensor:
    """``g D``, (*, n)."""
    if field.noise == "general":
        return (g @ increment.to(g.dtype).unsqueeze(-1)).squeeze(-1)
    return g * increment


@dataclass(frozen=True)
class EulerMaruyama(StochasticSolver):
    """``x1 = x0 + h f(x0) + g(x0) D`` for Ito equations.

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

    Notes
    -----
    On ``dx = a x dt + s x dW`` the mean square decays iff ``(1 + a h)^2 + s^2 h < 1``; on ``dx = -a x dt + s dW`` the
    variance settles at ``s^2 / (2 a - a^2 h)``, 11% too large at a h = 0.2.

    Examples
    --------
    >>> EulerMaruyama(substeps=4)
    EulerMaruyama(substeps=4)
    """

    calculi: ClassVar[tuple[str, ...]] = ("ito",)
    noises: ClassVar[tuple[str, ...]] = ("additive", "diagonal", "general")
    substeps: int = 1
    generator: torch.Generator | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_substeps(self.substeps)

    def move(self, gap: Gap, s: float, part: float, x: Tensor, draw: Draw) -> Tensor:
        g = gap.diffusion(s, x)
        return euler_maruyama(gap, s, part, x, g, part**0.5 * draw(noise_shape(gap.field, g, x)))


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
    return x + part * gap.drift(s, x) + kicked(gap.field, g, increment)


@dataclass(frozen=True)
class Milstein(StochasticSolver):
    """``x1 = x0 + h f + g D + 1/2 g g' (D^2 - h)`` for Ito, and without the last h for Stratonovich equations.

    Strong order 1 for diagonal noise, against 1/2 of `EulerMaruyama`; weak order 1. One call of the drift a step, and of
    the diffusion with its derivative. Entry i of g must depend on entry i of the state only: where a network mixes them
    the order falls to 1/2. Source: Kloeden and Platen, 1992, section 10.3.

    Parameters
    ----------
    substeps, generator
        See `EulerMaruyama`.

    Raises
    ------
    ValueError
        If `substeps` is less than 1, or in `step` if the noise is general.
    TypeError
        In `step`, if the field has no diffusion.

    Examples
    --------
    >>> Milstein(substeps=4)
    Milstein(substeps=4)
    """

    calculi: ClassVar[tuple[str, ...]] = ("ito", "stratonovich")
    noises: ClassVar[tuple[str, ...]] = ("additive", "diagonal")
    substeps: int = 1
    generator: torch.Generator | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_substeps(self.substeps)

    def move(self, gap: Gap, s: float, part: float, x: Tensor, draw: Draw) -> Tensor:
        g, slope = gap.diffusion_and_slope(s, x)
        increment = part**0.5 * draw(noise_shape(gap.field, g, x))
        square = increment**2 - part if gap.field.calculus == "ito" else increment**2
        return x + part * gap.drift(s, x) + g * increment + g * slope * square / 2


@dataclass(frozen=True)
class LogEuler(StochasticSolver):
    """Euler-Maruyama of log |x|: ``x1 = x0 exp((mu - sigma^2 / 2) h + sigma D)`` for a `GeometricField`.

    It keeps the sign of the state at every step, and 0; exact where mu and sigma are constant. Strong order 1 where
    sigma depends on time only, else 1/2. One call of rate and volatility a step. In the sense of Stratonovich there is no
    ``sigma^2 / 2``. Source: Ito's formula; Oh, Lim and Kim, 2024, arXiv 2402.14989, the geometric SDE.

    Parameters
    ----------
    substeps, generator
        See `EulerMaruyama`.

    Raises
    ------
    ValueError
        If `substeps` is less than 1.
    TypeError
        In `step`, if the field is not geometric.

    Examples
    --------
    >>> LogEuler(substeps=4)
    LogEuler(substeps=4)
    """

    calculi: ClassVar[tuple[str, ...]] = ("ito", "stratonovich")
    noises: ClassVar[tuple[str, ...]] = ("diagonal",)
    substeps: int = 1
    generator: torch.Generator | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_substeps(self.substeps)

    def check(self, field: StochasticField) -> None:
        if not isinstance(field, GeometricField):
            raise TypeError(
                explain(
                    must="LogEuler needs a GeometricField",
                    came=f"a {type(field).__name__} came",
                    do="Give the field a `rate` and a `volatility`, or use Milstein",
                )
            )

    def move(self, gap: Gap, s: float, part: float, x: Tensor, draw: Draw) -> Tensor:
        mu, sigma = gap.proportions(s, x)
        increment = part**0.5 * draw(noise_shape(gap.field, sigma, x))
        if gap.field.calculus == "ito":
            mu = mu - sigma**2 / 2
        return x * torch.exp(part * mu + sigma * increment)
