"""Information of latent paths beside closed forms and a naive loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conformance.kinds import packed, some_series
from tsssm.grid import Grid
from tsssm.models.information import (
    InformationRegularizer,
    covariance,
    gaussian_information,
    info_nce,
    von_neumann_entropy,
)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_entropy_is_that_of_the_spectrum():
    shares = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    assert float(von_neumann_entropy(torch.diag(7 * shares))) == pytest.approx(
        float(-(shares * shares.log()).sum()), 1e-6
    )
    assert float(von_neumann_entropy(torch.eye(5, dtype=torch.float64))) == pytest.approx(math.log(5), rel=1e-6)
    line = normal(4, 1)
    assert float(von_neumann_entropy(line @ line.mT)) < 1e-5
    z, turn = normal(50, 4), torch.linalg.qr(normal(4, 4)).Q
    torch.testing.assert_close(von_neumann_entropy(covariance(z)), von_neumann_entropy(covariance(3 * z @ turn)))
    torch.testing.assert_close(covariance(z), torch.from_numpy(np.cov(z.numpy().T)))


def naive(z: np.ndarray, times: list[np.ndarray], width: float, temperature: float) -> float:
    losses, first = [], 0
    for own in times:
        states = z[first : first + len(own)]
        first += len(own)
        unit = states / np.linalg.norm(states, axis=1, keepdims=True)
        for n in range(len(own)):
            likeness = np.exp(unit @ unit[n] / temperature)
            others = [m for m in range(len(own)) if m != n]
            near = [m for m in others if abs(own[m] - own[n]) <= width]
            if near and len(near) < len(others):
                losses.append(-math.log(likeness[near].sum() / likeness[others].sum()))
    return float(np.mean(losses))


def test_contrast_is_that_of_a_naive_loop_with_neighbours_in_time():
    torch.manual_seed(0)
    series = some_series([6, 4])
    grid, z = packed([series]), normal(1, 10, 3)
    times = [np.cumsum([gap for gap, _ in own]) for own in series]
    assert float(info_nce(z, grid, 1.0, 0.3)) == pytest.approx(naive(z[0].numpy(), times, 1.0, 0.3), rel=1e-9)


def test_contrast_of_constant_states_counts_rows():
    # in the middle of an even series two neighbours stand beside six others; at its ends one beside seven
    found = float(info_nce(torch.ones(1, 9, 2, dtype=torch.float64), Grid.regular(1, 9), 1.0, 0.1))
    assert found == pytest.approx((7 * math.log(8 / 2) + 2 * math.log(8)) / 9)
    assert float(info_nce(torch.ones(1, 2, 2), Grid.regular(1, 2), 1.0, 0.1)) == 0


def test_information_of_a_gaussian_step_is_that_of_its_correlation():
    turn = torch.tensor([[math.cos(0.4), -math.sin(0.4)], [math.sin(0.4), math.cos(0.4)]], dtype=torch.float64)
    eye, found = torch.eye(2, dtype=torch.float64), []
    for size in (0.3, 0.6, 0.9):
        K, noise = size * turn, (1 - size**2) * eye
        found.append(float(gaussian_information(K, eye, noise, steps=2)))
        # settled: two states of correlation size^2 each
        assert found[-1] == pytest.approx(-math.log(1 - size**4), rel=1e-9)
    assert found == sorted(found)
    rng = np.random.default_rng(0)
    x, e = rng.normal(size=(2, 200_000, 2))
    y = x @ (0.6 * turn.numpy()).T + 0.8 * e
    ratio = (
        -0.5 * (np.square(y - x @ (0.6 * turn.numpy()).T) / 0.64).sum(1) - 2 * math.log(0.8) + 0.5 * np.square(y).sum(1)
    )
    assert float(gaussian_information(0.6 * turn, eye, 0.64 * eye)) == pytest.approx(ratio.mean(), rel=0.02)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_entropy_is_rewarded(sign: int):
    torch.manual_seed(0)
    z = (normal(1, 40, 4) * torch.tensor([3.0, 0.3, 0.3, 0.3], dtype=torch.float64)).requires_grad_()
    before = float(von_neumann_entropy(covariance(z[0].detach())))
    loss = InformationRegularizer(alpha=0.0, gamma=sign * 1.0)(z, Grid.regular(1, 40))["entropy"]
    loss.backward()
    after = float(von_neumann_entropy(covariance((z - 0.5 * z.grad)[0].detach())))
    assert (after - before) * sign > 1e-4
