"""Plots: lines break at gaps and nowhere else, times are the user's, curves have scikit-learn's areas."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib import dates
from sklearn.metrics import average_precision_score, roc_auc_score

from tsssm import Panel, SSMClassifier, SSMForecaster, SSMImputer
from tsssm.data.synthetic import damped_oscillators, noisy_sines
from tsssm.plots import (
    ForecastDisplay,
    ImputationDisplay,
    PrecisionRecallDisplay,
    RocDisplay,
    plot_channels,
    plot_events,
    plot_interval,
    plot_series,
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def one(times, values=None) -> Panel:
    values = np.arange(len(times), dtype=float) if values is None else values
    return Panel.from_series([(np.asarray(times), np.asarray(values))], channels=("x",))


def band(panel: Panel, width: float = 1.0) -> Panel:
    """Interval around the values of a panel as estimators give it."""
    names = [f"{name}[{end}]" for end in ("lower", "upper") for name in panel.channels]
    return panel.with_values(np.c_[panel.values - width, panel.values + width], names)


def lines(ax) -> list[list[float]]:
    """Times of each line without those of the rug."""
    return [line.get_xdata().tolist() for line in ax.lines if line.get_marker() != "|"]


def test_line_breaks_at_a_long_gap_only():
    assert lines(plot_series(one([0.0, 1, 2, 9, 10, 11]))) == [[0, 1, 2], [9, 10, 11]]
    assert lines(plot_series(one([0.0, 1, 2, 5, 6]))) == [[0, 1, 2, 5, 6]]
    assert lines(plot_series(one([0.0, 1, 2, 5, 6]), gap=2.0)) == [[0, 1, 2], [5, 6]]


def test_missing_values_make_gaps_and_no_points():
    values = np.arange(20.0)
    values[5:14] = np.nan
    assert lines(plot_series(one(np.arange(20.0), values))) == [[0, 1, 2, 3, 4], [14, 15, 16, 17, 18, 19]]


def test_single_point_between_gaps_is_seen_in_a_long_series():
    times = np.r_[np.arange(200.0), 300.0, np.arange(400.0, 600.0)]
    ax = plot_series(one(times))
    markers = [line.get_marker() for line in ax.lines if line.get_marker() != "|"]
    assert lines(ax)[1] == [300.0]
    assert markers[1] == "o" and markers[0] != "o"


def test_series_without_rows_gives_empty_axes():
    panel = one([0.0, 1.0])
    empty = panel.rows(np.zeros(2, bool))
    assert lines(plot_series(empty)) == []
    plot_events(empty)
    plot_interval(band(empty))


def test_rug_marks_each_observation_of_each_channel():
    panel, _ = damped_oscillators(2, missing=0.5, random_state=0)
    ax = plot_events(panel, 1)
    seen = np.isfinite(panel[1].values)
    assert [len(line.get_xdata()) for line in ax.lines] == seen.sum(0).tolist()


def test_axes_are_given_back_and_used():
    panel, _ = noisy_sines(1, random_state=0)
    _, ax = plt.subplots()
    assert plot_series(panel, ax=ax) is ax
    assert plot_events(panel, ax=ax) is ax
    assert plot_interval(band(panel), ax=ax) is ax
    assert plot_channels(panel, axes=[ax])[0] is ax


def test_channel_must_be_named_where_there_are_several():
    panel, _ = damped_oscillators(1, random_state=0)
    with pytest.raises(ValueError, match="`channel` must be named"):
        plot_series(panel)


def test_interval_must_have_two_ends():
    with pytest.raises(ValueError, match=r"such as 'x\[lower\]'"):
        plot_interval(one([0.0, 1.0]))


def test_datetimes_are_drawn_in_local_time():
    stamps = pd.date_range("2024-06-01 12:00", periods=3, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"id": "a", "when": stamps, "x": [1.0, 2, 3]})
    ax = plot_series(Panel.from_frame(frame, id="id", time="when"))
    drawn = dates.date2num(ax.lines[0].get_xdata())
    np.testing.assert_array_equal(drawn, dates.date2num(stamps.tz_localize(None).to_numpy()))
    assert ax.get_xlabel() == "when"


def test_timedeltas_are_drawn_in_a_fitting_unit():
    frame = pd.DataFrame({"id": "a", "age": pd.to_timedelta([0, 1, 5], unit="D"), "x": [1.0, 2, 3]})
    ax = plot_series(Panel.from_frame(frame, id="id", time="age"), gap=np.inf)
    assert lines(ax) == [[0, 1, 5]]
    assert ax.get_xlabel() == "age [days]"


def test_integer_times_keep_their_origin():
    far = 2**60
    ax = plot_series(one(np.array([far, far + 1024, far + 4096])), gap=np.inf)
    assert lines(ax)[0][0] == far


def test_band_breaks_at_gaps_and_shows_single_points():
    panel = one([0.0, 1, 2, 9, 20, 21, 22])
    ax = plot_interval(band(panel))
    spans = sorted((p.get_extents().x0, p.get_extents().x1) for part in ax.collections for p in part.get_paths())
    assert spans == [(0, 2), (9, 9), (20, 22)]


def test_forecast_shows_each_part_and_limits_the_past():
    panel, _ = noisy_sines(3, random_state=1)
    past, truth = panel.rows(panel.times < 6), panel.rows(panel.times >= 6)
    display = ForecastDisplay.from_predictions(past, truth, band(truth), truth=truth, coverage=0.9)
    ax = display.plot(2, context=2.0, gap=np.inf)
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {
        "known",
        "90% interval",
        "forecast",
        "came true",
    }
    known, forecast = lines(ax)[:2]
    start = truth[2].times[0]
    assert known == past[2].times[past[2].times >= start - 2.0].tolist()
    assert forecast == truth[2].times.tolist()


def test_imputation_opens_points_that_were_put_in():
    panel, complete = damped_oscillators(2, random_state=0)
    ax = ImputationDisplay.from_predictions(panel, complete, band(complete)).plot(1, "position")
    hidden = np.isnan(panel[1].select("position").values[:, 0])
    drawn = {line.get_label(): line.get_xdata().tolist() for line in ax.lines}
    assert drawn["put in"] == panel[1].times[hidden].tolist()
    assert drawn["observed"] == panel[1].times[~hidden].tolist()


def test_curves_have_the_areas_of_scikit_learn():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    scores = {"good": y + rng.normal(size=200), "chance": rng.normal(size=200)}
    roc, recall = RocDisplay.from_predictions(y, scores), PrecisionRecallDisplay.from_predictions(y, scores)
    for name, score in scores.items():
        x, height = roc.curves[name]
        assert np.trapezoid(height, x) == pytest.approx(roc_auc_score(y, score))
        x, height = recall.curves[name]
        assert -np.sum(np.diff(x) * height[:-1]) == pytest.approx(average_precision_score(y, score))
        assert roc.areas[name] == pytest.approx(roc_auc_score(y, score))
    assert recall.prevalence == y.mean()
    for display in (roc, recall):
        ax = display.plot()
        assert len(ax.get_legend().get_texts()) == 2


def test_curves_of_a_fitted_classifier_on_text_labels():
    panel, number = noisy_sines(20, random_state=0)
    y = np.where(number == 1, "slow", "fast")
    model = SSMClassifier(epochs=1, members=1, random_state=0).fit(panel, y)
    expected = roc_auc_score(y == "slow", model.predict_proba(panel)[:, 1])
    assert RocDisplay.from_estimator(model, panel, y).areas == {"SSMClassifier": pytest.approx(expected)}
    assert list(PrecisionRecallDisplay.from_estimator(model, panel, y, name="mine").areas) == ["mine"]


def test_curves_need_two_classes():
    with pytest.raises(ValueError, match="two classes"):
        RocDisplay.from_predictions([0, 1, 2], {"a": [0.1, 0.2, 0.3]})


def test_forecast_of_a_fitted_forecaster():
    panel, _ = noisy_sines(8, random_state=0)
    model = SSMForecaster(horizon=3, epochs=1, random_state=0).fit(panel)
    display = ForecastDisplay.from_estimator(model, panel, horizon=2, coverage=0.8)
    np.testing.assert_array_equal(display.forecast.values, model.predict(panel, 2).values)
    np.testing.assert_array_equal(display.interval.values, model.predict_interval(panel, 2, coverage=0.8).values)
    assert "80% interval" in [text.get_text() for text in display.plot(3).get_legend().get_texts()]


def test_imputation_of_a_fitted_imputer_at_own_rows_and_at_others():
    panel, _ = damped_oscillators(8, random_state=0)
    model = SSMImputer(epochs=1, d_model=8, random_state=0).fit(panel)
    display = ImputationDisplay.from_estimator(model, panel)
    np.testing.assert_allclose(display.completed.values, model.transform(panel).values, rtol=1e-6)
    ax = ImputationDisplay.from_estimator(model, panel, times=[1.0, 2.5], coverage=0.8).plot(2, "position")
    put_in = next(line for line in ax.lines if line.get_label() == "put in")
    assert put_in.get_xdata().tolist() == [1.0, 2.5]
