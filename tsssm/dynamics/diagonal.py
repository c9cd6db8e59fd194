"""Diagonal state matrices: everything in closed form, element by element."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tsssm.dynamics import functions
from tsssm.dynamics.dense import Dense
from tsssm.dynamics.state_matrix import Scalar, StateMatrix, as_factor, check_entries


@dataclass(frozen=True, eq=False)
class Diagonal(StateMatrix):
    """``A = diag(eigenvalues)``.

    All operations cost O(n) for each matrix and give diagonal matrices. The closed forms are those of S4D
    (arXiv 2206.11893, section 3.2) and S5 (arXiv 2208.04933, equation 6).

    Parameters
    ----------
    eigenvalues : Tensor (*, n)
        Real or complex, in 1/time.

    Raises
    ------
    TypeError, ValueError
        If `eigenvalues` is not a floating tensor with at least one axis.

    Examples
    --------
    >>> import torch
    >>> A = Diagonal(torch.tensor([-1.0, 0.0]))
    >>> A.exp_integral(2.0).eigenvalues
    tensor([0.8647, 2.0000])
    """

    eigenvalues: Tensor

    def __post_init__(self) -> None:
        check_entries("eigenvalues", self.eigenvalues, 1)

    @property
    def shape(self) -> torch.Size:
        return self.eigenvalues.shape + self.eigenvalues.shape[-1:]

    @property
    def dtype(self) -> torch.dtype:
        return self.eigenvalues.dtype

    @property
    def device(self) -> torch.device:
        return self.eigenvalues.device

    def __matmul__(self, x: Tensor) -> Tensor:
        return self.eigenvalues * x

    def __sub__(self, other: StateMatrix) -> StateMatrix:
        if isinstance(other, Diagonal):
            return Diagonal(self.eigenvalues - other.eigenvalues)
        return Dense(self.dense() - other.dense())

    def affine(self, scale: Scalar, shift: Scalar = 0.0) -> Diagonal:
        scaled = self._column(scale) * self.eigenvalues
        return Diagonal(scaled if isinstance(shift, float) and shift == 0 else scaled + self._column(shift))

    def resolvent(self, h: Scalar) -> Diagonal:
        return Diagonal(1 / (1 - self._column(h) * self.eigenvalues))

    def rational(self, h: Scalar, alpha: float) -> tuple[Diagonal, Diagonal]:
        z = self._column(h) * self.eigenvalues
        inverse = 1 / (1 - alpha * z)
        return Diagonal((1 + (1 - alpha) * z) * inverse), Diagonal(inverse)

    def phis(self, order: int, h: Scalar) -> tuple[Diagonal, ...]:
        column = self._column(h)
        if order == 0 and self.dtype.is_complex and not column.is_complex():
            return (Diagonal(functions.complex_exp(column * self.eigenvalues.real, column * self.eigenvalues.imag)),)
        return tuple(Diagonal(value) for value in functions.phis(column * self.eigenvalues, order))

    def exp_and_integral(self, h: Scalar) -> tuple[Diagonal, Diagonal]:
        exp, integral = functions.exp_and_integral(self.eigenvalues, self._column(h))
        return Diagonal(exp), Diagonal(integral)

    def dense(self) -> Tensor:
        return torch.diag_embed(self.eigenvalues)

    def adjoint(self) -> Diagonal:
        return Diagonal(self.eigenvalues.conj())

    def entries(self) -> tuple[Tensor, ...]:
        return (self.eigenvalues,)

    def _column(self, h: Scalar) -> Tensor:
        return as_factor(h, self).unsqueeze(-1)


def scaled_identity(matrix: StateMatrix, h: Scalar) -> Diagonal:
    """``h I`` with the batch shape and dtype of `matrix`, expanded without storage of its own.

    Parameters
    ----------
    matrix : StateMatrix
        (*, n, n)
    h : number or Tensor
        Broadcasts with the batch shape of `matrix`.

    Returns
    -------
    Diagonal
        (*, n, n)

    Examples
    --------
    >>> import torch
    >>> scaled_identity(Diagonal(torch.zeros(2)), 3.0).eigenvalues
    tensor([3., 3.])
    """
    h = as_factor(h, matrix).to(matrix.dtype)
    batch = torch.broadcast_shapes(h.shape, matrix.shape[:-2])
    return Diagonal(h.expand(batch).unsqueeze(-1).expand(*batch, matrix.shape[-1]))
