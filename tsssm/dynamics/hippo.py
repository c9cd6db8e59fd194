"""HiPPO matrices and the initial values made from them, all in float64.

A matrix here belongs to x' = A x + B u whose states are coefficients of the past input in an orthogonal basis.
Sources: HiPPO (arXiv 2008.07669), S4 (arXiv 2111.00396, appendix C), S4D (arXiv 2206.11893, section 4), S5 (2208.04933).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from tsssm.errors import explain

Family = Literal["legs", "legt", "lagt"]


class NormalPlusLowRank(NamedTuple):
    """``A = V (diag(eigenvalues) - P P^H) V^H`` with V unitary, and B in the basis V.

    Shapes: eigenvalues (n,), P (n, r), B (n,), V (n, n), all complex128.
    """

    eigenvalues: Tensor
    P: Tensor
    B: Tensor
    V: Tensor


def legs(n: int) -> tuple[Tensor, Tensor]:
    """HiPPO-LegS: Legendre coefficients of the whole past (times 1/t; used without that factor in S4).

    ``A[i, k] = -sqrt((2i + 1)(2k + 1))`` below the diagonal, ``-(i + 1)`` on it, 0 above; ``B[i] = sqrt(2i + 1)``.

    Parameters
    ----------
    n : int
        State size, at least 1.

    Returns
    -------
    A, B : Tensor
        (n, n) and (n,), float64.

    Raises
    ------
    ValueError
        If n is less than 1.

    Examples
    --------
    >>> legs(2)[0].round(decimals=3).tolist()
    [[-1.0, 0.0], [-1.732, -2.0]]
    """
    index = _indices(n)
    root = (2 * index + 1).sqrt()
    return torch.outer(-root, root).tril(-1) - torch.diag(index + 1), root


def legt(n: int, window: float = 1.0) -> tuple[Tensor, Tensor]:
    """HiPPO-LegT: orthonormal Legendre coefficients of the last `window` of the input.

    ``A[i, k] = -sqrt((2i + 1)(2k + 1)) / window`` times ``(-1)^(i - k)`` above the diagonal; ``B[i] = sqrt(2i + 1) / window``.

    Parameters
    ----------
    n : int
        State size, at least 1.
    window : float, default 1.0
        Length of the window, in time.

    Returns
    -------
    A, B : Tensor
        (n, n) and (n,), float64.

    Raises
    ------
    ValueError
        If n is less than 1 or window is not positive.

    Examples
    --------
    >>> legt(2)[0].round(decimals=3).tolist()
    [[-1.0, 1.732], [-1.732, -3.0]]
    """
    index = _indices(n)
    if not window > 0:
        raise ValueError(explain("`window` must be positive", f"window={window!r} came", "Give it in units of time"))
    root = (2 * index + 1).sqrt()
    sign = 1 - 2 * ((index[:, None] - index) % 2)
    return -torch.outer(root, root) * torch.where(index > index[:, None], sign, 1.0) / window, root / window


def lagt(n: int) -> tuple[Tensor, Tensor]:
    """HiPPO-LagT: Laguerre coefficients of an exponentially fading past.

    ``A = I/2 - tril(1)``, ``B = 1``: the impulse response of state i is ``L_i(t) exp(-t/2)``.

    Parameters
    ----------
    n : int
        State size, at least 1.

    Returns
    -------
    A, B : Tensor
        (n, n) and (n,), float64.

    Raises
    ------
    ValueError
        If n is less than 1.

    Examples
    --------
    >>> lagt(2)[0].tolist()
    [[-0.5, 0.0], [-1.0, -0.5]]
    """
    ones = torch.ones_like(_indices(n))
    return torch.diag(ones / 2) - torch.outer(ones, ones).tril(), ones


def normal_plus_low_rank(family: Family, n: int) -> NormalPlusLowRank:
    """Write a HiPPO matrix as a normal matrix minus a low-rank one, in the unitary eigenbasis of the normal part.

    ``A + P P^T = c I + K`` with K skew, so that the Hermitian ``-i K`` has a well-conditioned basis; A itself has
    none (condition 8e10 at n = 16). Rank 1 for LegS and LagT, 2 for LegT. Source: S4, arXiv 2111.00396, theorem 1.

    Parameters
    ----------
    family : "legs", "legt" or "lagt"
        Which matrix.
    n : int
        State size, at least 1.

    Returns
    -------
    NormalPlusLowRank
        Eigenvalues in increasing order of their imaginary part, so that position n - 1 - i holds the conjugate of i.

    Raises
    ------
    ValueError
        If the family is unknown or n is less than 1.

    Examples
    --------
    >>> form = normal_plus_low_rank("legs", 4)
    >>> form.eigenvalues.real.round(decimals=6).tolist()
    [-0.5, -0.5, -0.5, -0.5]
    """
    index = _indices(n)
    if family == "legs":
        (A, B), P = legs(n), (index + 0.5).sqrt()[:, None]
    elif family == "legt":
        (A, B), odd = legt(n), index % 2
        P = (2 * index + 1).sqrt()[:, None] * torch.stack([1 - odd, odd], dim=1)
    elif family == "lagt":
        (A, B), P = lagt(n), torch.full((n, 1), math.sqrt(0.5), dtype=torch.float64)
    else:
        raise ValueError(_unknown("family", family, "'legs', 'legt' or 'lagt'"))
    normal = A + P @ P.T
    shift = normal.diagonal().mean()
    skew = (normal - normal.T) / 2
    frequency, V = torch.linalg.eigh(-1j * skew)
    eigenvalues = torch.complex(shift.expand(n), frequency)
    return NormalPlusLowRank(eigenvalues, V.mH @ P.to(V.dtype), V.mH @ B.to(V.dtype), V)


def diagonal_eigenvalues(kind: Literal["legs", "lin", "inv", "real"], d_state: int) -> Tensor:
    """Initial eigenvalues of S4D, one of each conjugate pair.

    - legs: those of the normal part of HiPPO-LegS, ``-1/2 + i w``.
    - lin: ``-1/2 + i pi k``, equally spaced like a Fourier basis.
    - inv: ``-1/2 + i (d/pi) (d / (2k + 1) - 1)`` with d = d_state, close to legs.
    - real: ``-(k + 1)``.

    Parameters
    ----------
    kind : "legs", "lin", "inv" or "real"
        Which rule; k = 0 .. d_state/2 - 1.
    d_state : int
        Number of states, counting both of a pair: even, at least 2.

    Returns
    -------
    Tensor (d_state / 2,)
        complex128, imaginary parts not negative, in 1/time. Source: S4D, arXiv 2206.11893, section 4.

    Raises
    ------
    ValueError
        If the kind is unknown or d_state is not even and positive.

    Examples
    --------
    >>> diagonal_eigenvalues("real", 4).real.tolist()
    [-1.0, -2.0]
    """
    _check_even("d_state", d_state)
    half = _indices(d_state // 2)
    if kind == "legs":
        return normal_plus_low_rank("legs", d_state).eigenvalues[d_state // 2 :]
    if kind == "lin":
        return torch.complex(torch.full_like(half, -0.5), math.pi * half)
    if kind == "inv":
        return torch.complex(torch.full_like(half, -0.5), d_state / math.pi * (d_state / (2 * half + 1) - 1))
    if kind == "real":
        return torch.complex(-(half + 1), torch.zeros_like(half))
    raise ValueError(_unknown("kind", kind, "'legs', 'lin', 'inv' or 'real'"))


def block_diagonal_normal(d_state: int, blocks: int = 1) -> tuple[Tensor, Tensor]:
    """Initial eigenvalues and basis of S5: copies of the normal part of HiPPO-LegS, one of each conjugate pair.

    With real B and C set ``B~ = V^H B`` and ``C~ = C V``; then ``y = 2 Re(C~ x)`` is the real system.
    Source: S5, arXiv 2208.04933, section 4.2 and appendix B.1.

    Parameters
    ----------
    d_state : int
        Number of states, counting both of a pair.
    blocks : int, default 1
        Number of equal blocks; each must hold an even number of states.

    Returns
    -------
    eigenvalues : Tensor (d_state / 2,)
        complex128, in 1/time, imaginary parts positive.
    V : Tensor (d_state, d_state / 2)
        complex128, orthonormal columns, block diagonal.

    Raises
    ------
    ValueError
        If the blocks are not equal and even.

    Examples
    --------
    >>> eigenvalues, V = block_diagonal_normal(8, blocks=2)
    >>> eigenvalues.shape, V.shape
    (torch.Size([4]), torch.Size([8, 4]))
    """
    if blocks < 1 or d_state % blocks:
        raise ValueError(
            explain(
                must="`blocks` must divide `d_state`",
                came=f"d_state={d_state}, blocks={blocks}",
                do="Choose both as powers of two",
            )
        )
    size = d_state // blocks
    _check_even("d_state / blocks", size)
    form = normal_plus_low_rank("legs", size)
    return form.eigenvalues[size // 2 :].repeat(blocks), torch.block_diag(*[form.V[:, size // 2 :]] * blocks)


def _indices(n: int) -> Tensor:
    if n < 1:
        raise ValueError(explain("`n` must be at least 1", f"n={n} came", "Give the number of states"))
    return torch.arange(n, dtype=torch.float64)


def _check_even(name: str, value: int) -> None:
    if value < 2 or value % 2:
        raise ValueError(
            explain(f"`{name}` must be even and positive", f"{name}={value} came", "One of each conjugate pair is kept")
        )


def _unknown(name: str, value: str, choices: str) -> str:
    return explain(f"`{name}` must be {choices}", f"{name}={value!r} came", "Check the spelling")
