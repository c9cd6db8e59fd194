"""The benchmark in sktime asks every model for the same rows and scores them as the competitions do."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.sktime_benchmark import forecasters, scores
from benchmarks.sktime_benchmark.__main__ import m3_whole, plan, ranked, show
from benchmarks.sktime_benchmark.tasks import FORECASTS, M3, Task


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Three quarterly series with ends of their own: a season without noise on a slope."""
    folder: Path = tmp_path_factory.mktemp("data")
    (folder / "tourism").mkdir()
    season = np.array([1.0, 5.0, 2.0, 8.0])
    rows = []
    for i, (length, start) in enumerate([(26, 1990.0), (31, 1992.5), (40, 1985.25)]):
        y = 100.0 * (i + 1) + np.tile(season, 12)[: length + 8]
        rows.append((f"s{i}", "quarterly", "tourism", start, y[:length], y[length:]))
    table = pd.DataFrame(rows, columns=["id", "period", "type", "start", "train", "test"])
    table.to_parquet(folder / "tourism" / "tourism.parquet")
    return FORECASTS["tourism quarterly"](folder)


def test_dates_and_seasons(task: Task):
    assert task.season == 4
    assert task.train.loc["s1"].index[0] == pd.Timestamp("1992-07-01")
    assert task.test.loc["s0"].index[0] == task.train.loc["s0"].index[-1] + pd.offsets.QuarterBegin(startingMonth=1)
    assert task.test.groupby(level=0).size().tolist() == [8, 8, 8]


def test_seasonal_naive_repeats_the_season(task: Task):
    found = scores.score(task, forecasters.MODELS["NaiveForecaster, last season"](task, 0))
    assert found["MASE"] == pytest.approx(0, abs=1e-9)


def test_scores_are_those_of_their_formulas():
    index = pd.MultiIndex.from_product([["a"], pd.date_range("2024-01-01", periods=3)], names=["id", "time"])
    later = index.set_levels(index.levels[1] + pd.Timedelta("3D"), level=1)
    task = Task(pd.DataFrame({"y": [1.0, 3.0, 2.0]}, index), pd.DataFrame({"y": [4.0, 4.0, 5.0]}, later), 1, 3)
    band = np.repeat(np.array([[3.0]]), 3, 0) + np.linspace(-1.5, 1.5, len(forecasters.LEVELS))
    found = scores.score(task, (np.array([3.0, 4.0, 6.0]), band))
    assert found["MASE"] == pytest.approx((2 / 3) / 1.5)
    assert found["sMAPE"] == pytest.approx(200 * np.mean([1 / 7, 0, 1 / 11]))
    assert found["coverage"] == pytest.approx(2 / 3)
    loss = [
        2 * np.mean([max(a * (y - q), (a - 1) * (y - q)) for a, q in zip(forecasters.LEVELS, band[0], strict=True)])
        for y in (4.0, 4.0, 5.0)
    ]
    assert found["pinball"] == pytest.approx(np.mean(loss) / 1.5)


def test_answers_stand_at_the_rows_asked(task: Task):
    """Series of such different sizes could not be taken for each other."""
    point, quantiles = forecasters.ours(task, 0, epochs=1, d_model=8, depth=1)
    assert quantiles.shape == (24, len(forecasters.LEVELS))
    assert (np.abs(point - task.test["y"].to_numpy()) < 20).all()
    point, none = forecasters.MODELS["gradient boosting, global"](task, 0)
    assert none is None and (np.abs(point - task.test["y"].to_numpy()) < 20).all()


def test_plan_and_tables():
    options = argparse.Namespace(
        tasks=["m3 other", "Coffee"], models=["SSMForecaster", "NaiveForecaster, last season"], seeds=2, data=None
    )
    cells = plan(options)
    assert [(cell.model, cell.seed) for cell in cells] == [
        ("SSMForecaster", 0),
        ("SSMForecaster", 1),
        ("NaiveForecaster, last season", 0),
    ]
    values = {"SSMForecaster": [1.0, 2.0], "NaiveForecaster, last season": [3.0]}
    records = [
        {"task": "m3 other", "model": model, "seed": seed, "scores": {"MASE": x, "sMAPE": 1.0}, "seconds": 1.0}
        for model, found in values.items()
        for seed, x in enumerate(found)
    ]
    table, names = ranked(records)["forecasts"]
    np.testing.assert_array_equal(table, [[-3.0, -1.5]])
    assert names == ["NaiveForecaster, last season", "SSMForecaster"]
    assert "**m3 other**" in show(records) and "1.500 ± 0.707" in show(records)


def test_m3_counts_forecasts():
    """Each forecast counts alike, as in the competition: months most. The published means of Theta give its total."""
    published = dict(zip(M3, (16.90, 8.96, 13.85, 4.41), strict=True))
    records = [
        {"task": task, "model": "Theta", "seed": 0, "scores": {"sMAPE": score}} for task, score in published.items()
    ]
    assert sum(M3.values()) == 37014
    assert m3_whole(records)["Theta"][0][0] == pytest.approx(13.01, abs=0.02)
    assert not m3_whole(records[1:])
