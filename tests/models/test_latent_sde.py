"""The latent SDE beside closed forms: its bound, its samples, and what a fit finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conformance.kinds import packed
from tsssm import LatentSDEForecaster
from tsssm.data import Batch, Panel
from tsssm.grid import Grid
from tsssm.models.latent_sde import FLOOR, Guess, LatentSDE

A, S, R = 0.7, 1.3, 0.4


def ornstein_uhlenbeck() -> LatentSDE:
    """The model of ``dz = -A z dt + S sqrt(2 A) dW`` that begins settled, seen with noise of size R."""
    torch.manual_seed(0)
    model = LatentSDE(1, 1, 8).double()
    for last in (model.drift.layers[-1], model.level[-1]):
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    model.level[-1].bias.data.fill_(math.log(math.expm1(S)))
    for parameter, value in ((model.log_decay, A), (model.log_first, S), (model.log_noise, R - FLOOR)):
        parameter.data.fill_(math.log(value))
    model.C.data.fill_(1.0)
    return model


def batch_of(grid: Grid, values: Tensor) -> Batch:
    seen = grid.active.unsqueeze(-1)
    nothing = torch.zeros(0, dtype=torch.long)
    static = values.new_zeros(int(grid.reset.sum()), 0)
    return Batch(values * seen, seen, grid, static, nothing, nothing, nothing)


def case(copies: int) -> tuple[Batch, Tensor]:
    """Copies of one series of five rows, and the covariance of its states."""
    gaps = [0.0, 0.3, 2.0, 0.05, 1.0]
    grid = packed([[[(gap, True) for gap in gaps]]] * copies)
    time = torch.tensor(gaps, dtype=torch.float64).cumsum(0)
    torch.manual_seed(1)
    return batch_of(grid, torch.randn(5, 1, dtype=torch.float64).expand(copies, 5, 1)), S**2 * torch.exp(
        -A * (time - time[:, None]).abs()
    )


def exact(cov: Tensor, y: Tensor) -> Guess:
    """The law of the states given all observations y, as a chain of normal steps."""
    gain = cov @ torch.linalg.inv(cov + R**2 * torch.eye(len(y), dtype=y.dtype))
    mean, rest = gain @ y, cov - gain @ cov
    keep, spread = torch.zeros(2, len(y), dtype=y.dtype)
    spread[0] = rest[0, 0].sqrt()
    for k in range(1, len(y)):
        keep[k] = rest[k, k - 1] / rest[k - 1, k - 1]
        spread[k] = (rest[k, k] - keep[k] ** 2 * rest[k - 1, k - 1]).sqrt()
    before = torch.cat([mean[:1] * 0, mean[:-1]])
    return Guess(*(part.view(1, -1, 1) for part in (keep, mean - keep * before, spread)))


def test_the_bound_is_the_likelihood_where_the_guess_is_the_truth_and_below_it_elsewhere():
    model, (batch, cov) = ornstein_uhlenbeck(), case(copies=8000)
    y = batch.values[0].flatten()
    observed = torch.distributions.MultivariateNormal(0 * y, cov + R**2 * torch.eye(5, dtype=y.dtype))
    likelihood = float(observed.log_prob(y))
    guess = Guess(*(part.expand(8000, 5, 1) for part in exact(cov, y)))
    worse = guess._replace(spread=1.5 * guess.spread)
    bounds = []
    for each in (guess, worse):
        model.posterior = lambda batch, each=each: each
        with torch.no_grad():
            bounds.append(-5 * float(model.loss(batch)))
    # the floor under the spread of steps is a thousandth of it
    assert abs(bounds[0] - likelihood) < 0.03
    assert bounds[1] < likelihood - 0.3


def test_samples_have_the_moments_of_the_process():
    model = ornstein_uhlenbeck()
    grid = packed([[[(0.0, True), (0.5, False), (1.5, False)], [(0.0, False), (1.0, False)]]])
    batch = batch_of(grid, torch.zeros(1, 5, 1, dtype=torch.float64))
    guess = Guess(*(torch.full((1, 5, 1), value, dtype=torch.float64) for value in (0.0, 2.0, 0.1)))
    model.posterior = lambda batch: guess
    n = 40_000
    paths = model.sample(batch, n, torch.Generator().manual_seed(0))[:, 0, :, 0]
    assert bool(paths[:, 0].isnan().all())
    passed = torch.tensor([0.5, 2.0], dtype=torch.float64)
    mean = torch.cat([2 * torch.exp(-A * passed), torch.zeros(2, dtype=torch.float64)])
    variance = 0.01 * torch.exp(-2 * A * passed) - S**2 * torch.expm1(-2 * A * passed)
    variance = torch.cat([variance, torch.full((2,), S**2, dtype=torch.float64)]) + R**2
    error = 5 * (variance / n).sqrt()
    assert bool(((paths[:, 1:].mean(0) - mean).abs() < error).all())
    # and one floor of the noise a step
    torch.testing.assert_close(paths[:, 1:].var(0), variance, rtol=0.03, atol=0.01)
    joint = torch.cov(paths[:, 1:3].T)[0, 1] - (variance[0] - R**2) * math.exp(-A * 1.5)
    assert abs(float(joint)) < 0.05


def walks(n: int, l: int, seed: int) -> Panel:
    """Settled Ornstein-Uhlenbeck series of rate 0.5 and spread 1 at irregular times, seen with noise of size 0.1."""
    rng, series = np.random.default_rng(seed), []
    for _ in range(n):
        gaps = rng.exponential(1.0, l) + 0.02
        keep, x = np.exp(-0.5 * gaps), np.empty(l)
        for k in range(l):
            x[k] = rng.normal() if k == 0 else keep[k] * x[k - 1] + np.sqrt(1 - keep[k] ** 2) * rng.normal()
        series.append((np.cumsum(gaps), x + 0.1 * rng.normal(size=l)))
    return Panel.from_series(series)


@pytest.fixture(scope="module")
def fitted() -> LatentSDEForecaster:
    return LatentSDEForecaster(4, d_state=2, epochs=60, batch_size=30, folds=0, random_state=0).fit(walks(60, 50, 0))


def test_intervals_of_new_series_cover_what_they_say(fitted):
    test = walks(150, 40, 1)
    place = np.arange(test.n_rows) % 40
    past, future = test.rows(place < 36), test.rows(place >= 36)
    ends = fitted.predict_interval(past, future, 0.9).values
    inside = (ends[:, :1] <= future.values) & (future.values <= ends[:, 1:])
    assert 0.85 < inside.mean() < 0.95
    paths = fitted.sample_paths(past, future, n=200, random_state=0)
    low, high = np.quantile(paths, [0.05, 0.95], axis=0)
    assert abs(((low <= future.values) & (future.values <= high)).mean() - inside.mean()) < 0.03


def test_series_left_out_widen_what_would_miss_new_series():
    # a large model of eight short series is too sure of the others
    train, test = walks(8, 14, 4), walks(150, 14, 5)
    place, shares = np.arange(test.n_rows) % 14, {}
    past, future = test.rows(place < 8), test.rows(place >= 8)
    for folds in (0, 4):
        model = LatentSDEForecaster(6, epochs=100, folds=folds, random_state=0).fit(train)
        ends = model.predict_interval(past, future, 0.9).values
        shares[folds] = ((ends[:, :1] <= future.values) & (future.values <= ends[:, 1:])).mean()
    assert shares[0] < 0.86
    assert shares[0] + 0.02 < shares[4] < 0.97


def test_calibration_asks_each_series_left_out_and_none_where_there_are_too_few():
    panel = walks(8, 20, 6)
    few = LatentSDEForecaster(2, d_state=2, width=8, epochs=1, random_state=0).fit(panel[:7])
    assert [len(truth) for truth in few.calibration_.truth] == [0]
    # a horizon by id names series that the parts do not have
    own = {id: panel[i].times[-1:] + 2.0 for i, id in enumerate(panel.ids.tolist())}
    model = LatentSDEForecaster(own, d_state=2, width=8, epochs=1, random_state=0).fit(panel)
    truth, lead = model.calibration_.truth[0], model.calibration_.lead[0]
    assert len(truth) >= 8 * 8 and len(truth) == len(lead) == len(model.calibration_.quantiles[0])
    assert (lead > 0).all() and np.isfinite(truth).all()


def test_the_history_has_both_parts_of_the_loss(fitted):
    terms = fitted.history_.terms
    assert len(terms["kl"]) == len(terms["likelihood"]) == len(fitted.history_.train)
    assert np.subtract(terms["kl"], terms["likelihood"]) == pytest.approx(fitted.history_.train, abs=1e-5)
    assert terms["kl"][-1] > 0.1


def test_the_noise_is_not_lost_in_training(fitted):
    # the spread of a settled state, by squared errors alone it would go to 0
    paths = fitted.sample_paths(walks(3, 20, 2), horizon=[100.0], n=2000, random_state=0)
    assert (abs(paths.std(0) - 1.0) < 0.25).all()


@pytest.mark.parametrize(
    ("arguments", "word"), [({"d_state": 0}, "d_state"), ({"width": 1}, "width"), ({"context": 1}, "context")]
)
def test_bad_parameters_are_named(arguments, word: str):
    with pytest.raises(ValueError, match=word):
        LatentSDEForecaster(**arguments).fit(walks(3, 5, 0))


def test_a_horizon_in_the_past_is_refused(fitted):
    with pytest.raises(ValueError, match="after the end of a series"):
        fitted.predict(walks(2, 20, 3), horizon=np.array([0.0]))
    with pytest.raises(ValueError, match="durations ahead must be positive"):
        fitted.sample_paths(walks(2, 20, 3), horizon=[-1.0])


def test_times_that_repeat_are_refused(fitted):
    with pytest.raises(ValueError, match="increase"):
        fitted.predict(Panel.from_series([(np.array([0.0, 1.0, 1.0]), np.zeros((3, 1)))]))
