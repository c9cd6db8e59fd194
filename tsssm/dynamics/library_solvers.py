"""Rules that hand a field to torchdiffeq or torchsde.

Those libraries move a whole batch over one interval. Here the interval is s in [0, 1] for everybody, with the drift scaled by
dt and the diffusion by sqrt(dt), so every row keeps its own t and dt. Complex states go in as pairs of real numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

from tsssm.dynamics.fields import Field
from tsssm.dynamics.gap import Gap, Signal, check_substeps
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
    max_steps : int, default 10000
        Steps over one gap after which an adaptive method gives up, for a stiff field would keep it busy for ever.

    Raises
    ------
    ValueError
        If the method is unknown, a tolerance is not positive, or `substeps` or `max_steps` is less than 1; in `step`, if
        an adaptive method cannot cross the gap.
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
    max_steps: int = 10_000

    def __post_init__(self) -> None:
        check_substeps(self.substeps)
        if self.max_steps < 1:
            raise ValueError(explain("`max_steps` must be at least 1", f"max_steps={self.max_steps} came", "Try 10000"))
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
        x, gap = rows(field, t, dt, x, u, u_before)

        def rate(s: Tensor, state: Tensor) -> Tensor:
            return to_real(gap.drift(s, from_real(state, x)))

        ends = torch.tensor([0.0, 1.0], dtype=x.dtype.to_real(), device=x.device)
        if self.method in _FIXED:
            options = {"step_size": 1 / self.substeps}
        else:
            # Landing on s = 1 keeps the solver from asking for inputs beyond the gap.
            options = {"step_t": ends[1:], "norm": _worst_row, "max_num_steps": self.max_steps}
        arguments = {"rtol": self.rtol, "atol": self.atol, "method": self.method, "options": options}
        try:
            if self.adjoint:
                path = odeint_adjoint(rate, to_real(x), ends, adjoint_params=parameters_of(gap), **arguments)
            else:
                path = odeint(rate, to_real(x), ends, **arguments)
        except AssertionError as failure:
            # torchdiffeq's only word on steps that underflow, run out or leave the numbers
            raise ValueError(
                explain(
                    must=f"{self.method} must be able to cross each gap",
                    came=f"it gave up with '{failure}' at gaps of up to {float(gap.dt.detach().max()):.3g}",
                    do="The field is stiff or grows without bound: check its rates, loosen rtol and atol, or raise max_steps",
                )
            ) from failure
        return still_where_no_gap(gap, x, from_real(path[-1], x))


def rows(
    field: Field, t: Tensor | float, dt: Tensor | float, x: Tensor, u: Tensor | Signal | None, u_before: Tensor | None
) -> tuple[Tensor, Gap]:
    """The state with the batch shape of the gaps as well, and the gap."""
    if isinstance(field, StateMatrix):
        x = x.to(torch.promote_types(field.dtype, x.dtype))
    gap = Gap(field, t, dt, x, u, u_before)
    batch = torch.broadcast_shapes(x.shape[:-1], gap.dt.shape)
    return x.expand(*batch, x.shape[-1]), gap


def still_where_no_gap(gap: Gap, x: Tensor, result: Tensor) -> Tensor:
    """The result, or exactly x where the gap is 0."""
    # the libraries' interpolation rounds; the correction is a constant, so that the gradient by dt stays f(x).
    rounding = (x - result).detach()
    return result + torch.where(gap.dt.unsqueeze(-1) == 0, rounding, torch.zeros_like(rounding))


def to_real(x: Tensor) -> Tensor:
    """Complex states as pairs of real numbers."""
    return torch.view_as_real(x.resolve_conj()) if x.is_complex() else x


def from_real(state: Tensor, like: Tensor) -> Tensor:
    """The inverse of `to_real`, for states like `like`."""
    return torch.view_as_complex(state.contiguous()) if like.is_complex() else state


def _worst_row(error: Tensor) -> Tensor:
    # The default norm is the mean over the batch, which lets the error of one row grow with the number of the others.
    return error.abs().max()


def parameters_of(gap: Gap) -> tuple[Tensor, ...]:
    """All tensors that want a gradient by the adjoint equation."""
    if not isinstance(gap.field, nn.Module):
        raise TypeError(
            explain(
                must="`adjoint=True` needs a field that is an nn.Module",
                came=f"a {type(gap.field).__name__} came",
                do="Set adjoint=False, or wrap the field in a module that holds its parameters",
            )
        )
    inputs = gap.u.tensors() if isinstance(gap.u, Signal) else (gap.u, gap.u_before)
    tensors = (*gap.field.parameters(), gap.t, gap.dt, *inputs)
    return tuple(tensor for tensor in tensors if tensor is not None and tensor.requires_grad)
