"""Rotations that come with the series of a panel, and answers in the form they came in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation
from sklearn.utils import check_array, check_consistent_length

from tsssm.data import Panel
from tsssm.data.frames import as_pandas
from tsssm.data.rotations import RotationForm
from tsssm.errors import explain

MATRIX = tuple(f"r{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3))
"""Names of the columns of matrices that came without any."""


class SeriesRotations(NamedTuple):
    """Columns (n, 4) or (n, 9), what they are, and the way back from such columns to the form they came in."""

    values: np.ndarray
    form: RotationForm
    back: Callable[[np.ndarray], Any]


def series_rotations(panel: Panel, y: Any) -> SeriesRotations:
    """Read one rotation a series: scipy's `Rotation`, matrices (n, 3, 3), or a table of a quaternion or of nine columns.

    Raises
    ------
    TypeError, ValueError
        Where y is none of these, does not fit the panel or holds no rotation.
    """
    if isinstance(y, list) and y and isinstance(y[0], Rotation):
        y = Rotation.concatenate(y)
    if isinstance(y, Rotation):
        found = SeriesRotations(np.atleast_2d(y.as_quat()), RotationForm((0, 1, 2, 3)), Rotation.from_quat)
    elif hasattr(y, "columns"):
        table = as_pandas(y)
        names = list(table.columns)
        values = table.to_numpy(np.float64)
        found = SeriesRotations(values, RotationForm.of(names), partial(pd.DataFrame, columns=names))
    else:
        y = check_array(y, ensure_2d=False, allow_nd=True, dtype=np.float64, input_name="y")
        if y.ndim != 3 or y.shape[1:] != (3, 3):
            must = "rotations must be matrices (n, 3, 3), scipy's Rotation, or a table with named columns"
            do = "Write quaternions as Rotation.from_quat(y, scalar_first=...), which says where the scalar part is"
            raise ValueError(explain(must, f"an array of shape {y.shape} came", do))
        found = SeriesRotations(y.reshape(-1, 9), RotationForm(), _stacked)
    check_consistent_length(panel, found.values)
    if not np.isfinite(found.values).all():
        row = int((~np.isfinite(found.values)).any(1).argmax())
        must, do = "each series must have a rotation", "Leave out the series whose rotation is not known"
        raise ValueError(explain(must, f"that of series {panel.ids[row]!r} is missing", do))
    return found


def _stacked(columns: np.ndarray) -> np.ndarray:
    return columns.reshape(-1, 3, 3)
