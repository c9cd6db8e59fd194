"""Rotations from free numbers beside NumPy's QR and SciPy's fit of vectors; angles and slopes at the ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from tsssm.heads.rotations import REPRESENTATIONS, angle, from_nine, from_six

EXACT = {"rtol": 0, "atol": 1e-12}


def random(n: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(Rotation.random(n, rng=seed).as_matrix())


def test_six_numbers_are_the_first_columns_of_a_qr_decomposition():
    numbers = np.random.default_rng(0).normal(size=(50, 6))
    found = from_six(torch.from_numpy(numbers)).numpy()
    for row, matrix in zip(numbers, found, strict=True):
        q, r = np.linalg.qr(row.reshape(2, 3).T)
        np.testing.assert_allclose(matrix[:, :2], q * np.sign(np.diag(r)), **EXACT)
    assert np.linalg.det(found) == pytest.approx(1, abs=1e-12)
    # each column has a scale of its own that does not matter
    scaled = numbers * np.repeat([[3.0, 0.2]], 3, 1).reshape(1, 6)
    np.testing.assert_allclose(from_six(torch.from_numpy(scaled)).numpy(), found, **EXACT)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_nine_numbers_are_the_rotation_that_fits_their_columns_best(sign):
    numbers = np.random.default_rng(1).normal(size=(50, 3, 3))
    numbers *= (sign * np.sign(np.linalg.det(numbers)))[:, None, None]
    found = from_nine(torch.from_numpy(numbers.reshape(50, 9))).numpy()
    for matrix, rotation in zip(numbers, found, strict=True):
        best, _ = Rotation.align_vectors(matrix.T, np.eye(3))
        np.testing.assert_allclose(rotation, best.as_matrix(), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_rotations_come_back(name):
    identity, matrix = REPRESENTATIONS[name]
    truth = random(200)
    numbers = truth.mT.flatten(-2)[:, :6] if name == "6d" else truth.flatten(-2)
    torch.testing.assert_close(matrix(numbers), truth, **EXACT)
    torch.testing.assert_close(matrix(torch.tensor(identity, dtype=torch.float64)), torch.eye(3).double(), **EXACT)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_slopes_are_those_of_differences(name):
    identity, matrix = REPRESENTATIONS[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, len(identity), dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(matrix, x)
    # at the identity all singular values are equal
    x = torch.tensor(identity, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(matrix, x)


def test_a_full_turn_makes_no_jump():
    turn = Rotation.from_rotvec(np.linspace(0, 2 * np.pi, 2001)[:, None] * [0.0, 0.6, 0.8])
    six = turn.as_matrix()[:, :, :2].reshape(-1, 6)
    quaternion = turn.as_quat(canonical=True)
    assert np.linalg.norm(np.diff(six, axis=0), axis=1).max() < 0.005
    assert np.linalg.norm(np.diff(quaternion, axis=0), axis=1).max() > 1.9


def test_angles_are_those_of_scipy():
    a, b = random(500, 1), random(500, 2)
    truth = (Rotation.from_matrix(a.numpy()) * Rotation.from_matrix(b.numpy()).inv()).magnitude()
    # the guard of the roots moves an angle by up to 2e-7 / sin(angle)
    assert (np.abs(angle(a, b).numpy() - truth) < 1e-9 + 4e-7 / np.sin(truth)).all()


def test_slopes_of_the_angle_are_finite_where_those_of_arccos_are_not():
    half_turn = torch.diag(torch.tensor([1.0, -1.0, -1.0])).double()
    for end in (torch.eye(3).double(), half_turn):
        found = torch.eye(3, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(angle(found, end), found)
        assert bool(torch.isfinite(slope).all())
        (slope,) = torch.autograd.grad((((found * end).sum() - 1) / 2).arccos(), found)
        assert not bool(torch.isfinite(slope).all())


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_numbers_that_name_no_rotation_stay_finite(name):
    identity, matrix = REPRESENTATIONS[name]
    for numbers in (torch.zeros(len(identity)), torch.ones(len(identity))):
        x = numbers.double().requires_grad_()
        found = matrix(x)
        (slope,) = torch.autograd.grad(angle(found, random(1)[0]), x)
        assert bool(torch.isfinite(found).all()) and bool(torch.isfinite(slope).all())
