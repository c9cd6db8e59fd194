"""Streams answer at any moment what a prediction for the series so far gives."""

from __future__ import annotations

import copy
import pickle
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

from tests.conformance.estimators import QUICK, ragged
from tsssm import (
    SSMClassifier,
    SSMForecaster,
    SSMImputer,
    SSMRegressor,
    SSMRidgeClassifier,
    SSMRidgeRegressor,
    SSMSequenceRegressor,
)
from tsssm.data import Panel
from tsssm.data.stream import AT_ONCE
from tsssm.estimators.recipes import short_names

START = pd.Timestamp("2024-03-30 12:00", tz="Europe/Berlin")
KINDS = ["class", "number", "rows", "forecast", "ridge", "ridge number", "both"]
LAYERED = ["class", "number", "rows", "forecast"]
PROBABLE = ("class", "ridge", "both")
AHEAD = [0.3, 1.0]
# gaps are rounded to float32, on each side of a row that shows nothing where the whole series has one
CLOSE = 1e-6
LAYERS = ["s5", "s4d", "gru", "selective"]


def stamped(times: np.ndarray) -> pd.DatetimeIndex:
    return START + pd.to_timedelta(np.round(times * 3600), unit="s")


@cache
def fitted(kind: str, layer: str = "s5", stamps: bool = False):
    """An estimator of two channels with statics where it takes them, trained for a moment."""
    panel = ragged(24)
    if stamps:
        panel = Panel.from_series([(stamped(times), values) for times, values in panel])
    quick = {**QUICK, "layer": layer}
    if kind in ("class", "both"):
        quick |= {"members": 2, "features": kind == "both"}
        return SSMClassifier(**quick).fit(panel, np.arange(24) % 3)
    if kind == "ridge":
        return SSMRidgeClassifier(n_features=400, random_state=0).fit(panel, np.arange(24) % 3)
    if kind == "ridge number":
        return SSMRidgeRegressor(n_features=400, random_state=0).fit(panel, np.random.default_rng(0).normal(size=24))
    if kind == "number":
        return SSMRegressor(**quick).fit(panel, np.random.default_rng(0).normal(size=(24, 2)))
    if kind == "rows":
        y = panel.with_values(np.nan_to_num(panel.values) * 3 + 1, channels=["p", "q"])
        return SSMSequenceRegressor(**{**quick, "depth": 2}).fit(panel, y)
    return SSMForecaster(horizon=2, context=6, **quick).fit(panel)


def growing(length: int = 14, random_state: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """An irregular series of two channels in which entries, and whole rows, the first one too, are missing."""
    rng = np.random.default_rng(random_state)
    values = rng.normal(size=(length, 2))
    values[rng.random((length, 2)) < 0.35] = np.nan
    values[[0, 5]] = np.nan
    return np.cumsum(rng.exponential(size=length) + 0.01), values


def batch_answer(kind: str, model, times, values) -> np.ndarray:
    panel = Panel.from_series([(times, values)])
    if kind in PROBABLE:
        return model.predict_proba(panel)[0]
    if kind == "forecast":
        ahead = pd.to_timedelta(AHEAD, unit="h") if panel.clock.kind == "datetime" else AHEAD
        return model.predict(panel, horizon=ahead).values
    return model.predict(panel).values[-1] if kind == "rows" else model.predict(panel)[0]


def answer(kind: str, stream) -> np.ndarray:
    if kind == "forecast":
        ahead = pd.to_timedelta(AHEAD, unit="h") if stream._arrivals.kind == "datetime" else AHEAD
        return stream.predict(at=ahead).values
    return stream.predict_proba() if kind in PROBABLE else stream.predict()


@pytest.mark.parametrize(
    ("kind", "layer"), [*product(LAYERED, LAYERS), *((kind, "s5") for kind in KINDS if kind not in LAYERED)]
)
@pytest.mark.parametrize("tolerance", [None, 0.0])
def test_every_moment_is_answered_as_the_series_so_far(kind, layer, tolerance):
    model, (times, values) = fitted(kind, layer), growing()
    stream = model.stream(tolerance=tolerance)
    for k in range(len(times)):
        stream.update(times[k], values[k])
        if kind != "forecast" or k:
            so_far = batch_answer(kind, model, times[: k + 1], values[: k + 1])
            assert answer(kind, stream) == pytest.approx(so_far, abs=CLOSE)


@pytest.mark.parametrize("layer", sorted(set(short_names()) - set(LAYERS)))
def test_the_other_layers_stream_too(layer):
    model, (times, values) = fitted("rows", layer), growing()
    found = model.stream().update_predict(times, values)
    assert found == pytest.approx(model.predict(Panel.from_series([(times, values)])).values, abs=CLOSE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pieces", [[700], [1] * 20 + [300, 379, 1], [AT_ONCE, AT_ONCE, 188]])
def test_pieces_give_what_the_whole_gives(kind, pieces):
    model, (times, values) = fitted(kind), growing(700)
    stream, start = model.stream(), 0
    for size in pieces:
        stream.update(times[start : start + size], values[start : start + size])
        start += size
    assert answer(kind, stream) == pytest.approx(batch_answer(kind, model, times, values), abs=CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_datetimes_across_a_change_of_the_clocks(kind):
    model, (times, values) = fitted(kind, stamps=True), growing(20)
    stream, stamps = model.stream(), stamped(times)
    for stamp, row in zip(stamps, values, strict=True):
        stream.update(stamp, row)
    expected = batch_answer(kind, model, stamps, values)
    assert answer(kind, stream) == pytest.approx(expected, abs=CLOSE)
    at_once = model.stream().load_state_dict(stream.state_dict()).update(stamps[-1] + pd.Timedelta("5min"), [1.0, 2.0])
    again = model.stream().update(stamps.append(stamps[-1:] + pd.Timedelta("5min")), np.r_[values, [[1.0, 2.0]]])
    assert answer(kind, at_once) == pytest.approx(answer(kind, again), abs=1e-12)


@pytest.mark.parametrize("layer", LAYERS)
def test_rows_are_answered_later_and_leave_no_trace(layer):
    model, (times, values) = fitted("rows", layer), growing()
    stream = model.stream().update(times, values)
    before = stream.predict()
    asked = times[-1] + np.array([0.7, 0.0, 3.0, 0.7])
    every = np.unique(asked)
    shown = np.r_[values, np.full((len(every) - 1, 2), np.nan)]
    panel = Panel.from_series([(np.r_[times[:-1], every], shown)])
    whole = model.predict(panel).values[len(times) - 1 :]
    assert stream.predict(at=asked) == pytest.approx(whole[np.searchsorted(every, asked)], abs=CLOSE)
    assert (stream.predict() == before).all()
    assert stream.predict(at=times[-1]) == pytest.approx(before, abs=0)


def test_rows_are_answered_as_they_come():
    model, (times, values) = fitted("rows"), growing()
    found = model.stream().update_predict(times, values)
    assert found == pytest.approx(model.predict(Panel.from_series([(times, values)])).values, abs=CLOSE)


def test_forecasts_take_every_form_of_the_batch():
    model, (times, values) = fitted("forecast"), growing(30)
    stream, panel = model.stream().update(times, values), Panel.from_series([(times, values)])
    later = times[-1] + np.array([0.5, 2.0])
    assert stream.predict(at=later, statistic="mean").values == pytest.approx(
        model.predict(panel, later, statistic="mean").values
    )
    assert stream.predict_interval([0.5, 2.0], 0.8).values == pytest.approx(
        model.predict_interval(panel, [0.5, 2.0], 0.8).values
    )
    assert stream.predict_quantiles().values == pytest.approx(model.predict_quantiles(panel).values)
    assert stream.sample_paths(n=3, random_state=0) == pytest.approx(model.sample_paths(panel, n=3, random_state=0))


def test_statics_count():
    panel = ragged(24)
    who = pd.DataFrame({"sex": ["f", "m"] * 12, "age": np.arange(24.0)}, index=panel.ids)
    frame = panel.to_frame()
    panel = Panel.from_frame(frame, id=frame.columns[0], time=frame.columns[1], static=who)
    model = SSMClassifier(features=False, **QUICK).fit(panel, np.arange(24) % 2)
    ((times, values),) = panel[4]
    stream = model.stream(static={"sex": "f", "age": 4.0}).update(times, values)
    assert stream.predict_proba() == pytest.approx(model.predict_proba(panel)[4], abs=CLOSE)
    with pytest.raises(ValueError, match="static features must be those of training"):
        model.stream()
    with pytest.raises(ValueError, match="one series"):
        model.stream(static=who)


@pytest.mark.parametrize("kind", ["class", "number", "ridge", "both"])
def test_a_series_without_rows_is_answered(kind):
    model = fitted(kind)
    empty = Panel.from_series([(np.empty(0), np.empty((0, 2)))])
    expected = model.predict_proba(empty)[0] if kind in PROBABLE else model.predict(empty)[0]
    stream = model.stream()
    assert answer(kind, stream) == pytest.approx(expected, abs=CLOSE)
    assert answer(kind, stream.update(0.0, [np.nan, np.nan])) == pytest.approx(expected, abs=CLOSE)


def size(state) -> int:
    if isinstance(state, torch.Tensor):
        return state.numel()
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list) else ()
    return sum(size(part) for part in parts)


@pytest.mark.parametrize(("kind", "layer"), [*((kind, "s5") for kind in KINDS), *(("rows", layer) for layer in LAYERS)])
def test_what_is_kept_does_not_grow(kind, layer):
    stream, (times, values) = fitted(kind, layer).stream(), growing(1200)
    sizes = set()
    for start in range(0, 1200, 300):
        stream.update(times[start : start + 300], values[start : start + 300])
        assert len(stream._times) <= AT_ONCE
        sizes.add(size(stream.state_dict()))
    # a bank holds back the few rows that later values may still change
    assert max(sizes) - min(sizes) <= 100


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tolerance", [None, 0.5])
def test_a_state_goes_on_elsewhere(kind, tolerance, tmp_path):
    model, (times, values) = fitted(kind), growing(40)
    first = model.stream(tolerance=tolerance).update(times[:25], values[:25])
    torch.save(first.state_dict(), tmp_path / "state.pt")
    first.update(times[25:], values[25:])
    second = model.stream(tolerance=tolerance).load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    second.update(times[25:], values[25:])
    assert answer(kind, second) == pytest.approx(answer(kind, first), abs=1e-12)
    with pytest.raises(ValueError, match="state_dict"):
        second.load_state_dict({})


def test_a_state_of_another_model_is_refused():
    stream = fitted("class").stream().update(0.0, [1.0, 2.0])
    state = fitted("number").stream().update(0.0, [1.0, 2.0]).state_dict()
    before = stream.predict_proba()
    with pytest.raises(ValueError, match="a stream of this estimator"):
        stream.load_state_dict(state)
    assert (stream.predict_proba() == before).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_late_is_merged_into_the_last_row(kind):
    model = fitted(kind)
    stream = model.stream(tolerance=0.5)
    stream.update([0.0, 1.0, 0.6, 2.0], [[1.0, 2.0], [3.0, np.nan], [np.nan, 4.0], [5.0, 6.0]])
    answer(kind, stream)
    stream.update(1.5, [7.0, np.nan]).update(2.0, [np.nan, 8.0])
    mended = np.array([[1.0, 2.0], [3.0, 4.0], [7.0, 8.0]])
    assert answer(kind, stream) == pytest.approx(batch_answer(kind, model, np.arange(3.0), mended), abs=CLOSE)
    with pytest.raises(ValueError, match=r"at most 0.5 late; 1.4 came after 2.0"):
        stream.update(1.4, [1.0, 1.0])


@pytest.mark.parametrize(
    ("times", "values", "match"),
    [
        ([2.0, 1.5], [[1.0, 2.0]] * 2, "must increase; 1.5 is not later than 2.0"),
        (1.0, [1.0, 2.0], "must increase"),
        (0.5, [1.0, 2.0], "must increase"),
        (2.0, [1.0], "must be"),
        (2.0, [np.inf, 1.0], "finite"),
        (pd.Timestamp("2024-01-01"), [1.0, 2.0], "kind"),
        (np.nan, [1.0, 2.0], "every time"),
        (2.0, ["a", "b"], "numbers"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_leaves_the_stream_as_it_was(kind, times, values, match):
    stream = fitted(kind).stream().update(1.0, [0.1, 0.2])
    before = answer(kind, stream)
    with pytest.raises(ValueError, match=match):
        stream.update(times, values)
    assert (answer(kind, stream) == before).all()


@pytest.mark.parametrize("tolerance", [-1.0, "soon", np.nan])
def test_a_tolerance_is_a_duration(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        fitted("class").stream(tolerance=tolerance)


def test_a_tolerance_of_datetimes_is_a_timedelta():
    stream = fitted("class", stamps=True).stream(tolerance="10min").update(START, [1.0, 2.0])
    stream.update(START - pd.Timedelta("10min"), [2.0, np.nan])
    with pytest.raises(ValueError, match="late"):
        stream.update(START - pd.Timedelta("11min"), [2.0, np.nan])


def test_nothing_to_answer_from():
    with pytest.raises(ValueError, match="update first"):
        fitted("rows").stream().predict()
    with pytest.raises(ValueError, match="update first"):
        fitted("forecast").stream().predict()
    with pytest.raises(ValueError, match="before the last row"):
        fitted("rows").stream().update(1.0, [1.0, 2.0]).predict(at=0.5)


def test_what_looks_ahead_is_refused():
    panel = ragged(8)
    y = panel.with_values(np.nan_to_num(panel.values[:, :1]), channels=["y"])
    with pytest.raises(ValueError, match="looks back only"):
        SSMSequenceRegressor(bidirectional=True, **QUICK).fit(panel, y).stream()
    with pytest.raises(ValueError, match="looks back only"):
        SSMImputer(**QUICK).fit(panel).stream()


def test_rows_are_copied():
    model, row = fitted("class"), np.array([0.1, 0.2])
    stream = model.stream().update(0.0, [0.0, 0.0])
    stream.update(1.0, row)
    row[:] = 100.0
    same = model.stream().update([0.0, 1.0], [[0.0, 0.0], [0.1, 0.2]])
    assert stream.predict_proba() == pytest.approx(same.predict_proba(), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_streams_are_copied_and_pickled_and_go_on_by_themselves(kind):
    model, (times, values) = fitted(kind), growing(30)
    stream = model.stream().update(times[:20], values[:20])
    answer(kind, stream)
    others = [copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))]
    stream.update([], np.empty((0, 2))).update(times[20:], values[20:])
    expected = batch_answer(kind, model, times[:20], values[:20])
    for other in others:
        assert answer(kind, other) == pytest.approx(expected, abs=CLOSE)
        assert answer(kind, other.update(times[20:], values[20:])) == pytest.approx(answer(kind, stream), abs=1e-12)
