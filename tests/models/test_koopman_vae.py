"""The loss of latent Koopman models beside NumPy, and what it does not see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conformance.kinds import SMALL_S5, packed, some_series
from tsssm.data import Batch
from tsssm.grid import Grid
from tsssm.models.decoders import Decoder, Encoder, PointwiseDecoder, RecurrentDecoder
from tsssm.models.futures import draw_futures
from tsssm.models.information import InformationRegularizer
from tsssm.models.koopman_vae import EXCESS, FLOOR, LatentKoopman
from tsssm.models.latent_prior import Known
from tsssm.models.linear_prior import LinearPrior
from tsssm.models.soft_prior import SoftPrior
from tsssm.models.spectrum import Spectrum
from tsssm.models.starts_law import StartsLaw

C, K, GIVEN = 2, 4, 1


def model_of(prior: str = "linear", decoder: str = "pointwise", **more) -> LatentKoopman:
    torch.manual_seed(0)
    encoder = Encoder(C, GIVEN, 3, 1, SMALL_S5)
    decoders: dict[str, Decoder] = {
        "pointwise": PointwiseDecoder(K, C, GIVEN, 6),
        "recurrent": RecurrentDecoder(K, C, GIVEN, 3, 1, SMALL_S5),
    }
    priors = {
        "linear": LinearPrior(Spectrum(K // 2), encoder.width, GIVEN),
        "soft": SoftPrior(K, encoder.width, GIVEN, 5),
    }
    return LatentKoopman(C, K, encoder, priors[prior], decoders[decoder], **more).double()


def batch_of(grid: Grid, asks: bool = False) -> Batch:
    torch.manual_seed(1)
    shape = (*grid.dt.shape, C)
    values, shown = torch.randn(shape, dtype=torch.float64), grid.active.unsqueeze(-1).expand(shape).clone()
    shown[0, 0, 0] = False
    series = int(grid.reset.sum())
    static = torch.cat([torch.zeros(series, 1), torch.randn(series, GIVEN)], 1).double()
    nothing = torch.zeros(0, dtype=torch.long)
    wanted = (grid.valid & ~grid.active).unsqueeze(-1).expand(shape) if asks else None
    target = values * wanted if asks else None
    return Batch(values * shown, shown, grid, static, torch.arange(series), nothing, nothing, target, wanted)


def log_normal(error: np.ndarray) -> float:
    """Mean log density of errors under the normal law that explains them best."""
    variance = np.mean(error**2) + FLOOR**2
    return float(-0.5 * (np.log(2 * np.pi * variance) + 1))


@pytest.mark.parametrize("prior", ["linear", "soft"])
@pytest.mark.parametrize("decoder", ["pointwise", "recurrent"])
def test_the_loss_is_the_sum_of_its_terms_as_numpy_has_them(prior: str, decoder: str):
    model = model_of(prior, decoder, beta=0.7, regularizer=InformationRegularizer(width=1.0)).train()
    batch = batch_of(packed([some_series([4, 3]), some_series([6])]))
    torch.manual_seed(2)
    loss = model.loss(batch).item()
    torch.manual_seed(2)
    known = Known.of(batch.static)
    drawn = model.prior.drawn(model.encoder(batch, known), batch.grid, known)
    seen = batch.observed.numpy()
    error = (batch.values - model.decoder(drawn.z, batch.grid, known.given)).detach().numpy()[seen]
    terms = InformationRegularizer(width=1.0)(drawn.z, batch.grid)
    truth = 0.7 * drawn.kl.sum().item() / seen.sum() - log_normal(error) + sum(term.item() for term in terms.values())
    if drawn.penalty is not None:
        truth += drawn.penalty.item()
    if drawn.excess is not None:
        truth += EXCESS * drawn.excess.item() / seen.sum()
    assert loss == pytest.approx(truth, rel=1e-9)
    assert set(model.terms) >= {"kl", "likelihood", "contrast", "entropy"}


def test_the_law_of_starts_comes_closer_to_them_and_nothing_else_moves():
    torch.manual_seed(0)
    model = model_of().train()
    law = StartsLaw(model, model.prior)
    before = {name: part.clone() for name, part in model.state_dict().items()}
    batch = batch_of(packed([some_series([4, 3]), some_series([6])]))
    optimizer = torch.optim.Adam(law.parameters(), 0.01)
    losses = []
    for _ in range(200):
        loss = law.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) - 1
    after = model.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        name for name, _ in model.named_parameters() if name.startswith("prior.starts.")
    }
    # what is thought of the starts is normal, so that no law can tell starts at less than their mean entropy, but for few draws
    guess = model.prior.guess(model.encoder(batch, Known.of(batch.static)), batch.grid, Known.of(batch.static).given)
    least = torch.distributions.Normal(0.0, guess.log_start.exp()).entropy().sum(-1).mean().item()
    assert np.mean(losses[-20:]) > least - 0.5
    torch.testing.assert_close(law.predict(batch)["start"], guess.start)


def test_rows_that_are_asked_add_the_likelihood_of_their_forecast():
    model = model_of().train()
    rows = [(1.0, True), (0.5, True), (0.7, False), (0.2, False)]
    batch = batch_of(packed([[rows]]), asks=True)
    torch.manual_seed(2)
    model.loss(batch)
    torch.manual_seed(2)
    known = Known.of(batch.static)
    drawn = model.prior.drawn(model.encoder(batch, known), batch.grid, known)
    error = (batch.target - model.decoder(drawn.z, batch.grid, known.given)).detach().numpy()[batch.wanted.numpy()]
    assert model.terms["forecast"].item() == pytest.approx(log_normal(error))


@pytest.mark.parametrize("prior", ["linear", "soft"])
def test_the_bound_depends_on_no_other_series(prior: str):
    model = model_of(prior, "recurrent").eval()
    series = some_series([4, 3, 5])
    both = batch_of(packed([[series[0], series[1]], [series[2]]]))
    bounds = model.bound(both, 3)
    grid = packed([[series[2]]])
    own = Batch(
        both.values[1:, :5], both.observed[1:, :5], grid, both.static[2:], *(torch.zeros(0),) * 2, torch.zeros(0)
    )
    torch.testing.assert_close(model.bound(own, 3), bounds[2:], rtol=1e-9, atol=1e-9)


def test_a_series_that_is_seen_late_starts_before_its_first_row():
    prior, grid = model_of().prior, packed([some_series([3])])
    start, shock = torch.randn(1, K, dtype=torch.float64), torch.randn(1, 3, K, dtype=torch.float64)
    late = torch.tensor([0.8], dtype=torch.float64)
    early = Grid(
        torch.cat([torch.ones(1, 1), late.view(1, 1), grid.dt[:, 1:]], 1).double(),
        *(torch.cat([mask[:, :1], first | mask], 1) for mask, first in ((grid.valid, grid.valid[:, :1]),)),
        torch.tensor([[True, False, False, False]]),
        torch.ones(1, 4, dtype=torch.bool),
    )
    whole = prior.path(start, torch.cat([shock[:, :1], shock], 1), early)
    torch.testing.assert_close(prior.path(start, shock, grid, late), whole[:, 1:], rtol=1e-12, atol=1e-12)
    # the shock on the way to the first row counts
    guess = prior.guess(
        torch.randn(1, 3, prior.to_shock.in_features, dtype=torch.float64), grid, torch.zeros(1, GIVEN).double()
    )
    known = [Known(each, torch.zeros(1, GIVEN).double()) for each in (late, 0 * late)]
    more, less = (prior.divergence(guess, start, grid, each) for each in known)
    normals = torch.distributions.Normal
    first = torch.distributions.kl_divergence(normals(guess.shock, guess.log_shock.exp()), normals(0.0, 1.0))[
        :, 0
    ].sum()
    torch.testing.assert_close(more - less, first.view(1))


def test_a_pointwise_decoder_hears_its_own_row_alone():
    model, grid = model_of(), packed([some_series([4])])
    z = torch.randn(1, 4, K, dtype=torch.float64)
    other = torch.cat([z[:, :3], torch.randn(1, 1, K, dtype=torch.float64)], 1)
    given = torch.zeros(1, GIVEN, dtype=torch.float64)
    torch.testing.assert_close(model.decoder(z, grid, given)[:, :3], model.decoder(other, grid, given)[:, :3])


def test_futures_have_the_mean_of_the_linear_system():
    model = model_of().eval()
    with torch.no_grad():
        for layer in (model.decoder.net[-1],):
            layer.weight.zero_()
            layer.bias.zero_()
    batch = batch_of(packed([[[(1.0, True), (0.5, True), (0.7, False), (1.2, False)]]]), asks=True)
    paths = draw_futures(model, batch, 20_000, seed=0)
    assert torch.isnan(paths[:, :, :2]).all()
    mean = model.predict(batch)["mean"]
    torch.testing.assert_close(paths.mean(0)[:, 2:], mean[:, 2:], rtol=0.05, atol=0.05)
    alike = draw_futures(model, batch, 7, None)
    torch.testing.assert_close(alike, draw_futures(model, batch, 7, None), equal_nan=True)


def test_noise_comes_in_along_training():
    model = model_of(steps=6).train()
    batch = batch_of(packed([some_series([4])]))
    volumes: list[float] = []
    for _ in range(8):
        model.loss(batch)
        volumes.append(float(model.prior.spectrum.volume))
    assert volumes == pytest.approx([0, 0, 1, 1, 1, 1, 1, 1])
