"""Quantile: a free-form distribution of each target at each row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsssm.heads.rows import LEVELS, RowHead

MIDDLE = len(LEVELS) // 2


class Quantile(RowHead):
    """Quantiles q_1 < ... < q_k of each target at each row, with the pinball loss.

    The loss of a level a is 2 max(a (y - q), (a - 1) (y - q)), averaged over the levels. The median is free; the
    others add softplus steps to it, so that quantiles cannot cross.

    Parameters
    ----------
    d_model : int
        Width of the features.
    n_targets : int
        Number of targets t.

    References
    ----------
    Koenker, Bassett, 1978, Regression Quantiles; averaged over levels it approaches the CRPS (Gneiting, Raftery, 2007).

    Examples
    --------
    >>> import torch
    >>> from tsssm.heads import Quantile
    >>> Quantile(8, 2).quantiles(torch.zeros(5, 2, 11)).diff().min() > 0
    tensor(True)
    """

    def __init__(self, d_model: int, n_targets: int):
        super().__init__(d_model, n_targets, len(LEVELS))
        # steps at the start are those of a normal distribution of spread 1/2
        steps = 0.5 * torch.special.ndtri(self.levels).diff()
        with torch.no_grad():
            bias = self.read.bias.view(n_targets, -1)
            bias[:, 1:] = steps.expm1().log().float()

    def quantiles(self, parameters: Tensor) -> Tensor:
        middle, steps = parameters[..., :1], nn.functional.softplus(parameters[..., 1:])
        below = steps[..., :MIDDLE].flip(-1).cumsum(-1).flip(-1)
        above = steps[..., MIDDLE:].cumsum(-1)
        return torch.cat([middle - below, middle, middle + above], -1)

    def losses(self, parameters: Tensor, target: Tensor) -> Tensor:
        error = target.unsqueeze(-1) - self.quantiles(parameters)
        levels = self.levels.to(error.dtype)
        return 2 * torch.maximum(levels * error, (levels - 1) * error).mean(-1)
