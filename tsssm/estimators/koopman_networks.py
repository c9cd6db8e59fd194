"""The networks that the parameters of KoopmanVAE describe."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.utils import check_random_state

from tsssm.data import Panel, Scaling, Source
from tsssm.data.tasks import show_all, show_rows
from tsssm.data.windows import Windows, tile_windows
from tsssm.errors import explain
from tsssm.estimators.horizon import span_of
from tsssm.estimators.queries import merged, observed_rows
from tsssm.estimators.recipes import as_recipe
from tsssm.layers import S5, Recipe
from tsssm.models.decoders import Encoder, PointwiseDecoder, RecurrentDecoder
from tsssm.models.information import InformationRegularizer
from tsssm.models.koopman_vae import LatentKoopman
from tsssm.models.latent_prior import LatentPrior
from tsssm.models.linear_modes import Pieces, find_modes
from tsssm.models.linear_prior import LinearPrior
from tsssm.models.soft_prior import SoftPrior
from tsssm.models.spectrum import Spectrum
from tsssm.models.starts_law import StartsLaw
from tsssm.training import History, Training
from tsssm.training.loop import INTERRUPTED, bucketed

if TYPE_CHECKING:
    from tsssm.estimators.koopman_forecaster import KoopmanForecaster
    from tsssm.estimators.koopman_vae import KoopmanVAE

# rows of a batch
ROWS = 20_000
# about how many steps of the optimizer are taken where `epochs` is not given
STEPS = 3000
# passes that all series get at least: windows of a house's energy, 20,000, were told from real ones by a score of 0.18 after the ten
# passes of 3,000 steps, by 0.13 after twenty (one seed)
PASSES = 20
# how many further orders of the gaps of a series are drawn from, see `seen_between`. With 70 % of the rows of sines dropped, what was
# told of the missing ones was off by a quarter of a standard deviation on average without, by a twentieth with them
ORDERS = (0, 1, 3)
# numbers that modes are found from before training, and most rows of a series in one piece
LOOKED, LONGEST = 8000, 200
# numbers of a latent state where `d_latent` is not given: one mode for each channel, and at least eight. Pictures of 28 channels
# of a house from 16 numbers were told from real windows more often than from 48 (discriminative score 0.30 and 0.20)
LEAST = 16
# of what follows, the share that modes may leave for training to begin at them: series that do not move linearly have modes
# that fit, but not those of a latent path
TRUSTED = 0.1


def fit_koopman(vae: KoopmanVAE, panel: Panel, windows: Windows) -> tuple[LatentKoopman, History]:
    """A model trained on windows of what a panel shows."""
    seed = int(check_random_state(vae.random_state).randint(2**31 - 1))
    trained, panel = seen_between(vae, panel, windows, seed), observed_rows(panel)
    everything, nothing = (trained, np.arange(len(trained))), (trained, np.arange(0))
    batches = len(bucketed(trained.lengths, everything[1], vae.batch_size, ROWS, np.random.default_rng(0)))
    epochs = vae.epochs or max(PASSES, -(-STEPS // max(1, batches)))
    training = Training(
        epochs=epochs,
        lr=vae.lr,
        batch_size=vae.batch_size,
        batch_rows=ROWS,
        weight_decay=0.0,
        random_state=seed,
        verbose=vae.verbose,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = latent_koopman(vae, panel, windows, epochs * batches)
        history = training.run(model, show_rows, everything, nothing)
        if isinstance(model.prior, LinearPrior) and history.stopped != INTERRUPTED:
            # starts stand still now, and so a law can come close to them
            shown = (windows, np.arange(len(windows)))
            replace(training, epochs=-(-epochs // 2)).run(StartsLaw(model, model.prior), show_all, shown, nothing)
    # an answer must not depend on what else is in its batch
    return model.double(), history


def seen_between(vae: KoopmanVAE, panel: Panel, windows: Windows, seed: int) -> Windows:
    """Windows with silent rows between the observed ones, for a decoder that reads whole paths.

    Samples may be asked more often than series were observed, and such a decoder must have seen paths that are. So that rows
    come as they might, a series gets those that its own gaps, in 0, 1 or 3 other orders, lead to: on a grid with holes these are
    on the grid, and where all gaps are equal there are none.
    """
    if vae.prior != "linear" or vae.decoder != "recurrent":
        return windows
    shown, rng, times = observed_rows(panel), np.random.default_rng(seed), []
    ends = zip(itertools.pairwise(panel.offsets), itertools.pairwise(shown.offsets), strict=True)
    for (first, stop), (begin, end) in ends:
        own = shown.times[begin:end]
        if len(own):
            own = np.union1d(own, panel.times[[first, stop - 1]])
        orders = [own[:1] + np.cumsum(rng.permutation(np.diff(own))) for _ in range(rng.choice(ORDERS))]
        times.append(np.concatenate([own[:1], *orders]) if orders and len(own) > 1 else own[:0])
    # the clock of regular rows may jitter: what falls that near to one is no row between
    more = merged(shown, times, 0.1 * vae.time_scale_).panel
    if more.n_rows == shown.n_rows:
        return windows
    source = Source(more, vae.marginals_, vae.time_scale_, windows.source.static.numpy())
    return tile_windows(source, -(-vae.context * more.n_rows // shown.n_rows))


def latent_koopman(vae: KoopmanVAE, panel: Panel, windows: Windows, steps: int) -> LatentKoopman:
    """A fresh model for windows of a panel, whose first static number is how late a series is seen, for some steps."""
    channels, width, given = panel.shape[1], vae.d_model, windows.source.static.shape[1] - 1
    size = max(LEAST, 2 * channels) if vae.d_latent is None else vae.d_latent
    layer = _layer(vae, panel, int(windows.lengths.max(initial=1)))
    encoder = Encoder(channels, given, width, vae.depth, layer)
    if vae.decoder == "recurrent":
        decoder = RecurrentDecoder(size, channels, given, width, vae.depth, layer)
    else:
        decoder = PointwiseDecoder(size, channels, given, 2 * width)
    regularizer = InformationRegularizer() if vae.regularizer == "information" else None
    prior = _prior(vae, size, panel, encoder.width, given)
    return LatentKoopman(channels, size, encoder, prior, decoder, vae.beta, regularizer, steps)


def _layer(vae: KoopmanVAE, panel: Panel, longest: int) -> Recipe:
    if vae.layer is None:
        return window_layer(longest)
    return as_recipe(vae.layer).timed(lambda span: span_of(span, panel) / vae.time_scale_)


def window_layer(longest: int) -> Recipe:
    """S5 for windows of at most `longest` rows: states slower than they are would stand still."""
    return Recipe(S5, d_state=32, blocks=1, timescale=(1 / max(longest, 8), 0.5))


def _prior(vae: KoopmanVAE, size: int, panel: Panel, width: int, given: int) -> LatentPrior:
    if vae.prior == "linear":
        return LinearPrior(spectrum_at_data(vae, size, panel, vae.process_noise), width, given)
    if vae.periods:
        came = f"periods={vae.periods!r} came with prior='soft'"
        raise ValueError(explain("only the linear prior holds periods", came, "Take prior='linear'"))
    return SoftPrior(size, width, given, vae.d_model, circle=vae.conserved)


def spectrum_at_data(estimator: KoopmanVAE | KoopmanForecaster, size: int, panel: Panel, noise: bool) -> Spectrum:
    """`spectrum_of`, begun at the modes that the series of a panel have as they are, in straight pictures.

    Looks at about `LOOKED` numbers: rates are few, so that all would hardly tell more. Where series do not move linearly they
    begin spread over all time scales.
    """
    spectrum = spectrum_of(estimator, size, panel, noise)
    held, conserved = spectrum.held, estimator.conserved
    pieces = pieces_of(panel, estimator.time_scale_)
    if pieces is not None:
        found = find_modes(pieces, spectrum.pairs, held, conserved)
        if found.left < TRUSTED:
            spectrum.start_at(*found)
    return spectrum


def pieces_of(panel: Panel, time_scale: float) -> Pieces | None:
    """Some pieces of series, of three rows or more and at most `LONGEST`, standardised; None where there are none."""
    source = Source(panel, Scaling.fit(panel, np.inf), time_scale)
    windows = tile_windows(source, LONGEST)
    long = np.flatnonzero(windows.lengths > 2)
    many = max(16, LOOKED // max(1, int(windows.lengths[long].max(initial=1)) * source.seen.shape[1]))
    some = long[np.linspace(0, len(long) - 1, min(many, len(long))).astype(int)]
    if not len(some):
        return None
    place = windows.offsets[some][:, None] + np.arange(windows.lengths[some].max())
    inside = place < windows.high[some][:, None]
    place = np.where(inside, place, windows.offsets[some][:, None])
    times = source.times[place] - source.times[place[:, :1]]
    seen = torch.from_numpy(source.seen[place] & inside[..., None])
    return Pieces(torch.from_numpy(times), source.values[place].double() * seen, seen)


def spectrum_of(estimator: KoopmanVAE | KoopmanForecaster, size: int, panel: Panel, noise: bool) -> Spectrum:
    """The modes of a latent state of `size` numbers, with the `periods` and `conserved` ones that an estimator asks for."""
    if size % 2:
        came = f"d_latent={size} came"
        raise ValueError(explain("`d_latent` must be even, two for each mode", came, "Choose, say, 16"))
    spans = [span_of(period, panel) for period in estimator.periods or ()]
    if not all(span > 0 for span in spans):
        must = "`periods` must be positive durations"
        raise ValueError(explain(must, f"{estimator.periods!r} came", "Pass, say, ['24h'], or numbers for plain times"))
    held = [span / estimator.time_scale_ for span in spans]
    return Spectrum(size // 2, held, estimator.conserved, noise)
