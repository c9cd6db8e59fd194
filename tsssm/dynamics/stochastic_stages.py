"""Stochastic Runge-Kutta methods of several stages: for additive noise, and for Stratonovich equations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tsssm.dynamics.gap import Gap, check_substeps, noise_shape
from tsssm.dynamics.stochastic import Draw, StochasticSolver, kicked


@dataclass(frozen=True)
class SRA1(StochasticSolver):
    """Two stages with the area U under the Brownian path, for additive noise: strong order 3/2, weak order 2.

    With ``w = U / h``: ``y = x0 + 3/4 h f(t0, x0) + 3/2 w g(t1)`` and
    ``x1 = x0 + h/3 (f(t0, x0) + 2 f(t0 + 3/4 h, y)) + g(t1) (D - w) + g(t0) w``. Given D, U is normal with mean h D / 2 and
    variance h^3 / 12. Two calls of drift and diffusion a step. Source: Roessler, 2010, SIAM J. Numer. Anal. 48, table 6.3.

    Parameters
    ----------
    substeps, generator
        See `EulerMaruyama`.

    Raises
    ------
    ValueError
        If `substeps` is less than 1, or in `step` if the noise is not additive.
    TypeError
        In `step`, if the field has no diffusion.

    Examples
    --------
    >>> SRA1(substeps=4)
    SRA1(substeps=4)
    """

    calculi: ClassVar[tuple[str, ...]] = ("ito", "stratonovich")
    noises: ClassVar[tuple[str, ...]] = ("additive",)
    substeps: int = 1
    generator: torch.Generator | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_substeps(self.substeps)

    def move(self, gap: Gap, s: float, part: float, x: Tensor, draw: Draw) -> Tensor:
        start, end = gap.diffusion(s, x), gap.diffusion(s + part, x)
        shape = noise_shape(gap.field, start, x)
        increment = part**0.5 * draw(shape)
        mean = increment / 2 + (part / 12) ** 0.5 * draw(shape)
        rate = gap.drift(s, x)
        y = x + part * 3 / 4 * rate + 3 / 2 * end * mean
        later = gap.drift(s + part * 3 / 4, y)
        return x + part / 3 * (rate + 2 * later) + end * (increment - mean) + start * mean


@dataclass(frozen=True)
class StochasticHeun(StochasticSolver):
    """``p = x0 + h f(x0) + g(x0) D; x1 = x0 + h/2 (f(x0) + f(p)) + 1/2 (g(x0) + g(p)) D`` for Stratonovich equations.

    Strong order 1 for diagonal and additive noise, 1/2 for general noise; order 2 without noise. Two calls of drift and
    diffusion a step. Source: Ruemelin, 1982, SIAM J. Numer. Anal. 19.

    Parameters
    ----------
    substeps, generator
        See `EulerMaruyama`.

    Raises
    ------
    ValueError
        If `substeps` is less than 1, or in `step` if an Ito field has noise that depends on the state.
    TypeError
        In `step`, if the field has no diffusion.

    Examples
    --------
    >>> StochasticHeun(substeps=4)
    StochasticHeun(substeps=4)
    """

    calculi: ClassVar[tuple[str, ...]] = ("stratonovich",)
    noises: ClassVar[tuple[str, ...]] = ("additive", "diagonal", "general")
    substeps: int = 1
    generator: torch.Generator | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_substeps(self.substeps)

    def move(self, gap: Gap, s: float, part: float, x: Tensor, draw: Draw) -> Tensor:
        g, rate = gap.diffusion(s, x), gap.drift(s, x)
        increment = part**0.5 * draw(noise_shape(gap.field, g, x))
        p = x + part * rate + kicked(gap.field, g, increment)
        mean = (g + gap.diffusion(s + part, p)) / 2
        return x + part / 2 * (rate + gap.drift(s + part, p)) + kicked(gap.field, mean, increment)


@dataclass(frozen=True)
class StochasticMidpoint(StochasticSolver):
    """``p = x0 + h/2 f(x0) + g(x0) D/2; x1 = x0 + h f(p) + g(p) D``, p at t0 + h/2, for Stratonovich equations.

    Orders and cost of `StochasticHeun`. Source: Kloeden and Platen, 1992, section 11.1.

    Parameters
    ----------
    substeps, generator
        See `EulerMaruyama`.

    Raises
    ------
    ValueError
        If `substeps` is less than 1, or in `step` if an Ito field has noise that depends on the state.
    TypeError
        In `step`, if the field has no diffusion.

    Examples
    --------
    >>> StochasticMidpoint(substeps=4)
    StochasticMidpoint(substeps=4)
    """

    calculi: ClassVar[tuple[str, ...]] = ("stratonovich",)
    noises: ClassVar[tuple[str, ...]] = ("additive", "diagonal", "general")
    substeps: int = 1
    generator: torch.Generator | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_substeps(self.substeps)

    def move(self, gap: Gap, s: float, part: float, x: Tensor, draw: Draw) -> Tensor:
        g = gap.diffusion(s, x)
        increment = part**0.5 * draw(noise_shape(gap.field, g, x))
        p = x + part / 2 * gap.drift(s, x) + kicked(gap.field, g, increment) / 2
        middle = s + part / 2
        return x + part * gap.drift(middle, p) + kicked(gap.field, gap.diffusion(middle, p), increment)
