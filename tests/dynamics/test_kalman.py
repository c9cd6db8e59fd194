"""Kalman filter and smoother: quadrature, a filter by hand, statsmodels and joint normal distributions say what is true."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.integrate import quad_vec
from scipy.stats import multivariate_normal
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother
from torch import Tensor
from torch.autograd import gradcheck

from tsssm.dynamics import (
    DPLR,
    Belief,
    Dense,
    Diagonal,
    GaussianSystem,
    StateMatrix,
    kalman_filter,
    process_noise,
    smooth,
    stationary_covariance,
)

EXACT = {"rtol": 1e-9, "atol": 1e-9}


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def positive(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    root = torch.randn(n, n, dtype=dtype)
    return root @ root.mH / n + 0.1 * torch.eye(n)


def matrix(kind: str, n: int = 3) -> StateMatrix:
    if kind == "diagonal":
        return Diagonal(torch.complex(-torch.rand(n).double() - 0.1, torch.randn(n).double()))
    if kind == "dplr":
        return DPLR(-torch.rand(n).double() - 1.0, 0.3 * torch.randn(n, 1).double(), 0.3 * torch.randn(n, 1).double())
    return Dense(0.5 * torch.randn(n, n).double() - 1.5 * torch.eye(n).double())


every_kind = pytest.mark.parametrize("kind", ["diagonal", "dplr", "dense"])


@every_kind
@pytest.mark.parametrize("dt", [0.0, 0.03, 1.0, 40.0])
def test_process_noise_is_the_integral(kind, dt):
    A = matrix(kind)
    Q = positive(3, A.dtype)
    entries, intensity = A.dense().numpy(), Q.numpy()

    def grown(s):
        F = scipy.linalg.expm(s * entries)
        return F @ intensity @ F.conj().T

    truth = quad_vec(grown, 0, dt, epsabs=1e-12, epsrel=1e-12, limit=2000)[0]
    np.testing.assert_allclose(process_noise(A, Q, dt).numpy(), truth, **EXACT)


@every_kind
def test_noise_settles_and_two_gaps_make_one(kind):
    A = matrix(kind)
    Q = positive(3, A.dtype)
    settled = stationary_covariance(A, Q)
    truth = scipy.linalg.solve_continuous_lyapunov(A.dense().numpy(), -Q.numpy())
    np.testing.assert_allclose(settled.numpy(), truth, **EXACT)
    gaps = torch.tensor([[0.3, 1e6], [1.1, 1.4]], dtype=torch.float64)
    W, F = process_noise(A, Q, gaps), A.exp(0.3).dense()
    torch.testing.assert_close(W[0, 1], settled, **EXACT)
    F = A.exp(1.1).dense()
    torch.testing.assert_close(W[1, 0] + F @ W[0, 0] @ F.mH, W[1, 1], **EXACT)


def test_a_diagonal_matrix_is_a_dense_one():
    rates = -torch.rand(2, 3, dtype=torch.float64)
    Q, gaps = torch.stack([positive(3), positive(3)]), torch.rand(5, 2, dtype=torch.float64) * 20
    torch.testing.assert_close(
        process_noise(Diagonal(rates), Q, gaps), process_noise(Dense(torch.diag_embed(rates)), Q, gaps), **EXACT
    )


def test_noise_of_an_unstable_matrix_keeps_its_gradient():
    A = torch.tensor([[0.5, 1.0], [0.0, 0.2]], dtype=torch.float64, requires_grad=True)
    gaps = torch.tensor([0.1, 30.0, 900.0], dtype=torch.float64)
    process_noise(Dense(A), positive(2), gaps)[:2].sum().backward()
    assert bool(torch.isfinite(A.grad).all())


@pytest.mark.parametrize("kind", ["diagonal", "dense"])
def test_gradients_of_the_noise(kind):
    A, Q = matrix(kind), positive(3)
    weights = A.eigenvalues if isinstance(A, Diagonal) else A.dense()
    gaps = torch.tensor([0.0, 0.4, 7.0], dtype=torch.float64)

    def run(weights, Q, gaps):
        A = Diagonal(weights) if kind == "diagonal" else Dense(weights)
        return process_noise(A, Q, gaps), stationary_covariance(A, Q)

    assert gradcheck(run, [part.clone().requires_grad_() for part in (weights, Q, gaps)])


def test_nothing_settles_without_decay():
    with pytest.raises(ValueError, match=r"must be stable.*0.3"):
        stationary_covariance(Dense(torch.diag(torch.tensor([-1.0, 0.3]))), torch.eye(2))


def test_an_ornstein_uhlenbeck_process_by_hand():
    theta, sigma, noise = 0.7, 1.3, 0.4
    gaps = np.array([1.0, 0.2, 3.0, 0.0, 0.5, 11.0])
    y = np.array([0.3, -1.0, np.nan, 0.8, 2.0, 0.1])
    mean, var, total, means, variances = 0.0, sigma**2 / (2 * theta), 0.0, [], []
    for gap, value in zip(gaps, y, strict=True):
        decay = np.exp(-theta * gap)
        mean, var = decay * mean, decay**2 * var + sigma**2 * (1 - decay**2) / (2 * theta)
        if np.isfinite(value):
            spread = var + noise
            total -= 0.5 * (np.log(2 * np.pi * spread) + (value - mean) ** 2 / spread)
            mean, var = mean + var / spread * (value - mean), var * noise / spread
        means.append(mean)
        variances.append(var)
    for kind in (lambda rates: Diagonal(rates), lambda rates: Dense(torch.diag(rates))):
        one = torch.ones(1, 1, dtype=torch.float64)
        system = GaussianSystem(kind(-theta * one[0]), sigma**2 * one, one, noise * one)
        found = kalman_filter(system, torch.tensor(gaps)[None], torch.tensor(y)[None, :, None])
        np.testing.assert_allclose(found.now.mean.flatten(), means, **EXACT)
        np.testing.assert_allclose(found.now.cov.flatten(), variances, **EXACT)
        np.testing.assert_allclose(found.log_likelihood, total, **EXACT)


def by_statsmodels(F: np.ndarray, W: np.ndarray, system: GaussianSystem, y: np.ndarray, start: Belief):
    """Smoother of statsmodels on given steps; its state at the first row is the one before anything was seen."""
    l, p = y.shape
    model = KalmanSmoother(k_endog=p, k_states=F.shape[-1])
    model.bind(np.asfortranarray(y.T))
    model["design"], model["obs_cov"] = system.C.numpy(), system.R.numpy()
    model["selection"] = np.eye(F.shape[-1])
    # what moves a row on lies on the row before
    behind = [*range(1, l), l - 1]
    model["transition"], model["state_cov"] = F[behind].transpose(1, 2, 0).copy(), W[behind].transpose(1, 2, 0).copy()
    model.initialize_known(start.mean.numpy(), start.cov.numpy())
    return model.smooth()


def check_against_statsmodels(system: GaussianSystem, dt: Tensor, y: Tensor, F, W, start: Belief):
    found = kalman_filter(system, dt, y, start=start)
    past = smooth(system, dt, found)
    for i in range(len(y)):
        truth = by_statsmodels(F[i], W[i], system, y[i].numpy(), start)
        pairs = [
            (found.now.mean[i], truth.filtered_state.T),
            (found.now.cov[i], truth.filtered_state_cov.transpose(2, 0, 1)),
            (found.ahead.mean[i], truth.predicted_state.T[:-1]),
            (found.ahead.cov[i], truth.predicted_state_cov.transpose(2, 0, 1)[:-1]),
            (past.mean[i], truth.smoothed_state.T),
            (past.cov[i], truth.smoothed_state_cov.transpose(2, 0, 1)),
            (found.log_likelihood[i], truth.llf),
        ]
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours, theirs, **EXACT)


def test_local_linear_trend_is_that_of_statsmodels():
    b, l = 3, 40
    level, slope = 0.3, 0.05
    dt = torch.rand(b, l, dtype=torch.float64) * 3
    dt[:, 0], dt[1, 7] = 0.0, 0.0
    d = dt.numpy()[..., None, None]
    # a walk whose slope walks, integrated by hand
    F = np.eye(2) + d * np.array([[0.0, 1.0], [0.0, 0.0]])
    W = np.concatenate(
        [
            np.concatenate([level * d + slope * d**3 / 3, slope * d**2 / 2], -1),
            np.concatenate([slope * d**2 / 2, slope * d], -1),
        ],
        -2,
    )
    y = torch.randn(b, l, 2, dtype=torch.float64).cumsum(1)
    y[torch.rand(b, l, 2) < 0.3] = torch.nan
    y[:, 5] = torch.nan
    system = GaussianSystem(
        Dense(torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=torch.float64)),
        torch.diag(torch.tensor([level, slope], dtype=torch.float64)),
        torch.tensor([[1.0, 0.0], [0.4, -0.7]], dtype=torch.float64),
        torch.tensor([[0.5, 0.2], [0.2, 0.7]], dtype=torch.float64),
    )
    start = Belief(torch.tensor([0.5, -0.1], dtype=torch.float64), 4 * torch.eye(2, dtype=torch.float64))
    check_against_statsmodels(system, dt, y, F, W, start)


def autoregression() -> tuple[GaussianSystem, np.ndarray, np.ndarray]:
    """An AR(2) with complex roots, and the continuous system of which it is every row of a regular grid."""
    F, W = np.array([[1.2, -0.6], [1.0, 0.0]]), np.diag([1.0, 0.0])
    A = scipy.linalg.logm(F).real
    # the intensity whose integral over one gap is W
    eye = np.eye(2)
    both = np.kron(A, eye) + np.kron(eye, A)
    integral = np.linalg.solve(both, scipy.linalg.expm(both) - np.eye(4))
    Q = np.linalg.solve(integral, W.ravel()).reshape(2, 2)
    one = torch.ones(1, 1, dtype=torch.float64)
    return (
        GaussianSystem(Dense(torch.tensor(A)), torch.tensor(Q), 0.5 * one.expand(1, 2) + torch.eye(2)[:1], 0.2 * one),
        F,
        W,
    )


def test_autoregression_with_missing_rows_is_that_of_statsmodels():
    system, F, W = autoregression()
    l = 50
    kept = np.r_[0, 1 + np.flatnonzero(np.random.default_rng(0).random(l - 1) < 0.5)]
    full = torch.randn(l, 1, dtype=torch.float64)
    full[np.setdiff1d(np.arange(l), kept)] = torch.nan
    start = Belief(torch.zeros(2, dtype=torch.float64), system.settled().cov)
    np.testing.assert_allclose(start.cov, scipy.linalg.solve_discrete_lyapunov(F, W), **EXACT)
    truth = by_statsmodels(np.tile(F, (l, 1, 1)), np.tile(W, (l, 1, 1)), system, full.numpy(), start)
    # the same in continuous time, where missing rows are not even there
    dt = torch.tensor(np.diff(kept, prepend=0.0))[None]
    found = kalman_filter(system, dt, full[None, kept])
    past = smooth(system, dt, found)
    np.testing.assert_allclose(found.now.mean[0], truth.filtered_state.T[kept], **EXACT)
    np.testing.assert_allclose(found.now.cov[0], truth.filtered_state_cov.transpose(2, 0, 1)[kept], **EXACT)
    np.testing.assert_allclose(past.mean[0], truth.smoothed_state.T[kept], **EXACT)
    np.testing.assert_allclose(past.cov[0], truth.smoothed_state_cov.transpose(2, 0, 1)[kept], **EXACT)
    np.testing.assert_allclose(found.log_likelihood, truth.llf, **EXACT)


def oscillator() -> tuple[GaussianSystem, GaussianSystem]:
    """One real system as it is, and by its complex modes."""
    system, _, _ = autoregression()
    entries = system.A.dense() - 0.1 * torch.eye(2)
    rates, V = torch.linalg.eig(entries)
    back = torch.linalg.inv(V)
    Q = positive(2)
    real = GaussianSystem(Dense(entries), Q, system.C, system.R)
    return real, GaussianSystem(Diagonal(rates), back @ Q.to(V.dtype) @ back.mH, system.C.to(V.dtype) @ V, system.R)


def test_complex_modes_see_the_same():
    dt = torch.rand(2, 12, dtype=torch.float64) * 4
    y = torch.randn(2, 12, 1, dtype=torch.float64)
    y[0, 3:6] = torch.nan
    answers = []
    for system in oscillator():
        found = kalman_filter(system, dt, y)
        answers.append([found.log_likelihood, *system.observed(found.now), *system.observed(smooth(system, dt, found))])
    for real, modal in zip(*answers, strict=True):
        torch.testing.assert_close(modal, real, **EXACT)


def test_everything_is_one_normal_distribution():
    real, _ = oscillator()
    times = torch.tensor([0.0, 0.4, 0.4, 2.0, 7.0], dtype=torch.float64)
    dt = torch.diff(times, prepend=times[:1])[None]
    y, u = torch.randn(1, 5, 1, dtype=torch.float64), torch.randn(1, 5, 3, dtype=torch.float64)
    D = torch.randn(1, 3, dtype=torch.float64)
    system = GaussianSystem(real.A, real.Q, real.C, real.R, D)
    settled = system.settled().cov.numpy()
    later = [
        [scipy.linalg.expm(max(s - t, 0) * real.A.dense().numpy()) for t in times.tolist()] for s in times.tolist()
    ]
    joint = np.block([[later[i][j] @ settled @ later[j][i].T for j in range(5)] for i in range(5)])
    seen = np.kron(np.eye(5), real.C.numpy())
    cov = seen @ joint @ seen.T + float(real.R) * np.eye(5)
    values = (y - u @ D.T).flatten().numpy()
    found = kalman_filter(system, dt, y, u)
    np.testing.assert_allclose(found.log_likelihood, multivariate_normal(cov=cov).logpdf(values), **EXACT)
    gain = joint @ seen.T @ np.linalg.inv(cov)
    past = smooth(system, dt, found)
    np.testing.assert_allclose(past.mean.flatten(), gain @ values, **EXACT)
    rest = (joint - gain @ seen @ joint).reshape(5, 2, 5, 2)
    np.testing.assert_allclose(past.cov[0], rest[range(5), :, range(5)], **EXACT)


def test_pieces_are_the_whole_and_rows_that_ask_change_nothing():
    system, _ = oscillator()
    dt, y = torch.rand(2, 9, dtype=torch.float64), torch.randn(2, 9, 1, dtype=torch.float64)
    y[:, 4] = torch.nan
    whole = kalman_filter(system, dt, y)
    first = kalman_filter(system, dt[:, :5], y[:, :5])
    second = kalman_filter(system, dt[:, 5:], y[:, 5:], start=first.end)
    torch.testing.assert_close(second.now.cov, whole.now.cov[:, 5:])
    torch.testing.assert_close(second.now.mean, whole.now.mean[:, 5:])
    torch.testing.assert_close(first.log_likelihood + second.log_likelihood, whole.log_likelihood)
    # without the row that asks, and with padding behind
    gaps = torch.cat([dt[:, :4], dt[:, 4:5] + dt[:, 5:6], dt[:, 6:], torch.zeros(2, 1)], 1)
    kept = torch.cat([y[:, :4], y[:, 5:], torch.full((2, 1, 1), torch.nan)], 1)
    less = kalman_filter(system, gaps, kept)
    torch.testing.assert_close(less.now.mean[:, 4:8], whole.now.mean[:, 5:], **EXACT)
    torch.testing.assert_close(smooth(system, gaps, less).cov[:, 4:8], smooth(system, dt, whole).cov[:, 5:], **EXACT)


def test_systems_of_channels_run_side_by_side():
    rates = -torch.rand(3, 2, dtype=torch.float64)
    Q, C = torch.stack([positive(2) for _ in range(3)]), torch.randn(3, 1, 2, dtype=torch.float64)
    R = torch.rand(3, 1, 1, dtype=torch.float64)
    dt, y = torch.rand(2, 6, dtype=torch.float64), torch.randn(2, 6, 3, 1, dtype=torch.float64)
    system = GaussianSystem(Diagonal(rates), Q, C, R)
    together = kalman_filter(system, dt, y)
    for i in range(3):
        alone = GaussianSystem(Diagonal(rates[i]), Q[i], C[i], R[i])
        found = kalman_filter(alone, dt, y[:, :, i])
        torch.testing.assert_close(together.log_likelihood[:, i], found.log_likelihood)
        torch.testing.assert_close(smooth(system, dt, together).cov[:, :, i], smooth(alone, dt, found).cov)


def test_covariances_stay_positive_where_numbers_are_far_apart():
    # a smooth curve, nearly free of noise, from next to no knowledge: the plain form P - K C P fails here
    A = Dense(torch.diag(torch.ones(2, dtype=torch.float64), 1))
    Q = torch.diag(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    one = torch.ones(1, 1, dtype=torch.float64)
    system = GaussianSystem(A, Q, torch.eye(3, dtype=torch.float64)[:1], 1e-8 * one)
    dt = torch.full((1, 300), 0.01, dtype=torch.float64)
    start = Belief(torch.zeros(3, dtype=torch.float64), 1e6 * torch.eye(3, dtype=torch.float64))
    found = kalman_filter(system, dt, dt.cumsum(1).sin().unsqueeze(-1), start=start)
    past = smooth(system, dt, found)
    assert float(torch.linalg.eigvalsh(past.cov).min()) > 0
    assert float(torch.linalg.eigvalsh(found.now.cov).min()) > 0
    assert float((past.mean[0, 50:, 1] - dt.cumsum(1)[0, 50:].cos()).abs().max()) < 1e-2


def test_gradients_of_likelihood_and_smoother():
    dt, y = torch.rand(1, 4, dtype=torch.float64), torch.randn(1, 4, 2, dtype=torch.float64)
    y[0, 1, 0] = torch.nan

    def run(A, Q, C, R, dt):
        system = GaussianSystem(Dense(A), Q, C, R)
        found = kalman_filter(system, dt, y)
        return found.log_likelihood, *smooth(system, dt, found)

    parts = [matrix("dense", 2).dense(), positive(2), torch.randn(2, 2).double(), positive(2), dt]
    # A covariance is read as symmetric, so only such changes count
    inputs = [part.clone().requires_grad_() for part in parts]
    assert gradcheck(lambda A, Q, C, R, dt: run(A, Q + Q.mT, C, R + R.mT, dt), inputs, fast_mode=True)


def test_the_likelihood_finds_the_time_scale():
    theta, b, l = 0.5, 30, 50
    rng = np.random.default_rng(1)
    gaps, x, values = rng.exponential(1.0, (b, l)), rng.normal(size=b), np.empty((b, l, 1))
    for k in range(l):
        decay = np.exp(-theta * gaps[:, k])
        x = decay * x + np.sqrt(1 - decay**2) * rng.normal(size=b)
        values[:, k, 0] = x + 0.3 * rng.normal(size=b)
    dt, y = torch.tensor(gaps), torch.tensor(values)
    logs = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([logs], max_iter=12, line_search_fn="strong_wolfe")

    def loss():
        search.zero_grad()
        rate, q, r = logs.exp()
        one = torch.ones(1, 1, dtype=torch.float64)
        value = -kalman_filter(
            GaussianSystem(Diagonal(-rate[None]), q * one, one, r * one), dt, y
        ).log_likelihood.mean()
        (value / l).backward()
        return value / l

    search.step(loss)
    rate, q, r = logs.detach().exp().tolist()
    assert rate == pytest.approx(theta, rel=0.2)
    assert q == pytest.approx(2 * theta, rel=0.2) and r == pytest.approx(0.09, rel=0.4)


def test_what_is_known_for_sure_cannot_be_smoothed():
    one = torch.ones(1, 1)
    system = GaussianSystem(Diagonal(-one[0]), 0 * one, one, one)
    dt, y = torch.ones(1, 3), torch.ones(1, 3, 1)
    found = kalman_filter(system, dt, y, start=Belief(torch.zeros(1), 0 * one))
    with pytest.raises(ValueError, match="row 2 is singular"):
        smooth(system, dt, found)
