"""Diagonal plus low rank state matrices (S4): rational rules stay in the structure."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tsssm.dynamics.dense import Dense
from tsssm.dynamics.state_matrix import Scalar, StateMatrix, as_factor, check_entries
from tsssm.errors import explain


@dataclass(frozen=True, eq=False)
class DPLR(StateMatrix):
    """``A = diag(eigenvalues) - P Q^H`` with few columns in P and Q.

    Products and resolvents cost O(n r^2) by the Woodbury identity (S4, arXiv 2111.00396, appendix C.2). The exponential
    has no such form: it goes through the dense matrix, O(n^3) for each distinct gap.

    Parameters
    ----------
    eigenvalues : Tensor (*, n)
        Diagonal part, in 1/time.
    P, Q : Tensor (*, n, r)
        Low-rank factors; their product is in 1/time. P = Q with eigenvalues in the left half plane is stable.

    Raises
    ------
    TypeError, ValueError
        If the tensors are not floating or their shapes do not fit.

    Examples
    --------
    >>> import torch
    >>> A = DPLR(-torch.ones(2), torch.ones(2, 1), torch.ones(2, 1))
    >>> A @ torch.ones(2)
    tensor([-3., -3.])
    """

    eigenvalues: Tensor
    P: Tensor
    Q: Tensor

    def __post_init__(self) -> None:
        check_entries("eigenvalues", self.eigenvalues, 1)
        check_entries("P", self.P, 2)
        check_entries("Q", self.Q, 2)
        n, rank = self.eigenvalues.shape[-1], self.P.shape[-1]
        if self.P.shape[-2:] != (n, rank) or self.Q.shape[-2:] != (n, rank):
            raise ValueError(
                explain(
                    must=f"`P` and `Q` must have shape (*, {n}, r), as `eigenvalues` has {n} entries",
                    came=f"their shapes are {tuple(self.P.shape)} and {tuple(self.Q.shape)}",
                    do="Keep one row for each state; a vector needs a last axis of size 1",
                )
            )

    @property
    def shape(self) -> torch.Size:
        batch = torch.broadcast_shapes(self.eigenvalues.shape[:-1], self.P.shape[:-2], self.Q.shape[:-2])
        return batch + self.eigenvalues.shape[-1:] * 2

    @property
    def dtype(self) -> torch.dtype:
        return torch.promote_types(self.eigenvalues.dtype, torch.promote_types(self.P.dtype, self.Q.dtype))

    @property
    def device(self) -> torch.device:
        return self.eigenvalues.device

    def __matmul__(self, x: Tensor) -> Tensor:
        dtype = torch.promote_types(self.dtype, x.dtype)
        seen = self.Q.mH.to(dtype) @ x.to(dtype).unsqueeze(-1)
        return self.eigenvalues * x - (self.P.to(dtype) @ seen).squeeze(-1)

    def __sub__(self, other: StateMatrix) -> Dense:
        return Dense(self.dense() - other.dense())

    def affine(self, scale: Scalar, shift: Scalar = 0.0) -> DPLR:
        scale, shift = as_factor(scale, self), as_factor(shift, self)
        return DPLR(scale[..., None] * self.eigenvalues + shift[..., None], scale[..., None, None] * self.P, self.Q)

    def resolvent(self, h: Scalar) -> DPLR:
        return self.rational(h, 1.0)[1]

    def rational(self, h: Scalar, alpha: float) -> tuple[DPLR, DPLR]:
        # With D = 1 / (1 - a h L) and K = (I + a h Q^H D P)^-1 the inverse is D - a h (D P K)(Q^H D), and the transition
        # I + h (I - a h A)^-1 A is (1 + (1 - a) h L) D - h (D P K)(Q^H D): the rank does not grow, and a = 0 needs no limit.
        h = as_factor(h, self)
        z = h[..., None] * self.eigenvalues
        inverse = 1 / (1 - alpha * z)
        left = (inverse.unsqueeze(-1) * self.P).to(self.dtype)
        right = (inverse.conj().unsqueeze(-1) * self.Q).to(self.dtype)
        left = scaled_by_core(left, h[..., None, None], alpha, right.mH @ self.P.to(self.dtype))
        return DPLR((1 + (1 - alpha) * z) * inverse, left, right), DPLR(inverse, alpha * left, right)

    def phis(self, order: int, h: Scalar) -> tuple[Dense, ...]:
        return Dense(self.dense()).phis(order, h)

    def dense(self) -> Tensor:
        return torch.diag_embed(self.eigenvalues) - self.P.to(self.dtype) @ self.Q.mH.to(self.dtype)

    def adjoint(self) -> DPLR:
        return DPLR(self.eigenvalues.conj(), self.Q, self.P)

    def entries(self) -> tuple[Tensor, ...]:
        return whole_batch(self, self.eigenvalues, self.P, self.Q)


def scaled_by_core(left: Tensor, h: Tensor, alpha: float, seen: Tensor) -> Tensor:
    """``h left (I + alpha h seen)^-1``, the left factor of Woodbury's identity; `seen` (*, r, r) is Q^H D P."""
    core = torch.eye(seen.shape[-1], dtype=seen.dtype, device=seen.device) + alpha * h * seen
    return h * (left / core if seen.shape[-1] == 1 else torch.linalg.solve(core.to(left.dtype), left, left=False))


def whole_batch(A: StateMatrix, eigenvalues: Tensor, P: Tensor, Q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three parts, expanded to the batch shape of A."""
    batch = A.shape[:-2]
    parts = (part.expand(*batch, *part.shape[-2:]) for part in (P, Q))
    return eigenvalues.expand(*batch, eigenvalues.shape[-1]), *parts
