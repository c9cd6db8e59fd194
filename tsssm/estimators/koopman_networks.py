"""The networks that the parameters of KoopmanVAE describe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsssm.data import Panel
from tsssm.errors import explain
from tsssm.estimators.horizon import span_of
from tsssm.estimators.recipes import as_recipe
from tsssm.layers import S5, Recipe
from tsssm.models.decoders import Encoder, PointwiseDecoder, RecurrentDecoder
from tsssm.models.information import InformationRegularizer
from tsssm.models.koopman_vae import LatentKoopman
from tsssm.models.latent_prior import LatentPrior
from tsssm.models.linear_prior import LinearPrior
from tsssm.models.soft_prior import SoftPrior
from tsssm.models.spectrum import Spectrum

if TYPE_CHECKING:
    from tsssm.estimators.koopman_vae import KoopmanVAE


def latent_koopman(vae: KoopmanVAE, panel: Panel, given: int, longest: int) -> LatentKoopman:
    """A fresh model for windows of at most `longest` rows of a panel, and `given` covariates of each series."""
    channels, width = panel.shape[1], vae.d_model
    layer = _layer(vae, panel, longest)
    encoder = Encoder(channels, given, width, vae.depth, layer)
    if vae.decoder == "recurrent":
        decoder = RecurrentDecoder(vae.d_latent, channels, given, width, vae.depth, layer)
    else:
        decoder = PointwiseDecoder(vae.d_latent, channels, given, 2 * width)
    regularizer = InformationRegularizer() if vae.regularizer == "information" else None
    prior = _prior(vae, panel, encoder.width, given)
    return LatentKoopman(channels, vae.d_latent, encoder, prior, decoder, vae.beta, regularizer)


def _layer(vae: KoopmanVAE, panel: Panel, longest: int) -> Recipe:
    if vae.layer is None:
        # windows are short: states slower than they are would stand still
        return Recipe(S5, d_state=32, blocks=1, timescale=(1 / max(longest, 8), 0.5))
    return as_recipe(vae.layer).timed(lambda span: span_of(span, panel) / vae.time_scale_)


def _prior(vae: KoopmanVAE, panel: Panel, width: int, given: int) -> LatentPrior:
    if vae.prior == "soft":
        if vae.periods:
            came = f"periods={vae.periods!r} came with prior='soft'"
            raise ValueError(explain("only the linear prior holds periods", came, "Take prior='linear'"))
        return SoftPrior(vae.d_latent, width, given, vae.d_model, circle=vae.conserved)
    if vae.d_latent % 2:
        came = f"d_latent={vae.d_latent} came"
        raise ValueError(explain("`d_latent` must be even, two for each mode", came, "Choose, say, 16"))
    spans = [span_of(period, panel) for period in vae.periods or ()]
    if not all(span > 0 for span in spans):
        must = "`periods` must be positive durations"
        raise ValueError(explain(must, f"{vae.periods!r} came", "Pass, say, ['24h'], or numbers for plain times"))
    held = [span / vae.time_scale_ for span in spans]
    return LinearPrior(Spectrum(vae.d_latent // 2, held, vae.conserved, vae.process_noise), width, given)

