"""Dense state matrices: the reference form, O(n^3) for each distinct gap."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tsssm.dynamics.state_matrix import Scalar, StateMatrix, as_factor, check_entries
from tsssm.errors import explain


@dataclass(frozen=True, eq=False)
class Dense(StateMatrix):
    """Any square matrix, or a batch of them.

    The phi functions are blocks of one exponential of an augmented matrix (Van Loan 1978), computed once for each
    distinct gap and then gathered, unless the gaps need gradients.

    Parameters
    ----------
    matrix : Tensor (*, n, n)
        Real or complex, in 1/time.

    Raises
    ------
    TypeError, ValueError
        If `matrix` is not a floating tensor whose last two axes agree.

    Examples
    --------
    >>> import torch
    >>> spin = Dense(torch.tensor([[0.0, -1.0], [1.0, 0.0]]))
    >>> bool(torch.allclose(spin.exp(torch.pi).dense(), -torch.eye(2), atol=1e-6))
    True
    """

    matrix: Tensor

    def __post_init__(self) -> None:
        check_entries("matrix", self.matrix, 2)
        if self.matrix.shape[-1] != self.matrix.shape[-2]:
            raise ValueError(
                explain(
                    must="`matrix` must be square in its last two axes",
                    came=f"its shape is {tuple(self.matrix.shape)}",
                    do="Pass A of x' = A x, not B or C",
                )
            )

    @property
    def shape(self) -> torch.Size:
        return self.matrix.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.matrix.dtype

    @property
    def device(self) -> torch.device:
        return self.matrix.device

    def __matmul__(self, x: Tensor) -> Tensor:
        dtype = torch.promote_types(self.dtype, x.dtype)
        return (self.matrix.to(dtype) @ x.to(dtype).unsqueeze(-1)).squeeze(-1)

    def __sub__(self, other: StateMatrix) -> Dense:
        return Dense(self.matrix - other.dense())

    def affine(self, scale: Scalar, shift: Scalar = 0.0) -> Dense:
        return Dense(self._block(scale) * self.matrix + self._block(shift) * self._eye())

    def resolvent(self, h: Scalar) -> Dense:
        return Dense(torch.linalg.inv(self._eye() - self._block(h) * self.matrix))

    def rational(self, h: Scalar, alpha: float) -> tuple[Dense, Dense]:
        scaled = self._block(h) * self.matrix
        inverse = torch.linalg.inv(self._eye() - alpha * scaled)
        return Dense(inverse @ (self._eye() + (1 - alpha) * scaled)), Dense(inverse)

    def phis(self, order: int, h: Scalar) -> tuple[Dense, ...]:
        h = as_factor(h, self)
        if h.numel() > 1 and self.matrix.ndim == 2 and not h.requires_grad:
            distinct, place = torch.unique(h, return_inverse=True)
            return tuple(Dense(block[place]) for block in self._exponential_blocks(order, distinct))
        return tuple(Dense(block) for block in self._exponential_blocks(order, h))

    def dense(self) -> Tensor:
        return self.matrix

    def adjoint(self) -> Dense:
        return Dense(self.matrix.mH)

    def entries(self) -> tuple[Tensor, ...]:
        return (self.matrix,)

    def _exponential_blocks(self, order: int, h: Tensor) -> tuple[Tensor, ...]:
        # First block row of exp([[hA, I, 0], [0, 0, I], [0, 0, 0]]) is exp(hA), phi_1(hA), phi_2(hA), and so on.
        scaled = h[..., None, None] * self.matrix
        n = self.matrix.shape[-1]
        size = n * (order + 1)
        augmented = torch.diag_embed(scaled.new_ones(size - n), offset=n).expand(*scaled.shape[:-2], size, size).clone()
        augmented[..., :n, :n] = scaled
        return torch.linalg.matrix_exp(augmented)[..., :n, :].split(n, dim=-1)

    def _block(self, h: Scalar) -> Tensor:
        return as_factor(h, self)[..., None, None]

    def _eye(self) -> Tensor:
        return torch.eye(self.matrix.shape[-1], dtype=self.dtype, device=self.device)
