"""Rotations as channels, and errors between them, beside SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tsssm.data.rotations import RotationForm, nearest, rotation_errors

TURNS = Rotation.random(100, rng=0)


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["qw", "qx", "qy", "qz"], TURNS.as_quat(scalar_first=True)),
        (["q.x", "q.y", "q.z", "q.w"], -TURNS.as_quat()),
        (["Z", "W", "X", "Y"], 3 * TURNS.as_quat()[:, [2, 3, 0, 1]]),
        ([f"m{i}" for i in range(9)], TURNS.as_matrix().reshape(-1, 9)),
    ],
)
def test_columns_come_and_go(names, numbers):
    form = RotationForm.of(names)
    np.testing.assert_allclose(form.matrices(numbers), TURNS.as_matrix(), rtol=0, atol=1e-12)
    back = form.columns(TURNS.as_matrix())
    np.testing.assert_allclose(form.matrices(back), TURNS.as_matrix(), rtol=0, atol=1e-12)
    if len(names) == 4:
        w = [name[-1].lower() for name in names].index("w")
        assert (back[:, w] >= 0).all() and np.linalg.norm(back, axis=1) == pytest.approx(1)
        same = numbers * np.sign(numbers[:, [w]]) / np.linalg.norm(numbers, axis=1, keepdims=True)
        np.testing.assert_allclose(back, same, rtol=0, atol=1e-12)


def test_a_missing_number_makes_a_missing_rotation():
    numbers = TURNS.as_quat()
    numbers[3, 1] = np.nan
    form = RotationForm.of(["x", "y", "z", "w"])
    matrices = form.matrices(numbers)
    assert np.isnan(matrices[3]).all() and np.isfinite(np.delete(matrices, 3, 0)).all()
    assert np.isnan(form.columns(matrices)[3]).all()


@pytest.mark.parametrize(
    ("names", "row", "message"),
    [
        (["a", "b", "c", "d"], [0, 0, 0, 1], "whose names end in w, x, y and z"),
        (["x", "y"], [0, 1], "whose names end in w, x, y and z"),
        (["x", "y", "z", "w"], [0, 0, 0, 0], "must not be 0"),
        (list("abcdefghi"), [1, 0, 0, 0, 1, 0, 0, 0, -1], "must be rotations"),
        (list("abcdefghi"), [1, 0, 0, 0, 2, 0, 0, 0, 1], "must be rotations"),
    ],
)
def test_what_is_no_rotation_is_refused(names, row, message):
    with pytest.raises(ValueError, match=message):
        RotationForm.of(names).matrices(np.array([row], dtype=float))


def test_the_mean_of_rotations_is_that_of_scipy():
    near = Rotation.from_rotvec(0.3 * np.random.default_rng(0).normal(size=(20, 3)))
    mean = nearest(near.as_matrix().mean(0)[None])[0]
    np.testing.assert_allclose(mean, near.mean().as_matrix(), rtol=0, atol=1e-12)


def test_errors_split_into_tilt_and_heading():
    truth, other = TURNS, Rotation.random(100, rng=1)
    errors = rotation_errors(other.as_matrix(), truth.as_matrix())
    apart = other * truth.inv()
    np.testing.assert_allclose(errors["rotation"], np.degrees(apart.magnitude()), rtol=0, atol=1e-9)
    vertical = np.sum(other.inv().apply([0, 0, 1.0]) * truth.inv().apply([0, 0, 1.0]), 1)
    np.testing.assert_allclose(errors["tilt"], np.degrees(np.arccos(vertical)), rtol=0, atol=1e-6)
    # turning the answer back by its heading error leaves the tilt alone
    z, w = apart.as_quat().T[2:]
    turned = Rotation.from_rotvec(np.stack([0 * z, 0 * z, -2 * np.arctan2(z, w)], 1)) * other
    left = rotation_errors(turned.as_matrix(), truth.as_matrix())
    np.testing.assert_allclose(left["rotation"], errors["tilt"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(left["heading"], 0, rtol=0, atol=1e-6)


def test_small_errors_are_not_rounded_off():
    slight = Rotation.from_euler("zyx", [[1e-6, 0, 0], [0, 1e-6, 0]], degrees=True).as_matrix()
    errors = rotation_errors(slight, np.broadcast_to(np.eye(3), (2, 3, 3)))
    assert errors["heading"] == pytest.approx([1e-6, 0], abs=1e-12)
    assert errors["tilt"] == pytest.approx([0, 1e-6], abs=1e-12)
