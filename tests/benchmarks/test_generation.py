"""Windows that generators are compared on, and the table of what is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.generation.fits import ROWS
from benchmarks.generation.sets import LENGTH, problem, sines, windows
from benchmarks.generation.tables import COLUMNS, sections

ROWS_OF_RECORD = 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A record whose first column numbers its rows, as the prices are stored."""
    home = tmp_path / "google_stock"
    home.mkdir()
    rows = np.arange(ROWS_OF_RECORD, dtype=np.float64)
    pd.DataFrame({"Open": rows, "Volume": rows % 7}).to_parquet(home / "stock_data.parquet")
    return tmp_path


def test_sines_are_short_arcs_in_half_of_the_range():
    x = sines(50, 0)
    assert x.shape == (50, LENGTH, 5) and x.min() >= 0.5 and x.max() <= 1
    assert np.arcsin(2 * x[:, 1] - 1) - np.arcsin(2 * x[:, 0] - 1) == pytest.approx(
        np.arcsin(2 * x[:, 2] - 1) - np.arcsin(2 * x[:, 1] - 1), abs=1e-7
    )


def test_all_windows_of_the_papers_and_rows_dropped_once(folder: Path):
    found = problem("Stocks", folder, 0.5, True, None)
    assert found.shown.shape == (ROWS_OF_RECORD - LENGTH + 1, LENGTH, 2)
    assert np.array_equal(found.judge, found.whole) and found.whole.min() == 0 and found.whole.max() == 1
    # no window of the record is new to training
    assert found.new is None
    # the record is read backwards, and two windows agree on which rows they lack
    step = np.diff(found.whole[:, :, 0], axis=1)
    assert (step < 0).all()
    gone = {}
    for whole, shown in zip(found.whole[:, :, 0].ravel(), np.isnan(found.shown[:, :, 0]).ravel(), strict=True):
        assert gone.setdefault(round(whole * (ROWS_OF_RECORD - 1)), shown) == shown
    assert 0.3 < np.mean(list(gone.values())) < 0.7
    assert (np.isnan(found.shown[..., 0]) == np.isnan(found.shown[..., 1])).all()


def test_windows_apart_share_no_row_with_training(folder: Path):
    found = problem("Stocks", folder, 0.0, False, None)
    rows = [set(np.round(part[:, :, 0].ravel(), 9)) for part in (found.whole, found.judge, found.new)]
    assert not rows[0] & rows[1] and rows[2] <= rows[1]
    assert len(rows[2]) == found.new.shape[0] * LENGTH


def test_windows_of_records():
    found = windows(np.arange(60.0).reshape(1, 30, 2), 3)
    assert found.shape == (3, LENGTH, 2) and found[1, 0].tolist() == [6, 7]


def test_tables_have_a_line_for_each_row_that_is_stored():
    record = dict.fromkeys(COLUMNS, 0.25) | {"set": "Sines", "rate": 0.3, "protocol": "apart", "row": "linear"}
    text = sections([record | {"seed": 0}, record | {"seed": 1}], ROWS)
    assert "Sines, 30% of the rows dropped, apart windows, 2 seeds" in text
    assert text.count("KoopmanVAE") == 1 and "0.250 ± 0.000" in text
