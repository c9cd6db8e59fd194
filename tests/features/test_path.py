"""Paths against numpy's own interpolation, series by series, and what happens at ends and across long gaps."""

from __future__ import annotations

import numpy as np
import pytest

from tsssm.data import Panel, Scaling
from tsssm.features.pace import MOST_PARTS, Pace, pace_of
from tsssm.features.path import Before, interpolated, rows_of

FAR = np.inf


def ragged(random_state: int = 0) -> Panel:
    rng = np.random.default_rng(random_state)
    series = []
    for length in (7, 1, 12, 3):
        values = rng.normal(size=(length, 3))
        values[rng.random((length, 3)) < 0.5] = np.nan
        values[0, 0] = 1.0
        series.append((np.cumsum(rng.exponential(size=length)), values))
    return Panel.from_series(series)


def test_lines_are_those_of_numpy():
    panel = ragged()
    starts = np.repeat(panel.offsets[:-1], panel.lengths)
    paths = interpolated(panel.times, panel.values, starts, FAR)
    for (times, values), path in zip(panel, np.split(paths, panel.offsets[1:-1]), strict=True):
        for channel in range(3):
            seen = np.isfinite(values[:, channel])
            if seen.any():
                expected = np.interp(times, times[seen], values[seen, channel])
            else:
                expected = np.zeros(len(times))
            assert path[:, channel] == pytest.approx(expected, abs=1e-12)


def test_across_a_gap_longer_than_the_reach_the_last_value_holds():
    times, nothing = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 9.0]), np.nan
    values = np.array([[nothing], [2.0], [nothing], [nothing], [nothing], [5.0]])
    starts = np.zeros(6, dtype=int)
    assert interpolated(times, values, starts, 3.0)[:, 0].tolist() == [2.0, 2.0, 2.0, 2.0, 2.0, 5.0]
    assert interpolated(times, values, starts, 0.5)[:, 0].tolist() == [0.0, 2.0, 2.0, 2.0, 2.0, 5.0]


def test_rows_that_go_on_with_a_series_know_what_was_seen_before():
    times, values = np.array([2.0, 3.0]), np.array([[np.nan], [6.0]])
    before = Before(np.array([0.0]), np.array([0.0]))
    assert interpolated(times, values, np.zeros(2, dtype=int), FAR, before)[:, 0].tolist() == [4.0, 6.0]


def test_gaps_are_counted_in_steps_and_long_ones_divided():
    panel = Panel.from_series([(np.array([0.0, 0.5, 2.5, 100.0]), np.ones((4, 1))), (np.array([7.0]), np.ones((1, 1)))])
    rows = rows_of(panel, Scaling.fit(panel), Pace(0.5, np.array([1.0]), 100.0))
    assert rows.gap.tolist() == [0.0, 1.0, 4.0, 195.0, 0.0]
    assert rows.parts.tolist() == [1, 1, 4, MOST_PARTS, 1]


def test_the_pace_is_that_of_the_observations():
    times = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    values = np.array([[1.0, 1.0], [1.0, np.nan], [1.0, 1.0], [1.0, np.nan], [1.0, 1.0]])
    pace = pace_of(Panel.from_series([(times, values), (times[:1], values[:1])]))
    assert (pace.step, pace.reach, pace.gaps.tolist()) == (1.0, 4.0, [1.0, 2.0])


def test_a_panel_of_single_rows_has_a_pace_too():
    pace = pace_of(Panel.from_array([[1.0], [2.0]]))
    assert (pace.step, pace.reach) == (1.0, 0.0)
    assert np.isnan(pace.gaps).all()
