"""Encoders of inputs: rotations and angles without a jump, changes beside values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from tests.conformance.estimators import QUICK, ragged
from tsssm import Panel, SSMSequenceRegressor
from tsssm.data import Differences, RotationEncoder


def test_rotations_and_angles_are_replaced_and_others_stay():
    turns = Rotation.random(20, rng=0)
    names = ["load", "q_w", "q_x", "q_y", "q_z", "wind"]
    wind = np.random.default_rng(0).uniform(0, 360, 20)
    values = np.column_stack([np.arange(20.0), turns.as_quat(scalar_first=True), wind])
    values[4, 2] = values[5, 5] = np.nan
    panel = Panel.from_array(values[None], channels=names)
    encoder = RotationEncoder(rotations=[names[1:5]], angles={"wind": 360})
    found = clone(encoder).fit_transform(panel)
    columns = [f"q_[{i}{j}]" for j in (1, 2) for i in (1, 2, 3)]
    assert found.channels == ("load", *columns, "wind[cos]", "wind[sin]")
    known = np.arange(20) != 4
    np.testing.assert_allclose(found.values[known, 1:4], turns.as_matrix()[known, :, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.values[known, 4:7], turns.as_matrix()[known, :, 1], rtol=0, atol=1e-12)
    assert np.isnan(found.values[4, 1:7]).all() and np.isnan(found.values[5, 7:]).all()
    angle = np.degrees(np.arctan2(found.values[:, 8], found.values[:, 7])) % 360
    np.testing.assert_allclose(np.delete(angle, 5), np.delete(wind, 5))
    # q and -q are one rotation
    other = panel.with_values(np.where(np.isin(names, names[1:5]), -values, values))
    np.testing.assert_allclose(encoder.transform(other).values, found.values, rtol=0, atol=1e-12)


def test_channels_that_are_missing_are_named():
    with pytest.raises(ValueError, match=r"encoded channels must be in X; 'wind' is not"):
        RotationEncoder(angles={"wind": 360}).fit(ragged(2))


def test_changes_are_those_of_pandas():
    panel = ragged(5)
    found = Differences().fit_transform(panel)
    assert found.channels == ("x0", "x1", "x0[change]", "x1[change]")
    np.testing.assert_array_equal(found.values[:, :2], panel.values)
    owner = np.repeat(np.arange(len(panel)), panel.lengths)
    for j in (0, 1):
        column = pd.Series(panel.values[:, j])
        known = column.dropna()
        change = known.groupby(owner[known.index]).diff().fillna(0.0).reindex(column.index)
        np.testing.assert_allclose(found.values[:, 2 + j], change, rtol=0, atol=1e-12)


def test_they_stand_in_front_of_an_estimator():
    panel = ragged(12)
    target = panel.with_values(np.nan_to_num(panel.values[:, :1]), channels=["y"])
    encoder = RotationEncoder(angles={"x1": 2 * np.pi})
    model = make_pipeline(Differences(), encoder, SSMSequenceRegressor(**QUICK)).fit(panel, target)
    assert model[-1].channels_ == ("x0", "x0[change]", "x1[change]", "x1[cos]", "x1[sin]")
    assert np.isfinite(model.predict(panel).values).all()
