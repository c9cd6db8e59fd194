"""What streams keep, save and refuse."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from tests.conformance.estimators import QUICK, ragged
from tests.estimators.streams import CLOSE, KINDS, LAYERS, START, answer, batch_answer, fitted, growing
from tsssm import (
    SSMImputer,
    SSMSequenceRegressor,
)
from tsssm.data.stream import AT_ONCE


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
