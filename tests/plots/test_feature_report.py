"""The report of a ridge on features: shares that add up, in the user's units, and a picture of them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.exceptions import NotFittedError

from tsssm import Panel, SSMRidgeClassifier, SSMRidgeRegressor
from tsssm.plots import feature_report


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def told_by_frequency(channels: int = 2, unit: str | None = "h", statics: bool = False) -> tuple[Panel, np.ndarray]:
    """Series whose first channel swings once in 3 hours or once in 5; the rest is noise."""
    rng = np.random.default_rng(0)
    labels, frames = np.arange(60) % 2, []
    for i, label in enumerate(labels):
        times = np.sort(rng.choice(400, 150, replace=False)) / 4
        values = 0.7 * rng.normal(size=(150, channels))
        values[:, 0] += np.sin(2 * np.pi * times / (3 + 2 * label) + rng.uniform(0, 6))
        frame = pd.DataFrame(values, columns=[f"c{j}" for j in range(channels)])
        frames.append(frame.assign(id=i, t=times if unit is None else pd.to_timedelta(times, unit=unit)))
    static = pd.DataFrame({"weight": rng.normal(size=60)}, index=pd.Index(range(60), name="id")) if statics else None
    return Panel.from_frame(pd.concat(frames), id="id", time="t", static=static), labels


def test_what_decides_is_found_in_the_users_units():
    report = feature_report(SSMRidgeClassifier(3200, random_state=0).fit(*told_by_frequency()))
    assert report.unit == "hours"
    channels = report.table[report.table["by"] == "channel"].set_index("group")["share"]
    assert channels["c0"] > 0.6
    above = (report.periods["c0"] / report.periods["share of the features"]).idxmax()
    assert 2 < above < 7


@pytest.mark.parametrize("statics", [False, True])
def test_shares_add_up(statics):
    panel, labels = told_by_frequency(statics=statics)
    report = feature_report(SSMRidgeRegressor(400, random_state=0).fit(panel, np.c_[labels, -labels, panel.lengths]))
    for column in ("share", "drawn"):
        np.testing.assert_allclose(report.table.groupby("by")[column].sum(), 1.0)
    windowless = report.table.query("group == 'none'")["share"].sum()
    spread = report.periods.drop(columns="share of the features").to_numpy().sum()
    assert spread + windowless == pytest.approx(1.0)
    assert ("static" in set(report.table["group"])) == statics


def test_numbers_keep_their_own_unit():
    report = feature_report(SSMRidgeClassifier(400, random_state=0).fit(*told_by_frequency(unit=None)))
    assert report.unit == "" and report.plot()[0].get_xlabel() == "period"


def test_picture():
    report = feature_report(SSMRidgeClassifier(800, random_state=0).fit(*told_by_frequency(channels=9)))
    left, right = report.plot()
    assert left.get_xlabel() == "period [hours]" and left.get_xscale() == "log"
    names = [text.get_text() for text in left.get_legend().get_texts()]
    assert len(names) == 8 and "other channels" in names
    assert "summary" in [tick.get_text() for tick in right.get_yticklabels()]
    own = Figure().subplots(1, 2)
    assert list(report.plot(own)) == list(own)


def test_estimator_that_is_not_fitted():
    with pytest.raises(NotFittedError):
        feature_report(SSMRidgeClassifier())
