"""StudentT: a distribution with heavy tails of each target at each row."""

from __future__ import annotations

import math

import torch
from scipy.special import stdtrit
from torch import Tensor, nn

from tsssm.heads.rows import RowHead


class StudentT(RowHead):
    """Student's t distributions of location mu, scale sigma and nu > 2 degrees of freedom, with the loss -log p(y).

    Parameters
    ----------
    d_model : int
        Width of the features.
    n_targets : int
        Number of targets t.
    floor : float, default 0.001
        Smallest scale: the likelihood of exact values would have no bound.

    Notes
    -----
    Quantiles come from SciPy on the CPU; they carry no gradient by nu.

    Examples
    --------
    >>> import torch
    >>> from tsssm.heads import StudentT
    >>> StudentT(8, 1).quantiles(torch.zeros(1, 3))[0, 5]
    tensor(0.)
    """

    def __init__(self, d_model: int, n_targets: int, floor: float = 0.001):
        super().__init__(d_model, n_targets, 3)
        self.floor = floor

    def _parts(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, scale, tail = parameters.unbind(-1)
        # about 6 degrees of freedom at the start
        return mean, nn.functional.softplus(scale) + self.floor, 2.0 + nn.functional.softplus(tail + 4.0)

    def quantiles(self, parameters: Tensor) -> Tensor:
        mean, scale, freedom = self._parts(parameters)
        levels = self.levels.cpu().numpy()
        at = stdtrit(freedom.detach().cpu().double().numpy()[..., None], levels)
        z = torch.as_tensor(at, dtype=parameters.dtype, device=parameters.device)
        return mean.unsqueeze(-1) + scale.unsqueeze(-1) * z

    def losses(self, parameters: Tensor, target: Tensor) -> Tensor:
        mean, scale, freedom = self._parts(parameters)
        z = (target - mean) / scale
        constant = torch.lgamma(freedom / 2) - torch.lgamma((freedom + 1) / 2) + 0.5 * torch.log(math.pi * freedom)
        return constant + scale.log() + (freedom + 1) / 2 * torch.log1p(z * z / freedom)
