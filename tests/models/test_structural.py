"""The structural model is the distribution it says it is, and its fit is that of statsmodels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.stats import multivariate_normal, multivariate_t
from statsmodels.tsa.statespace.sarimax import SARIMAX
from statsmodels.tsa.statespace.structural import UnobservedComponents

from tsssm.data import Batch, Panel, Scaling, Source
from tsssm.data.tasks import show_all
from tsssm.dynamics import Dense, process_noise
from tsssm.dynamics.kernels.pairs_loop import dense, noise
from tsssm.models.entries import entries_of
from tsssm.models.paths import sample_future
from tsssm.models.structural import Start, Structural
from tsssm.training import Training

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def start(channels: int = 1, **parts) -> Start:
    """A level, a slope, a drift and a cycle."""
    ones = np.ones(channels)
    plain = {
        "noise": 0.5 * ones, "level": 0.3 * ones, "slope": 0.2 * ones, "brake": 0.4 * ones, "first": 2.0 * ones,
        "center": 0.7 * ones, "size": np.tile([0.8, 1.2], (channels, 1)), "rate": np.tile([0.5, 0.1], (channels, 1)),
        "angle": np.tile([0.0, 0.9], (channels, 1)), "reach": np.tile([0.0, 0.1], (channels, 1)),
    }  # fmt: skip
    return Start(**(plain | parts))


def leaning(shared: bool = True, channels: int = 1) -> Structural:
    model = Structural(start(channels), shared)
    with torch.no_grad():
        model.lean.copy_(torch.linspace(-1, 2, model.lean.numel()))
        model.log_freedom.fill_(np.log(3.0))
    return model


def generator(model: Structural) -> tuple[torch.Tensor, torch.Tensor]:
    """Matrix and intensity of the noise of the equation of the docstring, for the first channel."""
    a, q, s = (model.log(name).exp()[0].item() for name in ("brake", "level", "slope"))
    rate, angle, size = model.log("rate").exp()[0], model.frequency()[0], (2 * model.log("size")).exp()[0]
    blocks, noises = [np.array([[0, 1], [0, -a]])], [np.diag([q**2, 2 * a * s**2])]
    lean = model.lean.view(2, 1, -1)[:, 0] * (angle > 0)
    for d, f, p, (u, v) in zip(rate.tolist(), angle.tolist(), size.tolist(), lean.T.tolist(), strict=True):
        u, v = np.array([u, v]) / np.sqrt(1 + u * u + v * v)
        blocks.append(np.array([[-d, -f], [f, -d]]))
        noises.append(2 * d * p * np.array([[1 + u, v], [v, 1 - u]]))
    return torch.tensor(scipy.linalg.block_diag(*blocks)), torch.tensor(scipy.linalg.block_diag(*noises))


@torch.no_grad()
@pytest.mark.parametrize("gap", [1e-6, 0.01, 0.7, 30.0])
def test_steps_are_those_of_the_equation(gap):
    model = leaning()
    A, Q = generator(model)
    F, N = model.steps(torch.tensor([gap], dtype=torch.float64), torch.zeros(1, dtype=torch.int64))
    np.testing.assert_allclose(dense(F)[0], scipy.linalg.expm(A.numpy() * gap), **EXACT)
    np.testing.assert_allclose(noise(N)[0], process_noise(Dense(A), Q, gap), rtol=1e-9, atol=1e-15)
    P = noise(model.settled())[0].numpy()
    # all but the level is settled
    np.testing.assert_allclose((A.numpy() @ P + P @ A.T.numpy() + Q.numpy())[1:, 1:], 0, atol=1e-12)


def joint(model: Structural, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the signal at increasing times, the first of which is where the series begins."""
    A, Q = generator(model)
    h = np.tile([1.0, 0.0], model.pairs)
    begin = noise(model.settled())[0].detach().numpy()
    at = [begin if t == times[0] else None for t in times]
    for i, t in enumerate(times[1:], 1):
        F = scipy.linalg.expm(A.numpy() * (t - times[0]))
        at[i] = F @ begin @ F.T + process_noise(Dense(A), Q, float(t - times[0])).numpy()
    cov = np.empty((len(times), len(times)))
    for i, t in enumerate(times):
        for j in range(i, len(times)):
            cov[i, j] = cov[j, i] = h @ scipy.linalg.expm(A.numpy() * (times[j] - t)) @ at[i] @ h
    return np.full(len(times), model.center[0].item()), cov


TIMES = np.array([0.0, 0.5, 0.75, 2.0, 4.5, 5.0, 9.0])
VALUES = np.array([1.0, 0.5, 0.0, 2.0, -1.0, -0.5, 1.5])
NO_SCALING = Scaling(np.zeros(1), np.ones(1), np.ones(1, bool), np.inf)


def source_of(*series: tuple[np.ndarray, np.ndarray]) -> Source:
    return Source(Panel.from_series([(t, x[:, None]) for t, x in series]), NO_SCALING, 1.0)


def asking(source: Source, wanted: np.ndarray) -> Batch:
    question = replace(show_all(source, np.arange(1)), wanted=wanted)
    return source.batch(question).to("cpu", torch.float64)


def test_the_loss_is_the_likelihood():
    source = source_of((TIMES, VALUES), (TIMES[:4], VALUES[3:]))
    batch = source.batch(show_all(source, np.arange(2)))
    totals = {True: 0.0, False: 0.0}
    for times, values in ((TIMES, VALUES), (TIMES[:4], VALUES[3:])):
        model = leaning()
        mean, cov = joint(model, times)
        cov = cov + np.exp(2 * model.log("noise").item()) * np.eye(len(times))
        totals[True] += multivariate_normal(mean, cov).logpdf(values[: len(times)])
        totals[False] += multivariate_t(mean, cov, df=3.0).logpdf(values[: len(times)])
    for shared, total in totals.items():
        assert leaning(shared).loss(batch).item() == pytest.approx(-total / 11, rel=1e-7)


@torch.no_grad()
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_answers_are_conditional_distributions(shared, whole):
    asked = np.array([0.25, 2.0, 4.75, 7.0, 12.0])
    every = np.union1d(TIMES, asked)
    values = np.full(len(every), np.nan)
    values[np.isin(every, TIMES)] = VALUES
    source, model = source_of((every, values)), leaning(shared)
    batch = asking(source, np.ones((len(every), 1), bool))
    found = model.predict(batch, whole)
    mean, cov = joint(model, every)
    r = np.exp(2 * model.log("noise").item())
    for k in range(len(every)):
        known = np.isfinite(values) & (whole | (every <= every[k]))
        gain = cov[k, known] @ np.linalg.inv(cov[np.ix_(known, known)] + r * np.eye(known.sum()))
        error = values[known] - mean[known]
        misfit = error @ np.linalg.solve(cov[np.ix_(known, known)] + r * np.eye(known.sum()), error)
        factor = 1.0 if shared else (3 + misfit) / (3 + known.sum())
        variance = cov[k, k] - gain @ cov[known, k]
        assert found["mean"][0, k, 0].item() == pytest.approx(mean[k] + gain @ error, abs=1e-6)
        assert found["inner"][0, k, 0].item() == pytest.approx(np.sqrt(factor * variance), rel=1e-6)
        assert found["outer"][0, k, 0].item() == pytest.approx(np.sqrt(factor * (variance + r)), rel=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("shared", [True, False])
def test_paths_are_drawn_from_the_joint_future(shared):
    ahead = np.array([10.0, 11.0, 15.0])
    every = np.concatenate([TIMES, ahead])
    source, model = source_of((every, np.append(VALUES, [np.nan] * 3))), leaning(shared)
    batch = asking(source, np.isin(every, ahead)[:, None])
    paths = sample_future(model, batch, 40_000, np.random.default_rng(0))[:, 0, 7:, 0].numpy()
    mean, cov = joint(model, every)
    cov = cov + np.exp(2 * model.log("noise").item()) * np.eye(10)
    gain = cov[7:, :7] @ np.linalg.inv(cov[:7, :7])
    error = VALUES - mean[:7]
    rest = cov[7:, 7:] - gain @ cov[:7, 7:]
    if not shared:
        rest = rest * (3 + error @ np.linalg.solve(cov[:7, :7], error)) / 8
    np.testing.assert_allclose(paths.mean(0), mean[7:] + gain @ error, atol=0.06)
    np.testing.assert_allclose(np.cov(paths.T), rest, rtol=0.06)


def fitted(model: Structural, values: np.ndarray, frozen: tuple[str, ...], epochs: int = 300) -> float:
    """Fit to one series on a regular grid by the training loop; gives the log-likelihood reached."""
    for name in frozen:
        getattr(model, name).requires_grad_(False)
    source = source_of((np.arange(float(len(values))), values))
    everything = (source, np.arange(1))
    Training(epochs, lr=0.1).run(model, show_all, everything, (source, np.arange(0)))
    batch = source.batch(show_all(source, np.arange(1)))
    return -model.loss(batch).item() * np.isfinite(values).sum()


NONE = np.exp(-12.0)


def test_the_fit_of_a_level_and_a_cycle_is_that_of_statsmodels():
    rng, n = np.random.default_rng(0), 200
    wave, x = np.zeros(n), np.zeros(2)
    turn = 0.95 * np.array([[np.cos(0.6), np.sin(0.6)], [-np.sin(0.6), np.cos(0.6)]])
    for k in range(n):
        x = turn @ x + 0.5 * rng.normal(size=2)
        wave[k] = x[0]
    values = np.cumsum(0.2 * rng.normal(size=n)) + wave + 0.4 * rng.normal(size=n)
    values[rng.random(n) < 0.2] = np.nan
    values[0] = 0.3
    truth = UnobservedComponents(
        values, level="llevel", cycle=True, stochastic_cycle=True, damped_cycle=True, cycle_period_bounds=(3, 30)
    )
    sigma, level, cycle, frequency, damping = truth.fit(disp=0, maxiter=500).params
    one = np.ones((1, 1))
    model = Structural(
        start(
            slope=np.array([NONE]), size=one, rate=0.1 * one, angle=0.5 * one, reach=0.1 * one, first=np.array([10.0])
        ),
        shared=True,
    )
    fitted(model, values, ("log_slope", "log_brake", "lean", "log_first", "center"))
    d = model.log("rate").exp().item()
    assert model.frequency().item() == pytest.approx(frequency, rel=0.02)
    assert np.exp(-d) == pytest.approx(damping, abs=0.01)
    assert model.log("noise").exp().item() == pytest.approx(np.sqrt(sigma), rel=0.05)
    assert model.log("level").exp().item() == pytest.approx(np.sqrt(level), rel=0.1)
    innovation = (2 * model.log("size")).exp().item() * -np.expm1(-2 * d)
    assert np.sqrt(innovation) == pytest.approx(np.sqrt(cycle), rel=0.05)


def test_the_fit_of_an_oscillator_is_an_arma_of_statsmodels():
    rng, n = np.random.default_rng(1), 300
    values = np.zeros(n + 100)
    for k in range(2, n + 100):
        values[k] = 1.4 * values[k - 1] - 0.7 * values[k - 2] + rng.normal()
    values = values[100:]
    values[rng.random(n) < 0.3] = np.nan
    values[0] = 0.5
    truth = SARIMAX(values, order=(2, 0, 1)).fit(disp=0)
    one, none = np.ones((1, 1)), np.array([NONE])
    model = Structural(
        start(
            noise=none,
            level=none,
            slope=none,
            first=none,
            center=0 * none,
            size=2 * one,
            rate=0.3 * one,
            angle=one,
            reach=0.1 * one,
        ),
        shared=True,
    )
    reached = fitted(model, values, ("log_noise", "log_level", "log_slope", "log_first", "center"))
    d, f = model.log("rate").exp().item(), model.frequency().item()
    assert reached == pytest.approx(truth.llf, abs=0.1)
    assert 2 * np.exp(-d) * np.cos(f) == pytest.approx(truth.params[0], abs=0.03)
    assert -np.exp(-2 * d) == pytest.approx(truth.params[1], abs=0.03)


def test_nothing_seen_and_nothing_asked():
    source = source_of((TIMES, np.full(7, np.nan)))
    batch = source.batch(show_all(source, np.arange(1)))
    assert entries_of(batch).y.numel() == 0
    assert leaning(False).loss(batch).item() == 0
