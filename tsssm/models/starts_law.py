"""StartsLaw: the law of starts of latent paths, trained alone when all else is."""

from __future__ import annotations

import torch
from torch import Tensor

from tsssm.data.batch import Batch
from tsssm.models.base import Model
from tsssm.models.koopman_vae import LatentKoopman
from tsssm.models.latent_prior import Known
from tsssm.models.linear_prior import LinearPrior

# of the start of each series, in a step: they cost a fraction of what tells their law
DRAWS = 4


class StartsLaw(Model):
    """``p(z_0)`` of a model whose other parts stay as they are, fitted to what is thought of the starts of series.

    The loss is ``-E_q log p(z_0)``, the part of the evidence lower bound that hangs on p(z_0): while all parts are trained
    the law follows starts that move, and lags behind.

    Parameters
    ----------
    model : LatentKoopman
    prior : LinearPrior
        That of the model, whose law is trained in place.
    """

    def __init__(self, model: LatentKoopman, prior: LinearPrior):
        super().__init__()
        self.starts = prior.starts
        # in a tuple, so that the parameters of the model are none of this one's
        self.rest = (model.encoder, prior)

    def loss(self, batch: Batch) -> Tensor:
        encoder, prior = self.rest
        known = Known.of(batch.static)
        with torch.no_grad():
            guess = prior.guess(encoder(batch, known), batch.grid, known.given)
            noise = torch.randn_like(guess.start.expand(DRAWS, *guess.start.shape))
        start = guess.start + guess.log_start.exp() * noise
        return -self.starts.log_prob(start, known.given).mean()

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Means of the starts (s, k)."""
        encoder, prior = self.rest
        known = Known.of(batch.static)
        return {"start": prior.guess(encoder(batch, known), batch.grid, known.given).start}
