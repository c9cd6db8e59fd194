"""Diagonal plus low rank matrices of real systems, kept as one half of their conjugate pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tsssm.dynamics.dense import Dense
from tsssm.dynamics.dplr import DPLR, scaled_by_core, whole_batch
from tsssm.dynamics.state_matrix import Scalar, StateMatrix, as_factor


@dataclass(frozen=True, eq=False)
class Paired(StateMatrix):
    """The real matrix of ``x' = diag(eigenvalues) x - 2 P Re(Q^H x)``, on the states (Re x_0, Im x_0, Re x_1, ...).

    The whole system is the `DPLR` of the eigenvalues, P and Q stacked on their conjugates: half of its states say it all,
    so that products and resolvents cost half as much. With P = Q and eigenvalues in the left half plane it is stable,
    and no step of the bilinear rule makes a state longer: A + A^T is negative.

    Parameters
    ----------
    eigenvalues : Tensor (*, m), complex
        One of each conjugate pair, in 1/time.
    P, Q : Tensor (*, m, r), complex
        Low-rank factors; their product is in 1/time.

    Raises
    ------
    TypeError, ValueError
        If the tensors are not floating or their shapes do not fit.

    Examples
    --------
    >>> import torch
    >>> A = Paired(torch.tensor([-0.5 + 2j]), torch.ones(1, 1) + 0j, torch.ones(1, 1) + 0j)
    >>> A.dense()
    tensor([[-2.5000, -2.0000],
            [ 2.0000, -0.5000]])
    """

    eigenvalues: Tensor
    P: Tensor
    Q: Tensor

    def __post_init__(self) -> None:
        # its own checks are those of the half
        DPLR(self.eigenvalues, self.P, self.Q)

    @property
    def half(self) -> DPLR:
        """One mode of each pair, as `dynamics.cauchy` takes it."""
        return DPLR(self.eigenvalues, self.P, self.Q)

    @property
    def shape(self) -> torch.Size:
        batch = torch.broadcast_shapes(self.eigenvalues.shape[:-1], self.P.shape[:-2], self.Q.shape[:-2])
        return batch + (2 * self.eigenvalues.shape[-1],) * 2

    @property
    def dtype(self) -> torch.dtype:
        return self.eigenvalues.dtype.to_real()

    @property
    def device(self) -> torch.device:
        return self.eigenvalues.device

    def __matmul__(self, x: Tensor) -> Tensor:
        # the sum over modes is a product of real numbers: Re(Q^H x) = Re Q . Re x + Im Q . Im x
        seen = (as_reals(self.Q.mT) * x.unsqueeze(-2)).sum(-1)
        push = (self.P * (2 * seen).unsqueeze(-2)).sum(-1)
        return as_reals(self.eigenvalues * as_complex(x) - push)

    def __sub__(self, other: StateMatrix) -> Dense:
        return Dense(self.dense() - other.dense())

    def affine(self, scale: Scalar, shift: Scalar = 0.0) -> Paired:
        scale, shift = as_factor(scale, self), as_factor(shift, self)
        return Paired(scale[..., None] * self.eigenvalues + shift[..., None], scale[..., None, None] * self.P, self.Q)

    def resolvent(self, h: Scalar) -> Paired:
        return self.rational(h, 1.0)[1]

    def rational(self, h: Scalar, alpha: float) -> tuple[Paired, Paired]:
        # DPLR.rational, but the core of the whole system is that of the half and its conjugate
        h = as_factor(h, self)
        z = h[..., None] * self.eigenvalues
        inverse = _reciprocal(1 - alpha * z)
        left = inverse.unsqueeze(-1) * self.P
        right = inverse.conj().unsqueeze(-1) * self.Q
        left = scaled_by_core(left, h[..., None, None], alpha, 2 * (right.mH @ self.P).real)
        return Paired((1 + (1 - alpha) * z) * inverse, left, right), Paired(inverse, alpha * left, right)

    def phis(self, order: int, h: Scalar) -> tuple[Dense, ...]:
        return Dense(self.dense()).phis(order, h)

    def dense(self) -> Tensor:
        a, b = self.eigenvalues.real, self.eigenvalues.imag
        turn = torch.stack([torch.stack([a, -b], -1), torch.stack([b, a], -1)], -2)
        modes = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
        blocks = (modes[:, None, :, None] * turn.unsqueeze(-2)).flatten(-4, -3).flatten(-2)
        return blocks - 2 * as_reals(self.P.mT).mT @ as_reals(self.Q.mT)

    def adjoint(self) -> Paired:
        return Paired(self.eigenvalues.conj(), self.Q, self.P)

    def entries(self) -> tuple[Tensor, ...]:
        return whole_batch(self, self.eigenvalues, self.P, self.Q)


def as_complex(x: Tensor) -> Tensor:
    """Numbers (Re x_0, Im x_0, ...) (*, 2m) as complex ones (*, m)."""
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())


def as_reals(z: Tensor) -> Tensor:
    """Complex numbers (*, m) as (Re z_0, Im z_0, ...) (*, 2m)."""
    return torch.view_as_real(z.resolve_conj()).flatten(-2)


def _reciprocal(z: Tensor) -> Tensor:
    # by real arithmetic, for complex division is scalar code; |z| >= 1 here, so no square is too small
    return z.conj() / (z.real.square() + z.imag.square())
