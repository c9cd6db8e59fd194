"""A field over one gap, in units of the gap, so that rows with their own times share one clock s in [0, 1]."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from tsssm.dynamics.fields import Field, StochasticField
from tsssm.errors import explain


class Signal(ABC):
    """An input known at every fraction of a gap: what rules take for `u` where it is neither held nor linear.

    Examples
    --------
    >>> import torch
    >>> class Square(Signal):
    ...     def value(self, s):
    ...         return torch.ones(1) * s**2
    ...     def tensors(self):
    ...         return ()
    >>> Square().value(0.5)
    tensor([0.2500])
    """

    @abstractmethod
    def value(self, s: float | Tensor) -> Tensor:
        """The input at the fraction s of the gap, (*, m)."""

    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """What it is made of, for gradients by the adjoint equation."""


class Gap:
    """A field seen over one gap, in units of the gap: ``dx/ds = dt f(t + s dt, x, u(s))`` for s in [0, 1].

    Parameters
    ----------
    field : Field
        What moves the state.
    t, dt : Tensor (*,) or float
        Start and length of the gap of each row.
    x : Tensor (*, n)
        A state; gives the precision of the times.
    u, u_before : Tensor (*, m), Signal or None
        Input at the end and at the start; None for `u_before` means held. A `Signal` as `u` is the input everywhere.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics.matrices import Diagonal
    >>> gap = Gap(Diagonal(-torch.ones(1)), 0.0, 0.5, torch.ones(1), torch.ones(1), torch.zeros(1))
    >>> gap.drift(0.5, torch.ones(1))
    tensor([-0.2500])
    """

    def __init__(
        self,
        field: Field,
        t: Tensor | float,
        dt: Tensor | float,
        x: Tensor,
        u: Tensor | Signal | None,
        u_before: Tensor | None,
    ) -> None:
        dtype = x.dtype.to_real()
        self.field, self.u, self.u_before = field, u, u_before
        self.t = torch.as_tensor(t, device=x.device)
        self.dt = torch.as_tensor(dt, dtype=dtype, device=x.device)

    def drift(self, s: float | Tensor, x: Tensor) -> Tensor:
        """``dt f`` at the fraction s of the gap, (*, n)."""
        return self.dt.unsqueeze(-1) * self.field(self.time(s), x, self.input(s))

    def diffusion(self, s: float | Tensor, x: Tensor) -> Tensor:
        """``sqrt(dt) g`` at the fraction s of the gap: the noise against a Brownian motion in s; shape as g."""
        g = self.field.diffusion(self.time(s), x, self.input(s))
        root = safe_root(self.dt)
        return root.reshape(root.shape + (1,) * (2 if self.field.noise == "general" else 1)) * g

    def diffusion_and_slope(self, s: float | Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """`diffusion` of a diagonal field, and its derivative by the state, both (*, n)."""
        g, slope = self.field.diffusion_and_slope(self.time(s), x, self.input(s))
        root = safe_root(self.dt).unsqueeze(-1)
        return root * g, root * slope

    def proportions(self, s: float | Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """``dt mu`` and ``sqrt(dt) sigma`` of a geometric field at the fraction s of the gap, both (*, n)."""
        t, u, dt = self.time(s), self.input(s), self.dt.unsqueeze(-1)
        return dt * self.field.rate(t, x, u), safe_root(dt) * self.field.volatility(t, x, u)

    def time(self, s: float | Tensor) -> Tensor:
        """``t + s dt``, (*,)."""
        return self.t + s * self.dt

    def input(self, s: float | Tensor) -> Tensor | None:
        """The input at the fraction s of the gap."""
        if isinstance(self.u, Signal):
            return self.u.value(s)
        return self.u if self.u_before is None else self.u_before + s * (self.u - self.u_before)


def safe_root(variance: Tensor) -> Tensor:
    """Square root with gradient 0 at 0, where the true one is infinite: rows without a gap must not turn it into NaN."""
    positive = variance > 0
    return torch.where(positive, variance, 1.0).sqrt() * positive


def noise_shape(field: StochasticField, g: Tensor, x: Tensor) -> torch.Size:
    """Shape of the Brownian motions that the diffusion `g` of states `x` multiplies: each row has its own."""
    if field.noise == "general":
        return torch.broadcast_shapes(g.shape[:-2], x.shape[:-1]) + g.shape[-1:]
    return torch.broadcast_shapes(g.shape, x.shape)


def check_substeps(substeps: int) -> None:
    """Raise unless `substeps` is at least 1."""
    if substeps < 1:
        raise ValueError(
            explain("`substeps` must be at least 1", f"substeps={substeps} came", "Use 1 for one step a gap")
        )


def check_stochastic(field: Field, rule: str) -> None:
    """Raise unless the field has a diffusion."""
    if not isinstance(field, StochasticField):
        raise TypeError(
            explain(
                must=f"{rule} needs a StochasticField",
                came=f"a {type(field).__name__} came",
                do="Add `diffusion`, `calculus` and `noise`, or use RK4 or Torchdiffeq",
            )
        )
