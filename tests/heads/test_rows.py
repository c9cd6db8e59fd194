"""Row-by-row heads against SciPy, and what all of them keep."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from tsssm.data import Panel, Question, Scaling, Source
from tsssm.heads import Gaussian, Quantile, StudentT
from tsssm.heads.rows import LEVELS

KINDS = [Gaussian, Quantile, StudentT]


def batch_of(share: float):
    rng = np.random.default_rng(0)
    panel = Panel.from_array(rng.standard_normal((3, 5, 2)))
    hidden = rng.random((15, 2)) < share
    question = Question(np.arange(15), np.full(3, 5), np.arange(3), hidden, hidden)
    return Source(panel, Scaling.fit(panel), 1.0).batch(question).to("cpu", torch.float64)


def made(kind: type) -> torch.nn.Module:
    torch.manual_seed(0)
    return kind(4, 2).double()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_wanted_costs_nothing_and_still_has_a_gradient(kind: type):
    features = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    loss = made(kind).loss(features, batch_of(0.0))
    loss.backward()
    assert float(loss.detach()) == 0.0 and float(features.grad.abs().max()) == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_quantiles_increase(kind: type):
    features = 3 * torch.randn(3, 5, 4, dtype=torch.float64)
    quantiles = made(kind).predict(features, batch_of(0.5))["quantiles"].detach()
    assert quantiles.shape == (3, 5, 2, len(LEVELS))
    assert bool((quantiles.diff(dim=-1) > 0).all())


def test_pinball_loss_is_that_of_the_definition():
    head, batch = made(Quantile), batch_of(0.5)
    features = torch.randn(3, 5, 4, dtype=torch.float64)
    quantiles = head.predict(features, batch)["quantiles"].detach().numpy()[batch.wanted.numpy()]
    truth, losses = batch.target.numpy()[batch.wanted.numpy()], []
    for y, row in zip(truth, quantiles, strict=True):
        losses += [2 * (a * (y - q) if y >= q else (1 - a) * (q - y)) for a, q in zip(LEVELS, row, strict=True)]
    assert float(head.loss(features, batch).detach()) == pytest.approx(np.mean(losses), rel=1e-10)


def test_quantile_head_recovers_the_quantiles_of_a_sample():
    sample = torch.from_numpy(np.random.default_rng(0).gamma(2.0, size=(4000, 1)))
    head = made(Quantile)
    parameters = torch.zeros(1, len(LEVELS), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([parameters], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        head.losses(parameters, sample[:, 0]).mean().backward()
        optimizer.step()
    found = head.quantiles(parameters.detach())[0].numpy()
    np.testing.assert_allclose(found, np.quantile(sample.numpy(), LEVELS), atol=0.15)


def test_student_t_against_scipy():
    head = made(StudentT)
    parameters = torch.randn(50, 3, dtype=torch.float64)
    target = torch.randn(50, dtype=torch.float64) * 5
    mean, scale, freedom = (part.numpy() for part in head._parts(parameters))
    law = scipy.stats.t(freedom, mean, scale)
    np.testing.assert_allclose(head.losses(parameters, target).numpy(), -law.logpdf(target.numpy()), rtol=1e-10)
    expected = np.stack([law.ppf(level) for level in LEVELS], -1)
    np.testing.assert_allclose(head.quantiles(parameters).numpy(), expected, rtol=1e-8, atol=1e-8)


def test_gaussian_quantiles_against_scipy():
    answer = made(Gaussian).predict(torch.randn(3, 5, 4, dtype=torch.float64), batch_of(0.5))
    found = answer["quantiles"].detach().numpy()
    if "mean" in answer:
        mean, std = answer["mean"].detach().numpy(), answer["std"].detach().numpy()
    else:
        mean, z = found[..., LEVELS.index(0.5)], scipy.stats.norm.ppf(LEVELS[-1])
        std = (found[..., -1] - mean) / z
    np.testing.assert_allclose(
        found, mean[..., None] + std[..., None] * scipy.stats.norm.ppf(LEVELS), rtol=1e-9, atol=1e-9
    )
