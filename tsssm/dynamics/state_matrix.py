"""The abstract state matrix A of x' = A x + v."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import torch
from torch import Tensor

from tsssm.dynamics.fields import Field
from tsssm.errors import explain

Scalar = float | complex | Tensor


class StateMatrix(Field):
    """A batch of square matrices A with the few operations that discretization needs.

    As a field it is ``A x + u``. Arguments called `h`, `scale` and `shift` are numbers or tensors (*h,), one for each
    matrix, and broadcast with the batch shape (*) of A; results have the broadcast batch shape and the dtype of A.

    Attributes
    ----------
    shape : torch.Size
        (*, n, n)
    dtype : torch.dtype
        Real or complex floating type.
    """

    @property
    @abstractmethod
    def shape(self) -> torch.Size:
        """(*, n, n)."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Type of the entries."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the entries live."""

    @abstractmethod
    def __matmul__(self, x: Tensor) -> Tensor:
        """A x for x (*, n); batch shapes broadcast."""

    @abstractmethod
    def __sub__(self, other: StateMatrix) -> StateMatrix:
        """A - other."""

    @abstractmethod
    def affine(self, scale: Scalar, shift: Scalar = 0.0) -> Self:
        """``scale A + shift I``."""

    @abstractmethod
    def resolvent(self, h: Scalar) -> Self:
        """``(I - h A)^-1``; h in time."""

    @abstractmethod
    def rational(self, h: Scalar, alpha: float) -> tuple[Self, Self]:
        """``(I - alpha h A)^-1 (I + (1 - alpha) h A)`` and ``(I - alpha h A)^-1``, sharing the inverse; h in time."""

    @abstractmethod
    def phis(self, order: int, h: Scalar) -> tuple[StateMatrix, ...]:
        """``phi_0(h A) .. phi_order(h A)``, sharing one exponential; h in time."""

    @abstractmethod
    def dense(self) -> Tensor:
        """Entries (*, n, n)."""

    @abstractmethod
    def adjoint(self) -> Self:
        """``A^H``: what takes gradients back through ``A x``."""

    @abstractmethod
    def entries(self) -> tuple[Tensor, ...]:
        """The tensors that ``type(A)(*tensors)`` is made of again, each of the whole batch shape."""

    def pick(self, index: Any) -> Self:
        """The matrices at an index of the batch axes."""
        return type(self)(*(entry[index] for entry in self.entries()))

    def __call__(self, t: Tensor | None, x: Tensor, u: Tensor | None) -> Tensor:
        """``A x + u``: the matrix as a field."""
        return self @ x if u is None else self @ x + u

    def phi(self, k: int, h: Scalar) -> StateMatrix:
        """``phi_k(h A)``, k = 0, 1, 2, ...; h in time."""
        return self.phis(k, h)[k]

    def exp(self, h: Scalar) -> StateMatrix:
        """``exp(h A)``: the transition over a gap h."""
        return self.phis(0, h)[0]

    def exp_integral(self, h: Scalar) -> StateMatrix:
        """``h phi_1(h A)``, the integral of ``exp(s A)`` over s in [0, h]; in time."""
        return self.exp_and_integral(h)[1]

    def exp_and_integral(self, h: Scalar) -> tuple[StateMatrix, StateMatrix]:
        """``exp(h A)`` and ``h phi_1(h A)`` together."""
        exp, mean = self.phis(1, h)
        return exp, mean.affine(h)


def as_factor(h: Scalar, matrix: StateMatrix) -> Tensor:
    """The number or tensor `h` on the device of `matrix` and in its real precision (complex stays complex)."""
    dtype = matrix.dtype.to_real()
    if isinstance(h, complex) or (isinstance(h, Tensor) and h.is_complex()):
        dtype = matrix.dtype.to_complex()
    return torch.as_tensor(h, dtype=dtype, device=matrix.device)


def check_entries(name: str, entries: Tensor, dims: int) -> None:
    """Raise unless `entries` is a floating tensor with at least `dims` axes."""
    if not isinstance(entries, Tensor) or not (entries.is_floating_point() or entries.is_complex()):
        came = f"{entries.dtype}" if isinstance(entries, Tensor) else type(entries).__name__
        raise TypeError(
            explain(
                must=f"`{name}` must be a real or complex floating tensor",
                came=f"a {came} came",
                do="Convert it with torch.as_tensor(..., dtype=torch.float32)",
            )
        )
    if entries.ndim < dims:
        raise ValueError(
            explain(
                must=f"`{name}` must have at least {dims} axes",
                came=f"its shape is {tuple(entries.shape)}",
                do="Put the state axis last, and the batch axes first",
            )
        )
