"""Rules that hand a field to torchdiffeq or torchsde.

Those libraries move a whole batch over one interval. Here the interval is s in [0, 1] for everybody, with the drift scaled by
dt and the diffusion by sqrt(dt), so every row keeps its own t and dt. Complex states go in as pairs of real numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torchsde
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

from tsssm.dynamics.fields import Field
from tsssm.dynamics.gap import Gap, check_stochastic, check_substeps, noise_shape
from tsssm.dynamics.rules import Discretization
from tsssm.dynamics.state_matrix import StateMatrix
from tsssm.errors import explain

_ADAPTIVE = ("adaptive_heun", "bosh3", "dopri5", "dopri8", "fehlberg2")
_FIXED = ("euler", "explicit_adams", "heun2", "heun3", "implicit_adams", "midpoint", "rk4")


@dataclass(frozen=True)
class Torchdiffeq(Discretization):
    """Any solver of torchdiffeq, adaptive or fixed, with gradients by backpropagation or by the adjoint equation.

    The step is shared by the batch and chosen so that the worst row meets the tolerances. Cost: several calls of the field a
    step, and Python overhead; prefer an exact linear rule or RK4 unless the field is stiff or the error must be controlled.

    Parameters
    ----------
    method : str, default "dopri5"
        Name in torchdiffeq.
    rtol, atol : float
        Relative and absolute tolerance over each gap; adaptive methods only.
    substeps : int, default 1
        Equal parts of each gap; fixed methods only.
    adjoint : bool, default False
        Constant memory, at the price of solving again backwards; the field must then be an ``nn.Module``.

    Raises
    ------
    ValueError
        If the method is unknown, a tolerance is not positive or `substeps` is less than 1.
    TypeError
        In `step`, if `adjoint` is set and the field is not an ``nn.Module``.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> Torchdiffeq().step(Diagonal(-torch.ones(1)), 0.0, torch.tensor([0.0, 1.0]), torch.ones(2, 1), None)
    tensor([[1.0000],
            [0.3679]])
    """

    method: str = "dopri5"
    rtol: float = 1e-5
    atol: float = 1e-6
    substeps: int = 1
    adjoint: bool = False

    def __post_init__(self) -> None:
        check_substeps(self.substeps)
        if self.method not in _ADAPTIVE + _FIXED:
            raise ValueError(
                explain(
                    must="`method` must be one of torchdiffeq's",
                    came=f"method={self.method!r} came",
                    do=f"Choose from {', '.join(_ADAPTIVE + _FIXED)}",
                )
            )
        if not (self.rtol > 0 and self.atol > 0):
            raise ValueError(
                explain("tolerances must be positive", f"rtol={self.rtol}, atol={self.atol} came", "Try 1e-5 and 1e-6")
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
        x, gap = _rows(field, t, dt, x, u, u_before)

        def rate(s: Tensor, state: Tensor) -> Tensor:
            return _to_real(gap.drift(s, _from_real(state, x)))

        ends = torch.tensor([0.0, 1.0], dtype=x.dtype.to_real(), device=x.device)
        if self.method in _FIXED:
            options = {"step_size": 1 / self.substeps}
        else:
            # Landing on s = 1 keeps the solver from asking for inputs beyond the gap.
            options = {"step_t": ends[1:], "norm": _worst_row}
        arguments = {"rtol": self.rtol, "atol": self.atol, "method": self.method, "options": options}
        if self.adjoint:
            path = odeint_adjoint(rate, _to_real(x), ends, adjoint_params=_parameters(gap), **arguments)
        else:
            path = odeint(rate, _to_real(x), ends, **arguments)
        return _still_where_no_gap(gap, x, _from_real(path[-1], x))


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

    Raises
    ------
    ValueError
        If the method is unknown or `substeps` is less than 1; in `step`, if the method does not fit the field.
    TypeError
        In `step`, if the field has no diffusion.

    Examples
    --------
    >>> Torchsde("midpoint", substeps=4)
    Torchsde(method='midpoint', substeps=4)
    """

    method: str | None = None
    substeps: int = 1
    generator: torch.Generator | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_substeps(self.substeps)
        if self.method is not None and self.method not in torchsde.settings.METHODS.all():
            raise ValueError(
                explain(
                    must="`method` must be one of torchsde's",
                    came=f"method={self.method!r} came",
                    do=f"Choose from {', '.join(torchsde.settings.METHODS.all())}",
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
        x, gap = _rows(field, t, dt, x, u, u_before)
        equation = _Equation(gap, x)
        start = equation.flat(x)
        method = self.method or equation.default_method
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
        path = torchsde.sdeint(equation, start, ends, bm=brownian, method=method, dt=part)
        return _still_where_no_gap(gap, x, equation.unflat(path[-1]))

    def _seed(self) -> int:
        device = "cpu" if self.generator is None else self.generator.device
        return int(torch.randint(2**31 - 1, (), generator=self.generator, device=device))


class _Equation:
    # What torchsde asks of an equation: f, g, and two names, on states of shape (rows, reals).
    def __init__(self, gap: Gap, x: Tensor) -> None:
        self.gap, self.like = gap, x
        noise = gap.field.noise
        # The imaginary part of a complex state shares its noise with the real part, which is no longer diagonal.
        self.noise_type = "general" if noise == "diagonal" and x.is_complex() else noise
        self.sde_type = gap.field.calculus
        with torch.no_grad():
            self.channels = noise_shape(gap.field, gap.diffusion(0.0, x))[-1]

    @property
    def default_method(self) -> str:
        if self.sde_type == "stratonovich":
            return "midpoint"
        return "euler" if self.noise_type == "general" else "srk"

    def flat(self, x: Tensor) -> Tensor:
        return _to_real(x).reshape(-1, self.like.shape[-1] * (2 if self.like.is_complex() else 1))

    def unflat(self, state: Tensor) -> Tensor:
        return _from_real(state.reshape(_to_real(self.like).shape), self.like)

    def f(self, s: Tensor, state: Tensor) -> Tensor:
        return self.flat(self.gap.drift(s, self.unflat(state)))

    def g(self, s: Tensor, state: Tensor) -> Tensor:
        g = self.gap.diffusion(s, self.unflat(state)).to(self.like.dtype)
        if self.noise_type == "diagonal":
            return self.flat(g)
        if self.gap.field.noise != "general":
            g = torch.diag_embed(g)
        # Channels first while the state axis turns into pairs, then last again.
        pairs = _to_real(g.transpose(-1, -2).contiguous()).reshape(-1, self.channels, state.shape[-1])
        return pairs.transpose(-1, -2)


def _rows(
    field: Field, t: Tensor | float, dt: Tensor | float, x: Tensor, u: Tensor | None, u_before: Tensor | None
) -> tuple[Tensor, Gap]:
    if isinstance(field, StateMatrix):
        x = x.to(torch.promote_types(field.dtype, x.dtype))
    gap = Gap(field, t, dt, x, u, u_before)
    batch = torch.broadcast_shapes(x.shape[:-1], gap.dt.shape)
    return x.expand(*batch, x.shape[-1]), gap


def _still_where_no_gap(gap: Gap, x: Tensor, result: Tensor) -> Tensor:
    # The libraries' interpolation rounds; the correction is a constant, so that the gradient by dt stays f(x).
    rounding = (x - result).detach()
    return result + torch.where(gap.dt.unsqueeze(-1) == 0, rounding, torch.zeros_like(rounding))


def _to_real(x: Tensor) -> Tensor:
    return torch.view_as_real(x.resolve_conj()) if x.is_complex() else x


def _from_real(state: Tensor, like: Tensor) -> Tensor:
    return torch.view_as_complex(state.contiguous()) if like.is_complex() else state


def _worst_row(error: Tensor) -> Tensor:
    # The default norm is the mean over the batch, which lets the error of one row grow with the number of the others.
    return error.abs().max()


def _parameters(gap: Gap) -> tuple[Tensor, ...]:
    if not isinstance(gap.field, nn.Module):
        raise TypeError(
            explain(
                must="`adjoint=True` needs a field that is an nn.Module",
                came=f"a {type(gap.field).__name__} came",
                do="Set adjoint=False, or wrap the field in a module that holds its parameters",
            )
        )
    tensors = (*gap.field.parameters(), gap.t, gap.dt, gap.u, gap.u_before)
    return tuple(tensor for tensor in tensors if tensor is not None and tensor.requires_grad)
