"""Rotations as channels: quaternions and matrices in, the same out, and errors between them in degrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from tsssm.errors import explain

# matrices further from a rotation than this, by the entries of R'R, are no rounded rotations
SKEW = 0.01


@dataclass(frozen=True)
class RotationForm:
    """How rotations are written as numbers: quaternions in some order, or matrices row by row.

    Parameters
    ----------
    order : tuple of int, optional
        Which of the four columns x, y, z and w are; None for matrices, whose nine columns are r11, r12, r13, r21, ...

    Examples
    --------
    >>> form = RotationForm.of(["q_w", "q_x", "q_y", "q_z"])
    >>> form.matrices(np.array([[1.0, 0, 0, 0]]))[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """

    order: tuple[int, ...] | None = None

    @classmethod
    def of(cls, names: Sequence[str]) -> RotationForm:
        """Of columns with these names: nine are a matrix; four are a quaternion, whose names end in w, x, y and z.

        Raises
        ------
        ValueError
            Where the names tell neither.
        """
        if len(names) == 9:
            return cls()
        ends = [str(name)[-1:].lower() for name in names]
        if sorted(ends) != ["w", "x", "y", "z"]:
            must = (
                "a rotation must be nine columns of a matrix, or a quaternion in four whose names end in w, x, y and z"
            )
            do = "Rename them, so that the scalar part is known; arrays of matrices (..., 3, 3) need no names"
            raise ValueError(explain(must, f"the columns {', '.join(map(str, names)) or 'none'} came", do))
        return cls(tuple(ends.index(end) for end in "xyzw"))

    def matrices(self, columns: np.ndarray) -> np.ndarray:
        """Rotation matrices (m, 3, 3) of columns (m, 4) or (m, 9), NaN where any number is missing.

        Raises
        ------
        ValueError
            Where a quaternion is 0 or a matrix is no rotation.
        """
        columns = np.asarray(columns, dtype=np.float64)
        out = np.full((len(columns), 3, 3), np.nan)
        known = np.isfinite(columns).all(1)
        some, rows = columns[known], np.flatnonzero(known)
        if self.order is None:
            out[known] = some.reshape(-1, 3, 3)
            skew = np.abs(out[known].mT @ out[known] - np.eye(3)).max((1, 2), initial=0)
            bad = (skew > SKEW) | (np.linalg.det(out[known]) < 0)
            must, do = "matrices must be rotations", "Check rows and columns, or project them on rotations first"
        else:
            bad = np.linalg.norm(some, axis=1) < 1e-6
            must, do = "quaternions must not be 0", "Write NaN where the orientation is not known"
        if bad.any():
            row = rows[bad.argmax()]
            raise ValueError(explain(must, f"{np.round(columns[row], 4).tolist()} came at row {row}", do))
        if self.order is not None:
            out[known] = Rotation.from_quat(some[:, self.order]).as_matrix()
        return out

    def columns(self, matrices: np.ndarray) -> np.ndarray:
        """Columns (m, 4) or (m, 9) of the rotations nearest to matrices (m, 3, 3); quaternions with w >= 0."""
        known = np.isfinite(matrices).all((1, 2))
        out = np.full((len(matrices), 9 if self.order is None else 4), np.nan)
        near = nearest(matrices[known])
        if self.order is None:
            out[known] = near.reshape(-1, 9)
        else:
            place = np.argsort(self.order)
            out[known] = Rotation.from_matrix(near).as_quat(canonical=True)[:, place]
        return out


def nearest(matrices: np.ndarray) -> np.ndarray:
    """Rotations nearest to matrices (m, 3, 3) in squared distance; of a mean of rotations, their mean.

    Examples
    --------
    >>> nearest(np.diag([2.0, 3.0, 0.5])[None])[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    left, _, right = np.linalg.svd(matrices)
    sign = np.sign(np.linalg.det(left) * np.linalg.det(right))
    right[:, 2] *= sign[:, None]
    return left @ right


def rotation_errors(found: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Angles between rotations in degrees, as a whole and split into tilt and heading.

    With E = found truth' = (w, x, y, z) as a quaternion: rotation 2 acos(w), tilt 2 asin sqrt(x² + y²), the angle between
    the verticals, and heading 2 atan2(z, w), the turn about the vertical that is left, without its sign.

    Parameters
    ----------
    found, truth : ndarray, (m, 3, 3)
        Rotations from the body to the earth, whose third axis is vertical.

    Returns
    -------
    dict of ndarray, (m,)
        "rotation", "tilt" and "heading".

    References
    ----------
    Laidig et al., 2021, BROAD: A Benchmark for Robust Inertial Orientation Estimation, section 4.

    Examples
    --------
    >>> turned = Rotation.from_euler("z", 20, degrees=True).as_matrix()[None]
    >>> errors = rotation_errors(turned, np.eye(3)[None])
    >>> {name: round(float(error[0]), 6) for name, error in errors.items()}
    {'rotation': 20.0, 'tilt': 0.0, 'heading': 20.0}
    """
    x, y, z, w = Rotation.from_matrix(found @ truth.mT).as_quat().T
    upright, lying = np.hypot(z, w), np.hypot(x, y)
    # atan2 of both parts keeps small angles, which acos rounds off
    radians = {
        "rotation": 2 * np.arctan2(np.hypot(lying, z), np.abs(w)),
        "tilt": 2 * np.arctan2(lying, upright),
        "heading": 2 * np.arctan2(np.abs(z), np.abs(w)),
    }
    return {name: np.degrees(each) for name, each in radians.items()}
