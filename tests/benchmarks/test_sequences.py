"""Rows of the benchmark of sequences beside closed forms: linear systems, layers that read rows, sizes, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from scipy.spatial.transform import Rotation

from benchmarks.sequences.classical import lagged, linear_system, mean
from benchmarks.sequences.fits import judge, settings
from benchmarks.sequences.flat import LSTM, Attention
from benchmarks.sequences.rows import ROWS, make, recipe, width
from benchmarks.sequences.tasks import TASKS, Problem, Sides
from tests.conformance.kinds import packed, some_series
from tsssm import Panel
from tsssm.grid import Grid
from tsssm.layers import Stack


def test_a_linear_system_is_found_exactly():
    u = np.random.default_rng(0).normal(size=(400, 1))
    y = 3.0 + lfilter([0.2, 1.0, 0.5], [1.0, -1.4, 0.8], u, axis=0)
    found = linear_system(u[:300], y[:300], 2)
    assert np.sort_complex(np.linalg.eigvals(found.A)) == pytest.approx(np.sort_complex(np.roots([1, -1.4, 0.8])))
    assert found.simulate(u) == pytest.approx(y, abs=1e-6)


def test_lags_are_the_last_inputs_known():
    X = Panel.from_series([(np.arange(5.0), np.arange(5.0)), (np.arange(3.0), 10 + np.arange(3.0))])
    y = Panel.from_series([([2.5, 4.0], [0.0, 0.0]), ([0.0], [0.0])])
    assert lagged(Sides(X, y), 1.0, 3).tolist() == [[2, 1, 0], [4, 3, 2], [10, 10, 10]]


@pytest.mark.parametrize("kind", [LSTM, lambda d: Attention(d, 2, 4)], ids=["lstm", "attention"])
def test_layers_of_rows_keep_series_apart_and_look_back_only(kind):
    torch.manual_seed(0)
    layer, series = kind(4).double(), some_series([9, 5, 3], 0.3)
    grid = packed([series[:1], series[1:]])
    x = torch.randn(*grid.dt.shape, 4, dtype=torch.float64)
    y, _ = layer(x, grid)
    torch.testing.assert_close(layer(x[:1, :9], packed([series[:1]]))[0], y[:1, :9])
    torch.testing.assert_close(layer(x[1:, 5:8], packed([series[2:]]))[0], y[1:, 5:8])
    # silent rows and later ones change nothing
    other = torch.where(grid.active.unsqueeze(-1), x, 9.0)
    torch.testing.assert_close(layer(other, grid)[0], y)
    other = x.clone()
    other[0, 6:] += 1.0
    torch.testing.assert_close(layer(other, grid)[0][0, :6], y[0, :6])
    assert not torch.equal(layer(other, grid)[0][0, 6:], y[0, 6:])


def test_attention_sees_its_window():
    torch.manual_seed(0)
    layer, grid = Attention(4, 2, 5).double(), Grid.regular(1, 17, dtype=torch.float64)
    x = torch.randn(1, 17, 4, dtype=torch.float64)
    other = x.clone()
    other[0, 6] += 1.0
    changed = (layer(other, grid)[0] - layer(x, grid)[0]).abs().amax(-1)[0] > 1e-12
    assert torch.equal(changed, (torch.arange(17) >= 6) & (torch.arange(17) < 11))


@pytest.mark.parametrize("row", ROWS)
def test_all_rows_are_of_a_size(row):
    layer, depth = recipe(row, 10.0)
    count = sum(p.numel() for p in Stack(width(row, 20_000), layer, depth=depth).parameters())
    assert count == pytest.approx(20_000, rel=0.1)


@pytest.mark.parametrize("row", ["transformer", "selective-lstm"])
def test_a_row_fits_and_is_judged(row):
    X, y = (panel for panel in TASKS["touch"].problem(None, "small", 0).test)
    problem = Problem(Sides(X[:4], y[:4]), Sides(X[4:6], y[4:6]))
    arguments = settings(problem, TASKS["touch"], "end", 4)
    assert arguments["lookahead"] == 0.18 and arguments["rotation"] is None
    model = make(row, 0.2, 3000, random_state=0, **arguments).fit(*problem.train)
    found = model.predict(problem.test.X, problem.test.y).values
    error = judge(found, problem.test, TASKS["touch"])["rmse"]
    assert error == pytest.approx(np.sqrt(np.mean((found - problem.test.y.values) ** 2)))


def test_rotations_are_judged_by_their_angle():
    turns = Rotation.random(8, rng=0)
    panel = Panel.from_array(turns.as_quat(scalar_first=True)[None], channels=["q_w", "q_x", "q_y", "q_z"])
    turned = Rotation.from_euler("z", 30, degrees=True) * turns
    errors = judge(turned.as_quat(scalar_first=True), Sides(panel, panel), TASKS["orientation"])
    assert errors == pytest.approx({"rmse": 30, "tilt": 0, "heading": 30}, abs=1e-6)
    middle = mean(Problem(Sides(panel, panel), Sides(panel, panel)), TASKS["orientation"])
    apart = Rotation.from_quat(middle[0], scalar_first=True) * turns.mean().inv()
    assert apart.magnitude() == pytest.approx(0, abs=1e-6)
