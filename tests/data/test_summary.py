"""Summary statistics against NumPy, series by series."""

from __future__ import annotations

import numpy as np

from tests.conformance.estimators import ragged
from tsssm.data import Panel
from tsssm.data.summary import STATISTICS, RunningSummary, summarise


def test_against_a_plain_loop():
    panel = ragged(12)
    table = summarise(panel)
    assert table.shape == (12, 2, len(STATISTICS))
    for row, (_, values) in zip(table, panel, strict=True):
        for got, column in zip(row, values.T, strict=True):
            x = column[np.isfinite(column)]
            np.testing.assert_allclose(got, [x.min(), x.max(), x.mean(), x.std(), x[0], x[-1], len(x)])


def test_never_observed_is_nan_with_count_zero():
    panel = ragged(3)
    values = panel.values.copy()
    values[panel.offsets[1] : panel.offsets[2], 0] = np.nan
    row = summarise(panel.with_values(values))[1, 0]
    assert np.isnan(row[:-1]).all() and row[-1] == 0


def test_running_summaries_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    values = 1e6 + rng.normal(size=(50, 3))
    values[rng.random((50, 3)) < 0.5] = np.nan
    values[:20, 1] = np.nan
    running = RunningSummary(3)
    for start, stop in ((0, 1), (1, 1), (1, 30), (30, 50)):
        running.add(values[start:stop])
        whole = summarise(Panel.from_series([(np.arange(float(stop)), values[:stop])]))[0]
        np.testing.assert_allclose(running.table(), whole, rtol=1e-9)
    assert np.isnan(RunningSummary(2).table()[:, :6]).all()
