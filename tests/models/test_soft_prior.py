"""The soft prior and its linear map beside scipy, NumPy and torch's distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import lstsq
from torch import Tensor

from tests.conformance.kinds import packed, some_series
from tsssm.models.latent_prior import Known, Noise
from tsssm.models.operator import fit_operator, generator_of, prediction_error, unit_circle_error
from tsssm.models.soft_prior import SoftPrior, _law


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def nothing(series: int) -> Known:
    return Known(torch.zeros(series), torch.zeros(series, 0))


def rotation(angle: float, size: float = 1.0) -> Tensor:
    c, s = size * math.cos(angle), size * math.sin(angle)
    return torch.tensor([[c, s], [-s, c]], dtype=torch.float64)


def test_the_map_is_that_of_least_squares():
    torch.manual_seed(0)
    past, future = normal(30, 4), normal(30, 4)
    torch.testing.assert_close(
        fit_operator(past, future, ridge=0.0), torch.from_numpy(lstsq(past.numpy(), future.numpy())[0])
    )
    # a ridge is rows more
    ridge = 0.1
    weight = math.sqrt(ridge * float((past**2).sum()) / 4)
    more = np.concatenate([past.numpy(), weight * np.eye(4)]), np.concatenate([future.numpy(), np.zeros((4, 4))])
    torch.testing.assert_close(fit_operator(past, future, ridge), torch.from_numpy(lstsq(*more)[0]))


def test_linear_data_give_their_map_and_no_error_of_prediction():
    torch.manual_seed(0)
    A0 = torch.block_diag(rotation(0.7, 0.95), rotation(0.2))
    past = normal(50, 4)
    A = fit_operator(past, past @ A0, ridge=0.0)
    torch.testing.assert_close(A, A0, rtol=1e-10, atol=1e-10)
    assert float(prediction_error(past, past @ A0, A)) < 1e-20
    noise = normal(50, 4)
    truth = np.mean((past @ A0 - noise).numpy() ** 2) / np.mean(noise.numpy() ** 2)
    assert float(prediction_error(past, noise, A0)) == pytest.approx(truth)


def test_collapsed_columns_do_not_break_the_map():
    past = normal(20, 3)
    past[:, 2] = 0
    assert torch.isfinite(fit_operator(past, past)).all()
    assert torch.isfinite(fit_operator(0 * past, 0 * past)).all()


def test_the_unit_circle_draws_eigenvalues_and_repeated_ones_have_a_gradient():
    turned = torch.block_diag(rotation(0.7), rotation(0.2))
    assert float(unit_circle_error(turned)) == pytest.approx(0, abs=1e-20)
    A = torch.block_diag(rotation(0.7, 0.8), rotation(0.2, 0.5)).requires_grad_()
    assert unit_circle_error(A).item() == pytest.approx((2 * 0.2**2 + 2 * 0.5**2) / 4)
    assert unit_circle_error(A, 2).item() == pytest.approx(0.2**2)
    unit_circle_error(A).backward()
    after = torch.linalg.eigvals(A.detach() - 0.1 * A.grad).abs().sort().values
    assert (after > torch.tensor([0.5, 0.5, 0.8, 0.8])).all()
    same = (0.5 * torch.eye(3, dtype=torch.float64)).requires_grad_()
    unit_circle_error(same).backward()
    assert torch.isfinite(same.grad).all() and same.grad[0, 0].item() < 0


def test_rates_are_the_logarithm_of_the_map():
    found = generator_of(rotation(0.7, math.exp(-0.3)), dt=0.5)
    assert sorted(found.imag.tolist()) == pytest.approx([-1.4, 1.4])
    assert found.real.tolist() == pytest.approx([-0.6, -0.6])


def test_divergence_is_that_of_torch_distributions():
    torch.manual_seed(0)
    grid = packed([some_series([4, 3])])
    prior = SoftPrior(2, 5, 0, 6).double().eval()
    features, noise = normal(1, 7, 5), Noise.like(grid, 2, torch.float64)
    drawn = prior.drawn(features, grid, nothing(2), noise)
    center, log_spread = _law(prior.posterior(features))
    _, own, own_log = prior.run(noise.rows, grid, nothing(2))
    normals = torch.distributions.Normal
    each = torch.distributions.kl_divergence(normals(center, log_spread.exp()), normals(own, own_log.exp())).sum(-1)
    torch.testing.assert_close(drawn.kl, torch.stack([each[0, :4].sum(), each[0, 4:].sum()]))
    torch.testing.assert_close(drawn.z, center + log_spread.exp() * noise.rows)


def test_series_do_not_see_each_other_and_silent_rows_leave_no_trace():
    torch.manual_seed(0)
    prior, noise = SoftPrior(2, 5, 0, 6).double(), normal(1, 5, 2)
    gaps = [(1.0, True), (0.4, False), (0.6, True)]
    both = prior.run(noise, packed([[gaps, [(1.0, True), (0.5, True)]]]), nothing(2))[0]
    alone = prior.run(noise[:, [0, 2]], packed([[[(1.0, True), (1.0, True)]]]), nothing(1))[0]
    second = prior.run(noise[:, 3:], packed([[[(1.0, True), (0.5, True)]]]), nothing(1))[0]
    torch.testing.assert_close(both[:, [0, 2]], alone)
    torch.testing.assert_close(both[:, 3:], second)
