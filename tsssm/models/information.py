"""Information of latent paths: what a state tells of its neighbours in time, and how many directions states fill."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsssm.grid import Grid


class InformationRegularizer(nn.Module):
    r"""Terms that keep latent paths informative of their neighbours and spread over many directions.

    ``alpha * InfoNCE(z_n; z_m, |t_m - t_n| <= width) - gamma * S(C / tr C)``, C the covariance of the states of a batch and S
    the von Neumann entropy, exp(S) the number of directions that they fill.

    Parameters
    ----------
    alpha : float, default 0.1
    gamma : float, default 0.05
        Weight of the entropy, which is *rewarded*.
    width : float, default 3
        In time scales: rows so near are neighbours.
    temperature : float, default 0.1

    Notes
    -----
    One table of similarities, O(b l^2 k), and an eigenvalue problem, O(k^3).

    References
    ----------
    Cheng, Yuan, Yang, Zhang, Cheng, He and Sun, 2026, Information shapes Koopman representation. The sign of the entropy is
    that of the paper: the released trainer adds it to what is minimised, which lowers it. Neighbours are near in time here,
    not in rows.
    """

    def __init__(self, alpha: float = 0.1, gamma: float = 0.05, width: float = 3.0, temperature: float = 0.1):
        super().__init__()
        self.alpha, self.gamma, self.width, self.temperature = alpha, gamma, width, temperature

    def forward(self, z: Tensor, grid: Grid) -> dict[str, Tensor]:
        """Both terms by name, weighted, of states z (b, l, k)."""
        shown = z[grid.valid & grid.active]
        contrast = info_nce(z, grid, self.width, self.temperature)
        return {"contrast": self.alpha * contrast, "entropy": -self.gamma * von_neumann_entropy(covariance(shown))}


def info_nce(z: Tensor, grid: Grid, width: float, temperature: float) -> Tensor:
    """Mean of ``-log(sum over neighbours of e^(s/T) / sum over all other rows of the series)``, s the cosine similarity.

    Counted are active rows with at least one neighbour and one other row; 0 where there is none.
    """
    unit = nn.functional.normalize(z, dim=-1)
    likeness = unit @ unit.mT / temperature
    series, time = grid.segment(), grid.dt.double().cumsum(1)
    shown = grid.valid & grid.active
    pairs = (series.unsqueeze(2) == series.unsqueeze(1)) & shown.unsqueeze(2) & shown.unsqueeze(1)
    pairs = pairs & ~torch.eye(z.shape[1], dtype=torch.bool, device=z.device)
    near = (time.unsqueeze(2) - time.unsqueeze(1)).abs() <= width * (1 + 1e-9)
    kept = (pairs & near).any(2) & (pairs & ~near).any(2)
    least = torch.finfo(z.dtype).min
    neighbours = torch.logsumexp(likeness.masked_fill(~(pairs & near), least), 2)
    everyone = torch.logsumexp(likeness.masked_fill(~pairs, least), 2)
    return torch.where(kept, everyone - neighbours, 0).sum() / kept.sum().clamp_min(1)


def covariance(z: Tensor) -> Tensor:
    """Covariance (k, k) of states (n, k)."""
    centred = z - z.mean(0, keepdim=True)
    return centred.mT @ centred / max(1, len(z) - 1)


def von_neumann_entropy(C: Tensor) -> Tensor:
    """``-sum l log l`` over the eigenvalues l of ``C / tr C``: log k for round states, 0 for one direction.

    Examples
    --------
    >>> import torch
    >>> von_neumann_entropy(torch.eye(4)).exp()
    tensor(4.)
    """
    k = len(C)
    eye = torch.eye(k, dtype=C.dtype, device=C.device)
    shares = torch.linalg.eigvalsh(C / C.diagonal().sum().clamp_min(1e-12) + 1e-8 * eye).clamp_min(1e-8)
    shares = shares / shares.sum()
    return -(shares * shares.log()).sum()


def gaussian_information(K: Tensor, C: Tensor, noise: Tensor, steps: int = 1) -> Tensor:
    r"""Nats that a state tells of the one `steps` later, of a linear Gaussian system: ``1/2 log det(I + M^-1 K^n C K'^n)``.

    M is the noise that has come in meanwhile, :math:`\sum_{i<n} K^i N K'^i`.

    Parameters
    ----------
    K, C, noise : Tensor, (k, k)
        Map of a step (columns: ``z' = K z``), covariance of states, and of the noise N of a step.
    steps : int, default 1
        n.

    Examples
    --------
    >>> import torch
    >>> one = torch.eye(1)
    >>> gaussian_information(0.5 * one, one, 0.75 * one)
    tensor(0.1438)
    """
    power, M = torch.eye(len(K), dtype=K.dtype), torch.zeros_like(K)
    for _ in range(steps):
        M = M + power @ noise @ power.mT
        power = K @ power
    inside = torch.eye(len(K), dtype=K.dtype) + torch.linalg.solve(M, power @ C @ power.mT)
    return 0.5 * torch.linalg.slogdet(inside).logabsdet
