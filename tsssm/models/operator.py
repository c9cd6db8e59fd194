"""Linear maps of latent states fitted by least squares, and what draws their spectrum."""

from __future__ import annotations

import torch
from torch import Tensor

# share of the mean square of a latent number: a collapsed column must not blow up the fit
RIDGE = 1e-6


def fit_operator(past: Tensor, future: Tensor, ridge: float = RIDGE) -> Tensor:
    """A of ``future = past A`` by least squares with a ridge, ``(P'P + r I)^-1 P'F``, differentiable.

    Parameters
    ----------
    past, future : Tensor, (n, k)
        Rows before and after.
    ridge : float, default 1e-6
        r is this share of ``tr(P'P) / k``.

    Returns
    -------
    Tensor, (k, k)

    Examples
    --------
    >>> import torch
    >>> fit_operator(torch.eye(2), torch.tensor([[0.0, 1.0], [-1.0, 0.0]])).round()
    tensor([[ 0.,  1.],
            [-1.,  0.]])
    """
    gram = past.mT @ past
    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    shrink = (ridge * gram.diagonal().mean()).clamp_min(1e-30)
    return torch.linalg.solve(gram + shrink * eye, past.mT @ future)


def prediction_error(past: Tensor, future: Tensor, A: Tensor) -> Tensor:
    """Mean square of ``past A - future`` beside that of `future`: 0 where the states move linearly."""
    return (past @ A - future).square().mean() / future.square().mean().clamp_min(torch.finfo(future.dtype).tiny)


def unit_circle_error(A: Tensor, count: int = -1) -> Tensor:
    """Mean of ``(|l| - 1)^2`` over the `count` largest eigenvalues l of A (k, k); over all if -1.

    Eigenvalues that nearly coincide have no gradient: then ``|A'A - I|^2 / k`` serves, which is 0 for the same maps.
    """
    values = torch.linalg.eigvals(A.detach())
    apart = (values[:, None] - values).abs() + torch.eye(len(values), dtype=A.dtype, device=A.device)
    if float(apart.min()) < 1e-4:
        eye = torch.eye(len(A), dtype=A.dtype, device=A.device)
        return (A.mT @ A - eye).square().sum() / len(A)
    size = torch.linalg.eigvals(A).abs().sort(descending=True).values
    return (size[: len(size) if count < 0 else count] - 1).square().mean()


def generator_of(A: Tensor, dt: float) -> Tensor:
    """Eigenvalues (k,) of ``K = log(A) / dt``, complex, in 1 / time.

    On the negative real axis the logarithm takes the half turn a step, the fastest one that rows so far apart can show.
    """
    values = torch.linalg.eigvals(A.double()).to(torch.complex128)
    return torch.log(torch.where(values == 0, 1e-30, values)) / dt
