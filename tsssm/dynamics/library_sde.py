"""A rule that hands a field with noise to torchsde, each row of the batch over its own gap."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import torch
import torchsde
from torch import Tensor, nn

from tsssm.dynamics.fields import Field
from tsssm.dynamics.gap import Gap, check_stochastic, check_substeps, noise_shape
from tsssm.dynamics.library_solvers import from_real, parameters_of, rows, still_where_no_gap, to_real
from tsssm.dynamics.rules import Discretization
from tsssm.errors import explain

_ANY = ("additive", "diagonal", "general")
_STRATONOVICH = dict.fromkeys(
    ("euler_heun", "heun", "log_ode", "midpoint", "reversible_heun"), (("stratonovich",), _ANY)
)
_FITS = {
    "euler": (("ito",), _ANY),
    "milstein": (("ito", "stratonovich"), _ANY[:2]),
    "srk": (("ito",), _ANY[:2]),
    **_STRATONOVICH,
}


@dataclass(frozen=True)
class Torchsde(Discretization):
    """Any solver of torchsde, for Ito and Stratonovich fields.

    Each gap is cut into equal parts that end exactly at the sample, so there is none of the interpolation between steps
    that makes the variance too small at irregular times. A complex state with diagonal noise counts as general noise.

    Parameters
    ----------
    method : str, optional
        Name in torchsde, which must fit the calculus and the noise of the field; None for torchsde's own choice: srk for
        Ito with additive or diagonal noise, euler for Ito with general noise, midpoint for Stratonovich.
    substeps : int, default 1
        Equal parts of each gap.
    generator : torch.Generator, optional
        Seeds the Brownian motion of each call.
    adjoint : bool, default False
        Constant memory: gradients by a second equation solved backwards along the same Brownian motion, whose error is that
        of the steps (of rounding for reversible_heun). The field must then be an ``nn.Module``.

    Raises
    ------
    ValueError
        If the method is unknown or `substeps` is less than 1; in `step`, if the method does not fit the field.
    TypeError
        In `step`, if the field has no diffusion, or with `adjoint` is not an ``nn.Module``.

    Warns
    -----
    RuntimeWarning
        Of reversible_heun: with a decay of rate a its parasitic part grows like ``e^(a T)`` at every step size, to 1e39 at a = 5,
        T = 20.

    Examples
    --------
    >>> Torchsde("midpoint", substeps=4)
    Torchsde(method='midpoint', substeps=4, adjoint=False)
    """

    method: str | None = None
    substeps: int = 1
    generator: torch.Generator | None = field(default=None, repr=False)
    adjoint: bool = False

    def __post_init__(self) -> None:
        check_substeps(self.substeps)
        if self.method == "reversible_heun":
            warnings.warn(
                explain(
                    must="reversible_heun needs a field that hardly decays",
                    came="its parasitic part grows like e^(a T) over a time T where the field decays at a rate a",
                    do="Use midpoint or heun over long times",
                ),
                RuntimeWarning,
                stacklevel=3,
            )
        if self.method is not None and self.method not in _FITS:
            raise ValueError(
                explain(
                    must="`method` must be one of torchsde's",
                    came=f"method={self.method!r} came",
                    do=f"Choose from {', '.join(_FITS)}",
                )
            )

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
        check_stochastic(field, "Torchsde")
        x, gap = rows(field, t, dt, x, u, u_before)
        equation = _Equation(gap, x)
        start = equation.flat(x)
        method = self.method or equation.default_method
        calculi, noises = _FITS[method]
        if equation.sde_type not in calculi or equation.noise_type not in noises:
            raise ValueError(
                explain(
                    must=f"{method} of torchsde needs {' or '.join(calculi)} calculus and {' or '.join(noises)} noise",
                    came=f"{type(field).__name__} is {equation.sde_type} with {equation.noise_type} noise",
                    do="Wrap it in as_ito or as_stratonovich, or leave `method` to the field",
                )
            )
        # srk and log_ode need areas of the Brownian path as well as its increments.
        areas = {"srk": "space-time", "log_ode": "foster"}.get(method, "none")
        brownian = torchsde.BrownianInterval(
            0.0,
            1.0,
            size=(len(start), equation.channels),
            dtype=start.dtype,
            device=start.device,
            entropy=self._seed(),
            levy_area_approximation=areas,
        )
        # Steps longer by 1e-12: k sums of 1/k can fall short of 1 and would leave a last step of 1e-16.
        part = (1 + 1e-12) / self.substeps
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        arguments = {"bm": brownian, "method": method, "dt": part}
        if self.adjoint:
            # a reversible forward pass needs the backward one that goes with it
            back = "adjoint_reversible_heun" if method == "reversible_heun" else None
            wanted = parameters_of(gap)
            path = torchsde.sdeint_adjoint(
                equation, start, ends, adjoint_params=wanted, adjoint_method=back, **arguments
            )
        else:
            path = torchsde.sdeint(equation, start, ends, **arguments)
        return still_where_no_gap(gap, x, equation.unflat(path[-1]))

    def _seed(self) -> int:
        device = "cpu" if self.generator is None else self.generator.device
        return int(torch.randint(2**31 - 1, (), generator=self.generator, device=device))


class _Equation(nn.Module):
    # What torchsde asks of an equation: f, g, and two names, on states of shape (rows, reals).
    def __init__(self, gap: Gap, x: Tensor) -> None:
        super().__init__()
        self.gap, self.like = gap, x
        noise = gap.field.noise
        # The imaginary part of a complex state shares its noise with the real part, which is no longer diagonal.
        self.noise_type = "general" if noise == "diagonal" and x.is_complex() else noise
        self.sde_type = gap.field.calculus
        with torch.no_grad():
            self.channels = noise_shape(gap.field, gap.diffusion(0.0, x), x)[-1]

    @property
    def default_method(self) -> str:
        if self.sde_type == "stratonovich":
            return "midpoint"
        return "euler" if self.noise_type == "general" else "srk"

    def flat(self, x: Tensor) -> Tensor:
        return to_real(x).reshape(-1, self.like.shape[-1] * (2 if self.like.is_complex() else 1))

    def unflat(self, state: Tensor) -> Tensor:
        return from_real(state.reshape(to_real(self.like).shape), self.like)

    def f(self, s: Tensor, state: Tensor) -> Tensor:
        return self.flat(self.gap.drift(s, self.unflat(state)))

    def g(self, s: Tensor, state: Tensor) -> Tensor:
        g = self.gap.diffusion(s, self.unflat(state)).to(self.like.dtype)
        if self.noise_type == "diagonal":
            return self.flat(g)
        if self.gap.field.noise != "general":
            g = torch.diag_embed(g)
        # Channels first while the state axis turns into pairs, then last again.
        pairs = to_real(g.transpose(-1, -2).contiguous()).reshape(-1, self.channels, state.shape[-1])
        return pairs.transpose(-1, -2)
