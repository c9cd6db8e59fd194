"""Impulse responses of diagonal plus low rank systems: S4's kernel from Cauchy sums at roots of unity, and by powers.

A system is kept as one half of its conjugate pairs, `half`: with v = B u it moves by

    x' = diag(eigenvalues) x - 2 P Re(Q^H x) + B u,    y = Re(C x),

which is the real system whose matrix is the DPLR of the eigenvalues, P and Q stacked on their conjugates.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tsssm.dynamics.cauchy_sums import cauchy_sums
from tsssm.dynamics.convolution import krylov
from tsssm.dynamics.dense import Dense
from tsssm.dynamics.dplr import DPLR
from tsssm.dynamics.state_matrix import Scalar, as_factor
from tsssm.errors import explain


def conjugate_pairs(half: DPLR) -> DPLR:
    """The matrix of the whole system, of which `half` holds one mode of each conjugate pair.

    Parameters
    ----------
    half : DPLR (*, n, n)

    Returns
    -------
    DPLR (*, 2n, 2n)
        Its state is x stacked on conj(x).

    Examples
    --------
    >>> import torch
    >>> half = DPLR(torch.tensor([-0.5 + 2j]), torch.ones(1, 1), torch.ones(1, 1))
    >>> conjugate_pairs(half).dense()
    tensor([[-1.5000+2.j, -1.0000+0.j],
            [-1.0000+0.j, -1.5000-2.j]])
    """
    stacked = torch.cat([half.eigenvalues, half.eigenvalues.conj()], -1)
    P, Q = (torch.cat([part, part.conj()], -2) for part in (half.P, half.Q))
    return DPLR(stacked, P, Q)


def dplr_response(half: DPLR, B: Tensor, C: Tensor, gap: Scalar, length: int, truncated: bool = False) -> Tensor:
    """Outputs after a unit input at row 0 of an even grid, under the bilinear rule ``GeneralizedBilinear(0.5)``.

    ``k_t = Re(C Abar^t Bbar)`` from its generating function at the half angles w of `length` points z = exp(-2iw),

        ``K(z) = gap/2 e^(iw) C~ (i sin w - cos w gap/2 A)^-1 B``,

    in which Woodbury's identity leaves (1 + r)^2 Cauchy sums and Cramer's rule no pole at z = -1. The points are the
    roots of -1, where ``C~ = C (I + Abar^length)`` cuts the response off without cancellation for slow modes, or the
    roots of 1 if C comes `truncated`.

    Parameters
    ----------
    half : DPLR (*, n, n)
        One mode of each conjugate pair (see the module), in 1/time, of rank r.
    B, C : Tensor (*, n)
        Input and output weights.
    gap : float or Tensor (*,)
        Gap between rows, > 0, in time.
    length : int
        Number of rows, at least 1.
    truncated : bool, default False
        C is ``C (I - Abar^length)`` already: the parameter of S4, which is tied to one length but needs no power of A.

    Returns
    -------
    Tensor (*, length)
        Real.

    Raises
    ------
    ValueError
        If `length` is less than 1.

    Notes
    -----
    O(n length r^2) time and O(length r^2) memory for each batch entry, forward and backward; without `truncated`
    another O(n^3 log length) time, of matrix products, which is the larger part below some 10^4 rows at n = 32.
    Source: S4, arXiv 2111.00396, appendix C.3. `dplr_response_dense` is the specification.

    Examples
    --------
    >>> import torch
    >>> half = DPLR(torch.tensor([-1.0 + 0j]), torch.zeros(1, 1), torch.zeros(1, 1))
    >>> dplr_response(half, torch.ones(1), torch.ones(1), 1.0, 3)
    tensor([0.6667, 0.2222, 0.0741])
    """
    _check_length(length)
    dtype = torch.promote_types(half.dtype, torch.promote_types(B.dtype, C.dtype)).to_complex()
    half = DPLR(half.eigenvalues.to(dtype), half.P.to(dtype), half.Q.to(dtype))
    gap = as_factor(gap, half)
    B, C = B.to(dtype), C.to(dtype) if truncated else _truncate(half, C.to(dtype), gap, length)
    scale = gap[..., None] / 2
    left, right = _beside(C, 2 * half.Q.conj()), _beside(B, scale[..., None] * half.P)
    weights = (left.unsqueeze(-1) * right.unsqueeze(-2)).flatten(-2).mT
    sin, cos = _half_angles(length, truncated, scale)
    sums = cauchy_sums(scale * half.eigenvalues, weights, sin, cos)
    spectrum = scale * torch.complex(cos, sin) * _woodbury(sums.unflatten(-2, (left.shape[-1],) * 2), cos)
    if truncated:
        return torch.fft.irfft(spectrum, n=length)
    # the values at roots of -1 are the odd half of the spectrum of the response followed by its negative
    twice = torch.stack([torch.zeros_like(spectrum), 2 * spectrum], -1).flatten(-2)[..., : length + 1]
    return torch.fft.irfft(twice, n=2 * length)[..., :length]


def dplr_response_dense(half: DPLR, B: Tensor, C: Tensor, gap: Scalar, length: int) -> Tensor:
    """`dplr_response` by explicit powers of the dense transition: ``(C Abar^(iq)) (Abar^j Bbar)`` with q near sqrt(length).

    O(n^3 log length + n length) time in matrix products and O(n^2 log length + n sqrt(length)) memory, exact for any
    system, unstable ones too. Arguments and result are those of `dplr_response`.
    """
    _check_length(length)
    pairs = conjugate_pairs(half)
    transition, inverse = Dense(pairs.dense()).rational(gap, 0.5)
    start = inverse.affine(gap) @ torch.cat([B, B.conj()], -1).to(pairs.dtype)
    columns, jump = krylov(transition.dense(), start, 1 << (length.bit_length() // 2))
    weights = torch.cat([C, C.conj()], -1).to(pairs.dtype) / 2
    rows, _ = krylov(jump.mT, weights, -(-length // columns.shape[-1]))
    batch = torch.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    return (rows.mT @ columns).real.reshape(*batch, -1)[..., :length]


def _truncate(half: DPLR, C: Tensor, gap: Tensor, length: int) -> Tensor:
    """``C (I + Abar^length)`` by repeated squaring, in the real coordinates (Re x, Im x): a quarter of the work."""
    n = half.eigenvalues.shape[-1]
    bar = conjugate_pairs(half).rational(gap, 0.5)[0]
    values, P, Q = bar.eigenvalues[..., :n], bar.P[..., :n, :], bar.Q[..., :n, :]
    seen, pushed = (torch.cat([part.real, part.imag], -2) for part in (Q, P))
    re, im = torch.diag_embed(values.real), torch.diag_embed(values.imag)
    power = torch.cat([torch.cat([re, -im], -1), torch.cat([im, re], -1)], -2) - 2 * pushed @ seen.mT
    row = torch.cat([C.real, -C.imag], -1).unsqueeze(-2)
    end = row
    while length:
        if length & 1:
            end = end @ power
        length >>= 1
        if length:
            power = power @ power
    re, im = (row + end).squeeze(-2).split(n, -1)
    return torch.complex(re, -im)


def _half_angles(length: int, truncated: bool, like: Tensor) -> tuple[Tensor, Tensor]:
    """Sine and cosine of the half angles in [0, pi/2] of the roots of 1 if truncated, else of -1."""
    first = 0.0 if truncated else 0.5
    count = length // 2 + 1 if truncated else (length + 1) // 2
    angles = (torch.arange(count, dtype=torch.float64) + first) * (math.pi / length)
    # the complement, for cos near pi/2 would end on 6e-17 instead of 0
    complement = (length / 2 - first - torch.arange(count, dtype=torch.float64)) * (math.pi / length)
    return angles.sin().to(like), complement.sin().to(like)


def _beside(column: Tensor, columns: Tensor) -> Tensor:
    batch = torch.broadcast_shapes(column.shape[:-1], columns.shape[:-2])
    column = column.unsqueeze(-1)
    return torch.cat([column.expand(*batch, *column.shape[-2:]), columns.expand(*batch, *columns.shape[-2:])], -1)


def _woodbury(sums: Tensor, cos: Tensor) -> Tensor:
    """``CB - cos CP (I + cos QP)^-1 QB`` from the sums (*, 1 + r, 1 + r, m)."""
    CB, CP, QB, QP = sums[..., 0, 0, :], sums[..., 0, 1:, :], sums[..., 1:, 0, :], sums[..., 1:, 1:, :]
    if QP.shape[-2] == 1:
        return CB - cos * CP[..., 0, :] * QB[..., 0, :] / (1 + cos * QP[..., 0, 0, :])
    core = torch.eye(QP.shape[-2], dtype=QP.dtype, device=QP.device) + (cos * QP).movedim(-1, -3)
    seen = torch.linalg.solve(core, QB.mT.unsqueeze(-1)).squeeze(-1)
    return CB - cos * (CP.mT * seen).sum(-1)


def _check_length(length: int) -> None:
    if length < 1:
        raise ValueError(explain("`length` must be at least 1", f"length={length} came", "Give the number of rows"))
