"""Steps that take the linear part of a drift exactly: stiff rates cost no stability, and linear systems no error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tsssm.dynamics import functions
from tsssm.dynamics.discretization import FirstOrderHold
from tsssm.dynamics.fields import Field, StochasticField
from tsssm.dynamics.gap import Gap, check_substeps, noise_shape, safe_root
from tsssm.dynamics.matrices import Diagonal
from tsssm.dynamics.noise import process_noise
from tsssm.dynamics.rules import Discretization
from tsssm.dynamics.state_matrix import StateMatrix
from tsssm.dynamics.stochastic import Draw, StochasticSolver, kicked
from tsssm.dynamics.stochastic_fields import LinearSDE, SemilinearField
from tsssm.errors import explain


@dataclass(frozen=True)
class ExponentialEulerMaruyama(StochasticSolver):
    """``x1 = e^(hA) x0 + h phi_1(hA) n(x0) + xi`` for a `SemilinearField`, in the sense of Ito.

    Additive noise enters by its exact covariance over the step, ``xi ~ N(0, integral of e^(sA) g g^T e^(sA)^T)``, so the
    stationary law has no error from A; other noise as ``xi = e^(hA) g D``. Stable at every gap if A is. Strong order 1 for
    additive noise, 1/2 else. One call of remainder and diffusion a step; where A is not diagonal, one matrix
    exponential for each distinct gap. Source: Lord and Tambue, 2013, IMA J. Numer. Anal. 33; specification of the shared zero-order hold.

    Parameters
    ----------
    substeps, generator
        See `EulerMaruyama`.

    Raises
    ------
    ValueError
        If `substeps` is less than 1, or in `step` if A is complex or a Stratonovich field has noise of the state.
    TypeError
        In `step`, if the field is not semilinear.

    Examples
    --------
    >>> ExponentialEulerMaruyama(substeps=4)
    ExponentialEulerMaruyama(substeps=4)
    """

    calculi: ClassVar[tuple[str, ...]] = ("ito",)
    noises: ClassVar[tuple[str, ...]] = ("additive", "diagonal", "general")
    substeps: int = 1
    generator: torch.Generator | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_substeps(self.substeps)

    def check(self, field: StochasticField) -> None:
        _check_kind(field, SemilinearField, "ExponentialEulerMaruyama")
        super().check(field)

    def move(self, gap: Gap, s: float, part: float, x: Tensor, draw: Draw) -> Tensor:
        field, h = gap.field, gap.dt * part
        t, u = gap.time(s), gap.input(s)
        transition, gain = field.A.exp_and_integral(h)
        rest = gain @ field.remainder(t, x, u)
        if field.noise == "additive" or isinstance(field, LinearSDE):
            return transition @ x + rest + gathered_noise(field, h, x, _size(field, t, x, u), draw)
        g = gap.diffusion(s, x)
        increment = part**0.5 * draw(noise_shape(field, g, x))
        return transition @ (x + kicked(field, g, increment)) + rest


@dataclass(frozen=True)
class ExactLinear(Discretization):
    """The law of a `LinearSDE` after a gap, without error at any gap: the step of a Kalman filter, drawn.

    ``x1 = e^(dt A) x0 + (first-order hold of u) + xi`` with the exact covariance of xi; the input is linear over the gap,
    or held where no `u_before` is given. Cost: O(n) a row where A is diagonal with a Brownian motion for each entry,
    else O(n^3). Source: Van Loan, 1978, IEEE Trans. Autom. Control 23.

    Parameters
    ----------
    generator : torch.Generator, optional
        Where the noise comes from.

    Raises
    ------
    TypeError
        In `step`, if the field is not a LinearSDE.
    ValueError
        In `step`, if A is complex.

    Examples
    --------
    >>> from tsssm.dynamics import Diagonal
    >>> quiet = LinearSDE(Diagonal(-torch.ones(1)), torch.zeros(1))
    >>> ExactLinear().step(quiet, 0.0, torch.ones(1), torch.ones(1, 1), None)
    tensor([[0.3679]])
    """

    generator: torch.Generator | None = field(default=None, repr=False)

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
        _check_kind(field, LinearSDE, "ExactLinear")
        gap = Gap(field, t, dt, x, u, u_before)
        source = x.device if self.generator is None else self.generator.device

        def draw(shape: tuple[int, ...]) -> Tensor:
            return torch.randn(shape, generator=self.generator, dtype=x.dtype, device=source).to(x.device)

        mean = FirstOrderHold().step(field.A, t, gap.dt, x, gap.input(1.0), gap.input(0.0))
        return mean + gathered_noise(field, gap.dt, x, field.G, draw)


def _size(field: SemilinearField, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
    # one for all rows, where it is, so that rows of equal gaps share a matrix exponential
    return field.G if isinstance(field, LinearSDE) else field.diffusion(t, x, u)


def gathered_noise(field: SemilinearField, h: Tensor, x: Tensor, g: Tensor, draw: Draw) -> Tensor:
    """What noise of the sizes g, constant over gaps h (*,), has added to x' = A x by their end: drawn, (*, n)."""
    A = field.A
    if isinstance(A, Diagonal) and field.noise != "general":
        variance = g**2 * functions.exp_and_integral(2 * A.eigenvalues, h.unsqueeze(-1))[1]
        return safe_root(variance) * draw(torch.broadcast_shapes(variance.shape, x.shape))
    intensity = g @ g.mT if field.noise == "general" else torch.diag_embed(g**2)
    return normal_of(process_noise(A, intensity, h.expand(x.shape[:-1])), draw)


def normal_of(covariance: Tensor, draw: Draw) -> Tensor:
    """Normal numbers (*, n) of covariances (*, n, n), which may be singular."""
    # over a short gap variances differ by powers of it, so that only correlations can be factored safely
    size = safe_root(covariance.diagonal(dim1=-2, dim2=-1))
    inverse = torch.where(size > 0, 1 / torch.where(size > 0, size, 1), 0)
    correlation = inverse.unsqueeze(-1) * covariance * inverse.unsqueeze(-2)
    rounding = 8 * torch.finfo(covariance.dtype).eps * covariance.shape[-1]
    eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    # an entry without noise has an empty row, which needs a 1 on its diagonal to be factored
    shift = torch.where(size > 0, rounding, 1.0).unsqueeze(-1) * eye
    root = torch.linalg.cholesky(correlation + shift)
    numbers = draw(size.shape)
    return size * (root @ numbers.unsqueeze(-1)).squeeze(-1)


def _check_kind(field: Field, kind: type[SemilinearField], rule: str) -> None:
    if not isinstance(field, kind):
        raise TypeError(
            explain(
                must=f"{rule} needs a {kind.__name__}",
                came=f"a {type(field).__name__} came",
                do="Write the linear part of the drift as `A`, or use EulerMaruyama",
            )
        )
    matrix: StateMatrix = field.A
    if matrix.dtype.is_complex:
        raise ValueError(
            explain(
                must=f"{rule} needs a real A",
                came=f"one of {matrix.dtype} came",
                do="Write pairs of conjugate modes as real blocks with Dense or Paired",
            )
        )
