"""Streams answer at any moment what a prediction for the series so far gives."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from tests.conformance.estimators import QUICK, ragged
from tests.estimators.streams import (
    CLOSE,
    KINDS,
    LAYERED,
    LAYERS,
    PROBABLE,
    answer,
    batch_answer,
    fitted,
    growing,
    stamped,
)
from tsssm import (
    SSMClassifier,
)
from tsssm.data import Panel
from tsssm.data.stream import AT_ONCE
from tsssm.estimators.recipes import short_names


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
