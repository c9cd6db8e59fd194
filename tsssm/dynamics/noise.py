"""White noise that drives a linear system: its covariance over a gap, and the one it settles at."""

from __future__ import annotations

import torch
from torch import Tensor

from tsssm.dynamics import functions
from tsssm.dynamics.matrices import Diagonal, StateMatrix
from tsssm.dynamics.state_matrix import as_factor
from tsssm.errors import explain


def process_noise(A: StateMatrix, Q: Tensor, dt: Tensor | float) -> Tensor:
    """Covariance of what white noise of intensity Q adds to x' = A x over a gap.

    ``integral of e^(s A) Q e^(s A)^H over s in [0, dt]``, exact: entry by entry ``Q_ij dt phi_1((l_i + conj l_j) dt)`` where
    A is diagonal, by Van Loan's block exponential otherwise.

    Parameters
    ----------
    A : StateMatrix (*, n, n), in 1/time
    Q : Tensor (*, n, n)
        Intensity of the noise, Hermitian and positive semidefinite, in squared state per time.
    dt : number or Tensor, in time, >= 0
        Broadcasts with the batch shape (*) of A.

    Returns
    -------
    Tensor (*, n, n)

    Notes
    -----
    O(n^2) where A is diagonal. Otherwise O(n^3 log(dt |A|)) for each distinct gap: the block exponential holds
    ``e^(-dt A)`` and overflows over long gaps, so it is taken over a short part, which is then doubled by
    ``W(2 h) = W(h) + e^(h A) W(h) e^(h A)^H``. Source: Van Loan, 1978, Computing integrals involving the matrix exponential.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics import Diagonal, process_noise
    >>> process_noise(Diagonal(torch.tensor([-1.0, 0.0])), torch.eye(2), 2.0)
    tensor([[0.4908, 0.0000],
            [0.0000, 2.0000]])
    """
    h = as_factor(dt, A)
    if isinstance(A, Diagonal):
        return Q * functions.exp_and_integral(_sums(A), h[..., None, None])[1]
    if h.numel() > 1 and A.dense().ndim == 2 and Q.ndim == 2 and not h.requires_grad:
        distinct, place = torch.unique(h, return_inverse=True)
        return _van_loan(A.dense(), Q, distinct)[place]
    return _van_loan(A.dense(), Q, h)


def stationary_covariance(A: StateMatrix, Q: Tensor) -> Tensor:
    """Covariance P at which noise of intensity Q and the decay of a stable A balance: ``A P + P A^H + Q = 0``.

    Parameters
    ----------
    A : StateMatrix (*, n, n)
        All eigenvalues with negative real parts.
    Q : Tensor (*, n, n)
        Intensity of the noise.

    Returns
    -------
    Tensor (*, n, n)

    Raises
    ------
    ValueError
        If A is not stable, for nothing settles then.

    Notes
    -----
    ``-Q_ij / (l_i + conj l_j)`` where A is diagonal; otherwise one linear system of n^2 unknowns, O(n^6).

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics import Diagonal
    >>> stationary_covariance(Diagonal(torch.tensor([-2.0])), torch.ones(1, 1))
    tensor([[0.2500]])
    """
    _check_stable(A)
    if isinstance(A, Diagonal):
        return -Q / _sums(A)
    entries = A.dense()
    n = entries.shape[-1]
    eye = torch.eye(n, dtype=entries.dtype, device=entries.device)
    # A P + P A^H of P written row by row: A (x) I + I (x) conj A
    left = torch.einsum("...ij,kl->...ikjl", entries, eye) + torch.einsum("ij,...kl->...ikjl", eye, entries.conj())
    Q = Q.to(entries.dtype).expand(entries.shape)
    settled = torch.linalg.solve(left.reshape(*entries.shape[:-2], n * n, n * n), -Q.flatten(-2).unsqueeze(-1))
    settled = settled.squeeze(-1).unflatten(-1, (n, n))
    return (settled + settled.mH) / 2


def _sums(A: Diagonal) -> Tensor:
    return A.eigenvalues.unsqueeze(-1) + A.eigenvalues.conj().unsqueeze(-2)


def _van_loan(A: Tensor, Q: Tensor, h: Tensor) -> Tensor:
    n = A.shape[-1]
    size = (torch.linalg.matrix_norm(A.detach(), 1) * h.detach()).clamp_min(1)
    doublings = size.log2().ceil()
    part = (h * 2.0**-doublings)[..., None, None]
    # exp([[-A, Q], [0, A^H]] h) = [[e^(-hA), G], [0, e^(hA)^H]] and W = e^(hA) G
    A, Q = torch.broadcast_tensors(A, Q.to(A.dtype))
    top = torch.cat([-A, Q], -1)
    bottom = torch.cat([torch.zeros_like(A), A.mH], -1)
    blocks = torch.linalg.matrix_exp(part * torch.cat([top, bottom], -2))
    F = blocks[..., n:, n:].mH
    W = F @ blocks[..., :n, n:]
    for k in range(int(doublings.max())):
        # a gap that is done passes zeros: the square of an unstable one would overflow, and spoil its gradient
        more = (doublings > k)[..., None, None]
        half, noise = torch.where(more, F, 0), torch.where(more, W, 0)
        W = W + half @ noise @ half.mH
        F = torch.where(more, half @ half, F)
    return (W + W.mH) / 2


def _check_stable(A: StateMatrix) -> None:
    rates = A.eigenvalues if isinstance(A, Diagonal) else torch.linalg.eigvals(A.dense().detach())
    if not bool((rates.real < 0).all()):
        raise ValueError(
            explain(
                "`A` must be stable for a stationary covariance",
                f"an eigenvalue has real part {float(rates.real.max()):.3g}",
                "Give the covariance at the start instead",
            )
        )
