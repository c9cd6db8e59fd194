"""Inputs in a better form: rotations and angles without a jump, changes beside values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from tsssm.data.panel import Panel, as_panel
from tsssm.data.rotations import RotationForm
from tsssm.errors import explain


class RotationEncoder(TransformerMixin, BaseEstimator):
    """Write rotations as two columns of their matrix, and angles as cosine and sine, so that nothing jumps at a full turn.

    Parameters
    ----------
    rotations : sequence of sequences of str
        Channels of each rotation: four of a quaternion, whose names end in w, x, y and z, or nine of a matrix, row by row.
    angles : mapping of str to float
        The length of a full turn of each channel that is an angle: 360, 2 pi, or 24 for the hour of the day.

    Raises
    ------
    ValueError
        Where channels are missing or hold no rotation.

    References
    ----------
    Zhou et al., 2019, On the Continuity of Rotation Representations in Neural Networks: with four numbers or fewer a
    representation of rotations jumps somewhere.

    Examples
    --------
    >>> panel = Panel.from_array([[[0.0], [90.0]]], channels=["wind"])
    >>> RotationEncoder(angles={"wind": 360}).fit_transform(panel).values.round(6).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, rotations: Sequence[Sequence[str]] = (), angles: Mapping[str, float] | None = None):
        self.rotations = rotations
        self.angles = angles

    def fit(self, X: Any, y: Any = None) -> RotationEncoder:
        """Check that the channels are there."""
        self.transform(X)
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Panel:
        """Give the panel with the new channels in place of the old ones, behind all others.

        A rotation "q_w", ... becomes "q_[11]" to "q_[32]", row and column of its matrix; an angle "wind" becomes
        "wind[cos]" and "wind[sin]". NaN stays NaN.
        """
        panel, angles = as_panel(X), dict(self.angles or {})
        used = [name for names in self.rotations for name in names] + list(angles)
        missing = [name for name in used if name not in panel.channels]
        if missing:
            do = f"The channels are {', '.join(panel.channels)}"
            raise ValueError(explain("encoded channels must be in X", f"{missing[0]!r} is not", do))
        rest = [name for name in panel.channels if name not in used]
        parts, channels = [panel.select(rest).values], list(rest)
        for names in self.rotations:
            matrices = RotationForm.of(names).matrices(panel.select(list(names)).values)
            parts.append(matrices[:, :, :2].transpose(0, 2, 1).reshape(-1, 6))
            stem = names[0][:-1] if len(names) == 4 else names[0]
            channels += [f"{stem}[{i}{j}]" for j in (1, 2) for i in (1, 2, 3)]
        for name, turn in angles.items():
            phase = 2 * np.pi * panel.select([name]).values / turn
            parts += [np.cos(phase), np.sin(phase)]
            channels += [f"{name}[cos]", f"{name}[sin]"]
        return panel.with_values(np.concatenate(parts, 1), channels=channels)


class Differences(TransformerMixin, BaseEstimator):
    """Put the change of each channel since its last value beside it.

    Examples
    --------
    >>> panel = Panel.from_array([[1.0, 4.0, np.nan, 9.0]])
    >>> Differences().fit_transform(panel).values[:, 1].tolist()
    [0.0, 3.0, nan, 5.0]
    """

    def fit(self, X: Any, y: Any = None) -> Differences:
        """Learn nothing."""
        as_panel(X)
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Panel:
        """Give the panel with channels "x[change]" behind its own, 0 for the first value of a series."""
        panel = as_panel(X)
        owner = np.repeat(np.arange(len(panel)), panel.lengths)
        change = np.full(panel.values.shape, np.nan)
        for j, column in enumerate(np.asarray(panel.values, dtype=np.float64).T):
            rows = np.flatnonzero(np.isfinite(column))
            same = np.diff(owner[rows]) == 0
            change[rows, j] = 0.0
            change[rows[1:][same], j] = np.diff(column[rows])[same]
        channels = [*panel.channels, *(f"{name}[change]" for name in panel.channels)]
        return panel.with_values(np.concatenate([panel.values, change], 1), channels=channels)
