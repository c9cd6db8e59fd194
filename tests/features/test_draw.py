"""Draws: windows and mixtures within their bounds, thresholds at quantiles of the outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tsssm.data import Panel, Scaling
from tsssm.dynamics.kernels.bank import outputs, pooled
from tsssm.features.draw import PER_GROUP, SHARES, bank_of, draw_groups
from tsssm.features.names import duration, names_of, table_of
from tsssm.features.pace import Pace, pace_of
from tsssm.features.path import rows_of

PACE = Pace(1.0, np.array([2.0, np.nan, 5.0]), 400.0)


def seed() -> np.random.RandomState:
    return np.random.RandomState(0)


def test_windows_reach_from_the_gaps_of_the_channels_to_the_longest_series():
    groups = draw_groups(PACE, 200, seed())
    slow = groups.mix[2] != 0
    assert not groups.mix[1].any()
    assert set(np.unique(groups.mix)) == {-1.0, 0.0, 1.0}
    assert 4.0 <= groups.window[~slow].min() < 5.0
    assert 10.0 <= groups.window[slow].min() < 13.0
    assert 300.0 < groups.window.max() <= 400.0
    assert (groups.rate.real < 0).all()


def test_windows_stay_positive_where_there_is_no_time():
    groups = draw_groups(Pace(1.0, np.array([np.nan]), 0.0), 16, seed())
    assert (groups.window > 0).all()
    assert groups.mix.all()


@pytest.fixture(scope="module")
def bank_and_rows():
    rng = np.random.default_rng(0)
    panel = Panel.from_array(np.cumsum(rng.normal(size=(20, 60)), axis=1))
    pace = pace_of(panel)
    rows = rows_of(panel, Scaling.fit(panel), pace)
    return bank_of(draw_groups(pace, 24, seed()), pace.step, rows, seed()), rows


def test_thresholds_lie_at_quantiles_of_the_outputs(bank_and_rows):
    bank, rows = bank_and_rows
    shares = pooled(bank, rows)[0][:, :SHARES].mean(0)
    # stratified quantiles: the shares of time above four of them are 1/8, 3/8, 5/8 and 7/8 on average
    expected = torch.tensor([1, 3, 5, 7]) / 8
    assert shares.sort(0).values.mean((1, 2)) == pytest.approx(expected, abs=0.05)


def test_ramps_are_a_tenth_of_the_spread_of_the_outputs(bank_and_rows):
    bank, rows = bank_and_rows
    spread = outputs(bank, rows).std(0)
    assert (bank.steepness * spread).median() == pytest.approx(10.0, rel=0.1)


def test_outputs_without_gain_do_not_see_the_level():
    panel = Panel.from_array([[3.0] * 8, [5.0] * 8, [1.0, 2.0, 4.0, 3.0, 1.0, 0.0, 2.0, 1.0]])
    pace, scaling = pace_of(panel), Scaling.fit(panel)
    bank = bank_of(draw_groups(pace, 8, seed()), pace.step, rows_of(panel, scaling, pace), seed())
    y = outputs(bank, rows_of(panel[:2], scaling, pace)).view(2, 8, *bank.gain.shape)
    changes_alone = bank.gain == 0
    assert not y[:, :, changes_alone].any()
    assert (y[0, 0] != y[1, 0])[~changes_alone].all()


def test_every_feature_has_a_name_of_its_own():
    table = table_of(draw_groups(PACE, 12, seed()), ("pulse", "never", "lactate"))
    names = names_of(table, "datetime")
    assert len(set(names)) == len(table) == 12 * PER_GROUP
    assert (table["fastest"] < table["slowest"]).all()


@pytest.mark.parametrize(
    ("length", "kind", "text"),
    [
        (5400.0, "datetime", "1.5h"),
        (86400.0 * 3, "timedelta", "3d"),
        (2e-3, "datetime", "2ms"),
        (12.34, "number", "12.3"),
    ],
)
def test_durations_have_the_unit_of_the_clock(length, kind, text):
    assert duration(length, kind) == text
