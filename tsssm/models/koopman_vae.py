"""LatentKoopman: series as pictures of latent paths that move linearly in time."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from tsssm.data.batch import Batch
from tsssm.grid import Grid
from tsssm.models.base import Model
from tsssm.models.decoders import Decoder, Encoder
from tsssm.models.information import InformationRegularizer
from tsssm.models.latent_prior import Known, LatentPrior, Noise
from tsssm.models.linear_prior import by_series

# standard deviations are at least this, in scaled units: the likelihood of exact values would have no bound
FLOOR = 1e-3
# weight of what the law of all series at once is off the prior, beside the divergence of each. Windows of a house's energy were
# told from real ones by scores of 0.17 to 0.21 with 0, 0.12 with 10 and 0.14 with 40: one seed, two or three networks each, so
# that 10 and 40 are not told apart
EXCESS = 10.0


class LatentKoopman(Model):
    r"""A variational autoencoder whose latent paths follow a law of their own, ``x_k = g(z)_k + N(0, r^2)``.

    The loss is minus the evidence lower bound for each number observed, :math:`\beta KL(q(z) | p(z)) - E_q \log p(x | z)`,
    and what the prior, its `excess` divergence, and the regularizer add.

    Parameters
    ----------
    channels, d_latent : int
        c and k.
    encoder : Encoder
    prior : LatentPrior
        p(z), and q(z) from the features of the encoder.
    decoder : Decoder
        g.
    beta : float, default 1
        Weight of the divergence.
    regularizer : InformationRegularizer, optional
        Adds its terms of the latent paths.
    steps : int, default 0
        Steps of the optimizer to come, along which the prior is warmed; 0 if it is warm.

    Notes
    -----
    In training r is one number for all channels, the one that explains the errors of the batch best, so that the bound is
    ``-1/2 log(mean square error)`` up to a constant: a step on log r would lag behind the errors. With one for each channel
    a channel of noise would be left out of the states. Each channel's own r is kept as a running mean, for answers.

    References
    ----------
    Naiman, Erichson, Ren, Mahoney and Azencot, 2024, Generative modeling of regular and irregular time series data via
    Koopman VAEs; there the squared error has a fixed weight. Rybkin, Daniilidis and Levine, 2021, Simple and effective VAE
    training with calibrated decoders, equation 7. Zhao, Song and Ermon, 2019, InfoVAE, for a divergence of the posterior of all
    series at once, beside that of each.
    """

    def __init__(
        self,
        channels: int,
        d_latent: int,
        encoder: Encoder,
        prior: LatentPrior,
        decoder: Decoder,
        beta: float = 1.0,
        regularizer: InformationRegularizer | None = None,
        steps: int = 0,
    ):
        super().__init__()
        self.encoder, self.prior, self.decoder, self.regularizer = encoder, prior, decoder, regularizer
        self.d_latent, self.beta = d_latent, beta
        self.register_buffer("variance", torch.ones(channels))
        self.steps, self.done = steps, 0

    def loss(self, batch: Batch) -> Tensor:
        if self.training and self.done < self.steps:
            self.done += 1
            self.prior.warm(self.done / self.steps)
        known = Known.of(batch.static)
        drawn = self.prior.drawn(self.encoder(batch, known), batch.grid, known)
        decoded = self.decoder(drawn.z, batch.grid, known.given)
        error = (batch.values - decoded).square() * batch.observed
        if self.training:
            self._follow(error.detach(), batch.observed)
        likelihood = self._fit(error, batch.observed)
        count = batch.observed.sum().clamp_min(1)
        kl = drawn.kl.sum() / count
        parts = {"kl": kl, "likelihood": likelihood}
        loss = self.beta * kl - likelihood
        if drawn.penalty is not None:
            parts["prediction"] = drawn.penalty
            loss = loss + drawn.penalty
        if drawn.excess is not None:
            parts["excess"] = drawn.excess / count
            loss = loss + EXCESS * parts["excess"]
        if batch.wanted is not None:
            parts["forecast"] = self._fit((batch.target - decoded).square() * batch.wanted, batch.wanted)
            loss = loss - parts["forecast"]
        if self.regularizer is not None:
            terms = self.regularizer(drawn.z, batch.grid)
            parts |= terms
            loss = loss + sum(terms.values())
        self.terms = {name: part.detach() for name, part in parts.items()}
        return loss

    def _fit(self, error: Tensor, counted: Tensor) -> Tensor:
        """Mean log likelihood of entries with these squared errors, in training with the best spread for them."""
        total = counted.sum().clamp_min(1)
        if not self.training:
            return self._log_normal(error, counted).sum() / total
        return -0.5 * ((error.sum() / total + FLOOR**2).log() + 1 + math.log(2 * math.pi))

    def _follow(self, error: Tensor, counted: Tensor) -> None:
        """Take the squared errors of a batch into the running variance of each channel."""
        seen = counted.sum((0, 1))
        own = error.sum((0, 1)) / seen.clamp_min(1) + FLOOR**2
        self.variance.lerp_(torch.where(seen > 0, own, self.variance), 0.02)

    def _log_normal(self, error: Tensor, counted: Tensor) -> Tensor:
        return -0.5 * (error / self.variance + self.variance.log() + math.log(2 * math.pi)) * counted

    @torch.no_grad()
    def bound(self, batch: Batch, draws: int) -> Tensor:
        """Evidence lower bound of each series (s,), in nats of scaled values, over `draws` that are the same for all series."""
        known, bounds = Known.of(batch.static), 0.0
        features = self.encoder(batch, known)
        for draw in range(draws):
            noise = alike(batch.grid, self.d_latent, draw, features)
            drawn = self.prior.drawn(features, batch.grid, known, noise)
            error = (batch.values - self.decoder(drawn.z, batch.grid, known.given)).square()
            fit = by_series(self._log_normal(error, batch.observed).sum(-1), batch.grid, len(drawn.kl))
            bounds = bounds + (fit - drawn.kl) / draws
        return bounds

    @torch.no_grad()
    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """The picture of the mean path, "mean" (b, l, c), also at silent rows; "z" is the path (b, l, k)."""
        known = Known.of(batch.static)
        features = self.encoder(batch, known)
        drawn = self.prior.drawn(features, batch.grid, known, Noise.none(batch.grid, self.d_latent, features.dtype))
        z = self.prior.between(drawn.z, batch.grid)
        return {"mean": self.decoder(z, batch.grid, known.given), "z": z}


def alike(grid: Grid, k: int, seed: int, like: Tensor) -> Noise:
    """Normal numbers that depend on the place of a row in its series alone, so that an answer depends on no other series."""
    rows = torch.arange(grid.dt.shape[1])
    place = rows - torch.where(grid.reset, rows, 0).cummax(1).values
    # drawn one after another: the first rows of a table are those of a longer one
    table = np.random.default_rng(seed).standard_normal((grid.dt.shape[1] + 1, k))
    table = torch.from_numpy(table).to(like)
    return Noise(table[:1].expand(int(grid.reset.sum()), -1), table[1 + place])
