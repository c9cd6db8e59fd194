"""SoftPrior: latent paths that a recurrent network makes and that are drawn towards a linear map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsssm.grid import Grid
from tsssm.models.latent_prior import Drawn, Known, LatentPrior, Noise
from tsssm.models.linear_prior import by_series, gaps_of
from tsssm.models.operator import fit_operator, prediction_error, unit_circle_error


class SoftPrior(LatentPrior):
    """Paths of a sampled GRU, ``s_k = GRU(z_{k-1}, log(1 + h_k), s_{k-1})``, ``z_k ~ N(m(s_k), v(s_k))``, as released by the authors.

    In training a map A with ``z_{k+1} = z_k A`` is fitted to the paths of a batch by least squares, and its error is a
    term of the loss; `operator` keeps a running mean of A. What is thought of a path, given observations, is normal and
    independent from row to row.

    Parameters
    ----------
    d_latent : int
        Size k of the states.
    features : int
        Width of the features that observations are told by.
    given : int
        Covariates of each series.
    d_model : int
        Width of the GRU.
    weight : float, default 0.03
        Of the error of prediction, beside the divergence for each number observed.
    circle : int, default 0
        How many of the largest eigenvalues of A are drawn to the unit circle; -1 for all.

    Notes
    -----
    A loop over rows, O(l) steps: the law of a row depends on the draw before it. Samples do not follow A exactly, so that
    its spectrum describes them about; `LinearPrior` does.

    References
    ----------
    Naiman, Erichson, Ren, Mahoney and Azencot, 2024, Generative modeling of regular and irregular time series data via
    Koopman VAEs, section 4. Two choices differ from the released code: the ridge of the least squares, and the error of
    prediction, which is relative, entry by entry, instead of divided by the norm of the whole batch.
    """

    def __init__(self, d_latent: int, features: int, given: int, d_model: int, weight: float = 0.03, circle: int = 0):
        super().__init__()
        k = d_latent
        self.cell = nn.GRUCell(k + 1 + given, d_model)
        self.law, self.posterior = nn.Linear(d_model, 2 * k), nn.Linear(features, 2 * k)
        self.weight, self.circle = weight, circle
        self.register_buffer("operator", torch.eye(k))

    def drawn(self, features: Tensor, grid: Grid, known: Known, noise: Noise | None = None) -> Drawn:
        center, log_spread = _law(self.posterior(features))
        own = torch.randn_like(center) if noise is None else noise.rows
        shown = grid.active & grid.valid
        path, prior_center, prior_log = self.run(torch.randn_like(center) if noise is None else own, grid, known)
        gap = (center - prior_center).square() + torch.exp(2 * log_spread)
        kl = prior_log - log_spread + 0.5 * gap * torch.exp(-2 * prior_log) - 0.5
        kl = by_series(torch.where(shown, kl.sum(-1), 0), grid, len(known.given))
        return Drawn(center + log_spread.exp() * own, kl, self._penalty(path, grid) if self.training else None)

    def run(self, noise: Tensor, grid: Grid, known: Known) -> tuple[Tensor, Tensor, Tensor]:
        """Paths of the prior (b, l, k) driven by standard normal noise, and mean and log spread of each row's law."""
        b, l, k = noise.shape
        gap = gaps_of(grid, known.late).log1p().to(noise.dtype).unsqueeze(-1)
        static = known.given[grid.segment().clamp_min(0)]
        z, s, out = noise.new_zeros(b, k), noise.new_zeros(b, self.cell.hidden_size), []
        for row in range(l):
            goes_on = ~grid.reset[:, row, None]
            moved = self.cell(torch.cat([z * goes_on, gap[:, row], static[:, row]], -1), s * goes_on)
            center, log_spread = _law(self.law(moved))
            drawn = center + log_spread.exp() * noise[:, row]
            active = grid.active[:, row, None]
            # a silent row leaves no trace
            z, s = torch.where(active, drawn, z * goes_on), torch.where(active, moved, s * goes_on)
            out.append((drawn, center, log_spread))
        return tuple(torch.stack(part, 1) for part in zip(*out, strict=True))

    def _penalty(self, path: Tensor, grid: Grid) -> Tensor:
        follows = (grid.active & grid.valid & ~grid.begins)[:, 1:]
        past, future = path[:, :-1][follows], path[:, 1:][follows]
        if not len(past):
            return path.new_zeros(())
        A = fit_operator(past, future)
        with torch.no_grad():
            self.operator.lerp_(A.to(self.operator), 0.02)
        penalty = self.weight * prediction_error(past, future, A)
        return penalty + self.weight * unit_circle_error(A, self.circle) if self.circle else penalty

    def between(self, z: Tensor, grid: Grid) -> Tensor:
        """As they are: the network has no bridges, so that a silent row is told by its own features."""
        return z

    def sample(self, noise: Noise, grid: Grid, known: Known) -> Tensor:
        return self.run(noise.rows, grid, known)[0]


def _law(raw: Tensor) -> tuple[Tensor, Tensor]:
    center, log_spread = raw.chunk(2, -1)
    return center, 3 - functional.softplus(3 - log_spread.clamp_min(-9))
