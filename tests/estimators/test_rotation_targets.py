"""Rotations as targets of regressors: every form in and out, streams, members, errors, and what is refused."""

from __future__ import annotations

import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from tests.conformance.estimators import QUICK
from tsssm import Panel, SSMRegressor, SSMSequenceRegressor, export
from tsssm.data.rotations import rotation_errors

QUATERNION = ("q_w", "q_x", "q_y", "q_z")
FIELD = np.array([0.6, 0.0, -0.8])


def bodies(n: int, length: int = 30, seed: int = 0) -> tuple[Panel, list[Rotation]]:
    """Bodies that turn at random: at irregular times what they feel of gravity and of a magnetic field, and their rotation."""
    rng, series, turns = np.random.default_rng(seed), [], []
    for start in Rotation.random(n, rng=rng):
        times = np.cumsum(rng.exponential(1, length))
        turn = Rotation.from_rotvec(np.cumsum(0.2 * rng.normal(size=(length, 3)), 0)) * start
        felt = [turn.inv().apply(vector) for vector in ([0, 0, 1.0], FIELD)]
        series.append((times, np.concatenate(felt, 1)))
        turns.append(turn)
    return Panel.from_series(series), turns


def quaternions(panel: Panel, turns: list[Rotation]) -> Panel:
    return panel.with_values(Rotation.concatenate(turns).as_quat(scalar_first=True), channels=QUATERNION)


@cache
def fitted(representation: str = "6d") -> SSMSequenceRegressor:
    panel, turns = bodies(20)
    settings = {**QUICK, "members": 2}
    return SSMSequenceRegressor(rotation=representation, **settings).fit(panel, quaternions(panel, turns))


@pytest.mark.parametrize("representation", ["6d", "9d"])
def test_the_orientation_of_a_body_is_learnt(representation):
    panel, turns = bodies(80)
    target = quaternions(panel, turns)
    est = SSMSequenceRegressor(
        rotation=representation, d_model=32, depth=1, dropout=0.0, epochs=30, batch_size=8, lr=0.01, random_state=0
    )
    est.fit(panel[:60], target[:60])
    errors = est.errors(panel[60:], target[60:])
    assert errors.loc["rotation", "median"] < 12 and errors.loc["tilt", "median"] < 8
    assert est.score(panel[60:], target[60:]) == -errors.loc["rotation", "mean"]


@pytest.mark.parametrize("representation", ["6d", "9d"])
def test_answers_are_unit_quaternions_in_the_order_of_the_target(representation):
    panel, turns = bodies(20)
    target = quaternions(panel, turns)
    found = fitted(representation).predict(panel)
    assert found.channels == QUATERNION
    assert np.linalg.norm(found.values, axis=1) == pytest.approx(1, abs=1e-12) and (found.values[:, 0] >= 0).all()
    other = SSMSequenceRegressor(rotation=representation, **{**QUICK, "members": 2})
    turned = other.fit(panel, target.select(["q_z", "q_w", "q_x", "q_y"])).predict(panel)
    assert turned.values == pytest.approx(found.values[:, [3, 0, 1, 2]], abs=1e-9)


def test_the_sign_of_a_quaternion_and_the_form_do_not_matter():
    panel, turns = bodies(12, 10)
    target = quaternions(panel, turns)
    sign = np.random.default_rng(0).choice([-1.0, 1.0], (panel.n_rows, 1))
    matrices = Rotation.concatenate(turns).as_matrix()
    nine = panel.with_values(matrices.reshape(-1, 9), channels=[f"m{i}" for i in range(9)])
    settings = {"rotation": "6d", **QUICK}
    one = SSMSequenceRegressor(**settings).fit(panel, target).predict(panel).values
    two = SSMSequenceRegressor(**settings).fit(panel, target.with_values(sign * target.values)).predict(panel).values
    three = SSMSequenceRegressor(**settings).fit(panel, nine).predict(panel).values
    assert two == pytest.approx(one, abs=1e-9)
    as_matrix = Rotation.from_quat(one, scalar_first=True).as_matrix().reshape(-1, 9)
    assert three == pytest.approx(as_matrix, abs=1e-9)
    X = np.random.default_rng(1).normal(size=(8, 10))
    array = SSMSequenceRegressor(**settings).fit(X, matrices[:80].reshape(8, 10, 3, 3))
    assert array.predict(X).shape == (8, 10, 3, 3)
    assert np.linalg.det(array.predict(X)) == pytest.approx(1)


def test_errors_are_those_of_the_answers():
    panel, turns = bodies(10, 12, 5)
    target = quaternions(panel, turns)
    values = target.values.copy()
    values[::4, 2] = np.nan
    table = fitted().errors(panel, target.with_values(values))
    known = np.arange(panel.n_rows) % 4 != 0
    found = Rotation.from_quat(fitted().predict(panel).values, scalar_first=True)
    angle = np.degrees((found * Rotation.concatenate(turns).inv()).magnitude())[known]
    expected = [angle.mean(), np.median(angle), np.quantile(angle, 0.95), np.sqrt(np.mean(angle**2)), known.sum()]
    assert table.loc["rotation"].tolist() == pytest.approx(expected)
    assert table.index.tolist() == ["rotation", "tilt", "heading"]


@pytest.mark.parametrize("representation", ["6d", "9d"])
def test_streams_and_targets_between_rows(representation):
    panel, turns = bodies(12, 12)
    between = quaternions(panel, turns)
    between = Panel.from_series([(times + 0.01, values) for times, values in between], channels=QUATERNION)
    est = SSMSequenceRegressor(rotation=representation, **QUICK).fit(panel, between)
    ((times, values),), stream = panel[0], est.stream()
    for k in range(len(times)):
        stream.update(times[k], values[k])
        so_far = Panel.from_series([(times[: k + 1], values[: k + 1])])
        asked = times[k] + np.array([0.0, 0.4])
        assert stream.predict(at=asked) == pytest.approx(est.predict(so_far, asked).values, abs=1e-5)
    assert stream.update_predict(times[-1] + 1, values[-1]).shape == (1, 4)


@pytest.mark.parametrize("representation", ["6d", "9d"])
def test_a_rotation_of_a_series_in_every_form(representation):
    panel, turns = bodies(30, 12)
    last = Rotation.concatenate([turn[-1] for turn in turns])
    settings = {**QUICK, "rotation": representation, "members": 2}
    truth = SSMRegressor(**settings).fit(panel, last)
    found = truth.predict(panel)
    assert isinstance(found, Rotation)
    matrices = SSMRegressor(**settings).fit(panel, last.as_matrix()).predict(panel)
    assert matrices == pytest.approx(found.as_matrix(), abs=1e-6)
    table = pd.DataFrame(last.as_quat(scalar_first=True), columns=QUATERNION)
    framed = SSMRegressor(**settings).fit(panel, table).predict(panel)
    assert framed.columns.tolist() == list(QUATERNION)
    assert framed.to_numpy() == pytest.approx(found.as_quat(canonical=True, scalar_first=True), abs=1e-6)
    errors = rotation_errors(found.as_matrix(), last.as_matrix())
    assert truth.score(panel, last) == pytest.approx(-errors["rotation"].mean())
    assert truth.score(panel, last.as_matrix()) == pytest.approx(truth.score(panel, list(last)))
    assert truth.errors(panel, table).loc["tilt", "median"] == pytest.approx(np.median(errors["tilt"]))
    ((times, values),) = panel[3]
    answer = truth.stream().update(times, values).predict()
    assert answer.as_matrix() == pytest.approx(found[3].as_matrix(), abs=1e-5)
    copy = pickle.loads(pickle.dumps(truth))
    assert copy.predict(panel).as_quat() == pytest.approx(found.as_quat())


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (lambda turns: turns.as_quat(), r"Rotation.from_quat\(y, scalar_first="),
        (lambda turns: pd.DataFrame(turns.as_quat(), columns=list("abcd")), "whose names end in"),
        (lambda turns: turns[:3], "inconsistent numbers of samples"),
        (lambda turns: -turns.as_matrix(), "matrices must be rotations"),
        (lambda turns: pd.DataFrame(turns.as_quat(), columns=list("xyzw")).shift(1), "each series must have"),
        (lambda turns: None, "requires y"),
    ],
)
def test_what_is_no_rotation_of_series_is_refused(y, message):
    panel, turns = bodies(5, 4)
    with pytest.raises(ValueError, match=message):
        SSMRegressor(rotation="6d", **QUICK).fit(panel, y(Rotation.concatenate([turn[-1] for turn in turns])))


def test_what_is_no_rotation_of_rows_is_refused():
    panel, turns = bodies(5, 4)
    with pytest.raises(ValueError, match="whose names end in w, x, y and z"):
        SSMSequenceRegressor(rotation="6d", **QUICK).fit(panel, panel.select(["x0"]))
    target = quaternions(panel, turns)
    with pytest.raises(ValueError, match=r"quaternions must not be 0; .* came at row 7"):
        SSMSequenceRegressor(rotation="6d", **QUICK).fit(
            panel, target.with_values(np.where(np.arange(20)[:, None] == 7, 0.0, target.values))
        )
    with pytest.raises(ValueError, match="`rotation`|'rotation'"):
        SSMSequenceRegressor(rotation="quaternion", **QUICK).fit(panel, target)


def test_rotations_are_not_exported(tmp_path):
    with pytest.raises(ValueError, match="plain numbers"):
        export(fitted(), tmp_path / "model.pt2", format="torch")
