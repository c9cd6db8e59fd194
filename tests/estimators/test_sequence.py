"""Sequence estimators whose targets have a clock of their own: what they learn, read, answer and refuse."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from tests.conformance.estimators import QUICK, ragged
from tsssm import Panel, SSMSequenceRegressor, export
from tsssm.data import Scaling, Source
from tsssm.data.pieces import AskTargets, lead_in
from tsssm.estimators import sequence

CLOSE = 1e-6


def filtered(n: int, random_state: int = 0) -> tuple[Panel, Panel]:
    """Numbers u_k at irregular times, and at other, fewer times the exact solution of x' = u - x / 3.

    u is u_k over the gap before the time of u_k, and 0 after the last one before a time asked.
    """
    rng = np.random.default_rng(random_state)
    inputs, outputs = [], []
    for _ in range(n):
        times, u = np.cumsum(rng.exponential(1, 40)), rng.normal(size=40)
        asked = np.sort(rng.uniform(times[0], times[-1], 12))
        x = np.zeros(40)
        for k in range(1, 40):
            left = np.exp(-(times[k] - times[k - 1]) / 3)
            x[k] = left * x[k - 1] + 3 * (1 - left) * u[k]
        k = np.searchsorted(times, asked, side="right") - 1
        inputs.append((times, u[:, None]))
        outputs.append((asked, (x[k] * np.exp(-(asked - times[k]) / 3))[:, None]))
    return Panel.from_series(inputs), Panel.from_series(outputs, channels=["x"])


def other_times(panel: Panel, seed: int = 5) -> Panel:
    """A target of two channels at fewer, other times of each series; some are those of rows."""
    rng, series = np.random.default_rng(seed), []
    for times, _ in panel:
        own = np.sort(np.r_[rng.uniform(times[0], times[-1], 3), times[2], times[-1] + 0.4])
        series.append((own, np.stack([np.sin(own), 5 + own], 1)))
    return Panel.from_series(series, channels=["p", "q"])


@cache
def fitted(lookahead: float | None = None, layer: str = "s5") -> SSMSequenceRegressor:
    panel = ragged(12)
    settings = {**QUICK, "depth": 2, "layer": layer}
    return SSMSequenceRegressor(lookahead=lookahead, **settings).fit(panel, other_times(panel))


def test_a_filter_is_learnt_at_times_between_the_inputs():
    panel, target = filtered(60)
    est = SSMSequenceRegressor(epochs=30, lr=0.01, batch_size=8, dropout=0.0, depth=1, d_model=16, random_state=0)
    est.fit(panel[:45], target[:45])
    assert est.score(panel[45:], target[45:]) > 0.9


@pytest.mark.parametrize("lookahead", [None, 0.8])
@pytest.mark.parametrize("layer", ["s5", "gru", "selective"])
def test_a_target_reads_nothing_after_its_time(lookahead, layer):
    model, panel, later = fitted(lookahead, layer), ragged(3, 8), lookahead or 0.0
    rng = np.random.default_rng(0)
    for (times, values), id in zip(panel, panel.ids.tolist(), strict=True):
        one = panel[int(id)]
        for asked in (times[3], (times[3] + times[4]) / 2, times[-1]):
            truth = model.predict(one, [asked]).values
            after = times > asked + later + 1e-9
            changed = np.where(after[:, None], rng.permutation(values) * 9 + 1, values)
            assert model.predict(one.with_values(changed), [asked]).values == pytest.approx(truth, abs=1e-12)
            assert model.predict(one.rows(~after), [asked]).values == pytest.approx(truth, abs=CLOSE)
            last = np.flatnonzero(~after & np.isfinite(values).any(1))[-1]
            changed = values.copy()
            changed[last] = np.nan_to_num(values[last]) + 2.0
            assert np.abs(model.predict(one.with_values(changed), [asked]).values - truth).max() > 1e-6


@pytest.mark.parametrize("lookahead", [None, 0.8])
def test_answers_do_not_depend_on_what_else_is_asked(lookahead):
    model, panel = fitted(lookahead), ragged(3, 8)
    every = np.linspace(0, 15, 31)
    together = model.predict(panel, every)
    assert (together.lengths == 31).all()
    for k in (0, 7, 30):
        assert model.predict(panel, every[[k]]).values == pytest.approx(together.values[k::31], abs=CLOSE)
    assert model.predict(panel).values == pytest.approx(model.predict(panel, panel).values, abs=0)


@pytest.mark.parametrize("lookahead", [None, 0.8])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_streams_answer_as_the_batch_does(lookahead, chunk):
    model, later = fitted(lookahead), lookahead or 0.0
    ((times, values),) = ragged(1, 3)[0]
    stream, panel = model.stream(), Panel.from_series([(times, values)])
    for start in range(0, len(times), chunk):
        stream.update(times[start : start + chunk], values[start : start + chunk]).update([], np.empty((0, 2)))
        last = times[: start + chunk][-1]
        asked = last - later + np.array([0.0, 0.3, 5.0])
        so_far = model.predict(panel.rows(times <= last), asked).values
        assert stream.predict(at=asked) == pytest.approx(so_far, abs=1e-5)
        assert stream.predict() == pytest.approx(so_far[0], abs=1e-5)
    with pytest.raises(ValueError, match="must not lie before the last row"):
        stream.predict(at=times[-1] - later - 0.1)


@pytest.mark.parametrize("layer", ["s5", "gru"])
def test_long_records_are_answered_in_pieces(layer, monkeypatch):
    model, panel = fitted(None, layer), ragged(6, 4)
    whole, asked = model.predict(panel).values, model.predict(panel, np.arange(0, 12, 0.7)).values
    monkeypatch.setattr(sequence, "ROWS_AT_ONCE", 5)
    assert model.predict(panel).values == pytest.approx(whole, abs=CLOSE)
    assert model.predict(panel, np.arange(0, 12, 0.7)).values == pytest.approx(asked, abs=CLOSE)


@pytest.mark.parametrize("context", [2, 5, 8, 100])
def test_pieces_answer_each_row_once_from_half_a_context(context):
    panel = ragged(8)
    source = Source(panel, Scaling.fit(panel), 1.0, target=np.ones((panel.n_rows, 1)))
    windows = lead_in(source, context)
    assert (windows.lengths <= context).all()
    question = AskTargets(apart=False)(windows, np.arange(len(windows)))
    wanted = question.wanted[:, 0]
    assert np.array_equal(np.sort(question.rows[wanted]), np.arange(panel.n_rows))
    lead, begin = windows.earliest - windows.offsets, source.offsets[windows.series]
    assert ((lead >= context // 2) | (windows.offsets == begin)).all()
    apart = AskTargets(apart=True)(windows, np.arange(len(windows)))
    assert np.array_equal(apart.rows[apart.wanted[:, 0]], question.rows[wanted])
    assert (apart.hidden.all(1) == apart.wanted[:, 0]).all()


@pytest.mark.parametrize("apart", [True, False])
def test_moving_pieces_stay_in_their_series_and_go_everywhere(apart):
    panel, context = Panel.from_series([np.arange(length, dtype=float) for length in (40, 5, 23, 7)]), 8
    source = Source(panel, Scaling.fit(panel), 1.0, target=np.ones((panel.n_rows, 1)))
    windows, rng = lead_in(source, context), np.random.default_rng(0)
    every, task, owner = np.arange(len(windows)), AskTargets(apart, moving=True), np.repeat(np.arange(4), panel.lengths)
    asked = np.zeros(panel.n_rows, int)
    for _ in range(30):
        question = task(windows, every, rng)
        starts = np.append(0, np.cumsum(question.counts))[:-1]
        for number, (start, count) in enumerate(zip(starts, question.counts, strict=True)):
            rows, wanted = question.rows[start : start + count], question.wanted[start : start + count, 0]
            assert len(np.unique(owner[rows])) == 1 and np.ptp(rows) < context and set(np.diff(rows)) <= {0, 1}
            # from half a context before, or from the start of the series
            lead = rows[wanted].min() - rows[0]
            assert lead >= context // 2 or rows[0] == source.offsets[owner[rows[0]]]
            assert windows.offsets[number] != source.offsets[owner[rows[0]]] or rows[0] == windows.offsets[number]
            asked[rows[wanted]] += 1
    assert (asked >= 15).all()
    # a prediction and a fit that holds windows out ask each target once
    for fixed in (task(windows, every), AskTargets(apart)(windows, every, rng)):
        assert np.array_equal(np.sort(fixed.rows[fixed.wanted[:, 0]]), np.arange(panel.n_rows))


def test_training_in_pieces_learns_a_long_record():
    rng = np.random.default_rng(0)
    u = rng.normal(size=(3000, 1))
    x = np.convolve(u[:, 0], 0.5 ** np.arange(20))[:3000]
    panel = Panel.from_series([(np.arange(3000.0), u)])
    target = Panel.from_series([(np.arange(10.0, 3000, 3), x[10::3, None])])
    est = SSMSequenceRegressor(
        context=64, epochs=12, lr=0.01, batch_size=8, dropout=0.0, d_model=8, depth=1, random_state=0
    )
    est.fit(panel, target)
    assert est.score(panel, target) > 0.85 and not est.on_rows_


def test_targets_at_rows_are_asked_of_the_rows_themselves():
    panel = ragged()
    y = panel.with_values(np.nan_to_num(panel.values), channels=["p", "q"])
    est = SSMSequenceRegressor(**QUICK).fit(panel, y)
    assert est.on_rows_
    assert est.predict(panel, y.rows(np.isfinite(panel.values).any(1))).n_rows < panel.n_rows
    between = (panel.times[1] + panel.times[2]) / 2
    stream = est.stream().update(panel.times[:2], panel.values[:2])
    assert stream.predict(at=between) == pytest.approx(est.predict(panel[0], [between]).values[0], abs=CLOSE)


def test_targets_in_every_form():
    panel = ragged(12)
    target = other_times(panel)
    truth = fitted().predict(panel, target)
    assert truth.channels == ("p", "q") and np.array_equal(truth.times, target.times)
    shuffled = SSMSequenceRegressor(**{**QUICK, "depth": 2}).fit(panel, target[::-1].to_frame())
    assert shuffled.predict(panel, target).values == pytest.approx(truth.values, abs=0)
    by_id = {i: target[i].times for i in (3, 5)}
    some = fitted().predict(panel, by_id)
    assert np.array_equal(np.flatnonzero(some.lengths), [3, 5])
    assert some[3].values == pytest.approx(truth[3].values, abs=CLOSE)
    assert fitted().predict(panel, target[[5, 3]])[5].values == pytest.approx(truth[5].values, abs=CLOSE)


def test_targets_as_channels_of_one_table():
    panel, target = ragged(12), other_times(ragged(12)).select(["p"])
    frames = [panel.to_frame(), target.to_frame()]
    both = pd.concat(frames).groupby(["id", "time"], as_index=False).first()
    est = SSMSequenceRegressor(target=["p"], **QUICK).fit(both)
    apart = SSMSequenceRegressor(**QUICK).fit(panel, target)
    assert est.channels_ == panel.channels and est.targets_ == ("p",)
    assert est.predict(panel, target).values == pytest.approx(apart.predict(panel, target).values, abs=CLOSE)
    # the target's own values must not matter
    both["p"] *= -7
    assert est.predict(Panel.from_frame(both, "id", "time"), target).values == pytest.approx(
        apart.predict(panel, target).values, abs=CLOSE
    )
    both["p"] /= -7
    assert est.score(both) == pytest.approx(apart.score(panel, target))


def test_clocks_with_other_origins_and_steps():
    start, panel = pd.Timestamp("2024-03-30 12:00", tz="Europe/Berlin"), ragged(12)
    target = other_times(panel)
    stamps = [start + pd.to_timedelta(np.round(times * 3600), unit="s") for times, _ in panel]
    asked = [start + pd.to_timedelta(np.round(times * 3.6e6), unit="ms") for times, _ in target]
    X = Panel.from_series([(own, values) for own, (_, values) in zip(stamps, panel, strict=True)])
    y = Panel.from_series([(own.tz_convert("UTC"), values) for own, (_, values) in zip(asked, target, strict=True)])
    est = SSMSequenceRegressor(lookahead="90min", **QUICK).fit(X, y)
    assert est.lookahead_ == 5400.0
    found = est.predict(X, y)
    assert found.clock == y.clock and np.array_equal(found.times, y.times)
    assert est.predict(X[0], asked[0]).values == pytest.approx(found[0].values, abs=CLOSE)


def test_errors_are_in_the_units_of_each_target():
    panel, target = ragged(12), other_times(ragged(12))
    values = target.values.copy()
    values[::3, 0] = np.nan
    target = target.with_values(values)
    found, table = fitted().predict(panel, target).values, fitted().errors(panel, target)
    for j, name in enumerate(("p", "q")):
        known = np.isfinite(values[:, j])
        pair = values[known, j], found[known, j]
        assert table.loc[name, "rmse"] == pytest.approx(root_mean_squared_error(*pair))
        assert table.loc[name, "mae"] == pytest.approx(mean_absolute_error(*pair))
        assert table.loc[name, "r2"] == pytest.approx(r2_score(*pair))
        assert table.loc[name, "count"] == known.sum()
    assert fitted().score(panel, target) == pytest.approx(table["r2"].mean())


def test_a_sensor_that_stops():
    model, ((times, values),) = fitted(), ragged(1, 3)[0]
    asked = np.r_[times[4] - 0.01, times[4] + 100.0]
    stopped = values.copy()
    stopped[5:] = np.nan
    one = values.copy()
    one[5:, 0] = np.nan
    whole, none, other = (
        model.predict(Panel.from_series([(times, part)]), asked).values for part in (values, stopped, one)
    )
    assert none[0] == pytest.approx(whole[0], abs=CLOSE) and other[0] == pytest.approx(whole[0], abs=CLOSE)
    assert np.isfinite(none).all() and np.isfinite(other).all()
    gone = Panel.from_series([(times[:5], values[:5])])
    assert model.predict(gone, asked).values == pytest.approx(none, abs=CLOSE)


def test_series_without_inputs_or_targets():
    panel, target = ragged(12), other_times(ragged(12))
    X = panel.rows(np.arange(panel.n_rows) >= panel.offsets[1])
    est = SSMSequenceRegressor(**QUICK).fit(X, target.rows(np.arange(target.n_rows) < target.offsets[9]))
    found = est.predict(X, target)
    assert np.array_equal(found.offsets, target.offsets) and np.isfinite(found.values).all()
    # before anything came, all series are alike
    early = est.predict(panel, [-3.0]).values
    assert np.ptp(early, axis=0) == pytest.approx(0, abs=CLOSE)


def moved(target: Panel, by: float) -> Panel:
    return Panel.from_series([(times + by, values) for times, values in target])


@pytest.mark.parametrize(
    ("settings", "make", "message"),
    [
        ({}, lambda y: moved(y, 5000.0), "within the time span of the inputs"),
        ({}, lambda y: Panel(y.times, y.values, y.offsets, y.ids + 3, y.channels), "series of y must be those of X"),
        ({}, lambda y: Panel.from_series([(pd.to_datetime(t, unit="s"), v) for t, v in y]), "clock of the kind of X"),
        ({}, lambda y: y.with_values(np.full(y.values.shape, np.nan)), "each target must have values"),
        ({"lookahead": -1.0}, lambda y: y, "must not be negative"),
        ({"lookahead": 1.0, "bidirectional": True}, lambda y: y, "looks back only"),
        ({"lookahead": "1h"}, lambda y: y, "a duration must be a number"),
        ({"target": ["x0"]}, lambda y: y, "channels named in `target`"),
        ({"target": ["x0", "x1"]}, lambda y: None, "channels beside `target`"),
        ({"target": ["angle"]}, lambda y: None, "must name channels of X"),
    ],
)
def test_what_does_not_fit_is_refused(settings, make, message):
    panel = ragged(12)
    with pytest.raises(ValueError, match=message):
        SSMSequenceRegressor(**QUICK, **settings).fit(panel, make(other_times(panel)))


def test_times_that_do_not_fit_are_refused():
    for times, message in (({99: [1.0]}, "must name series"), (pd.to_datetime(["2024-01-01"]), "`times` must be")):
        with pytest.raises(ValueError, match=message):
            fitted().predict(ragged(3), times)


def test_models_with_a_clock_of_their_own_are_not_exported(tmp_path):
    with pytest.raises(ValueError, match="answer at the rows it reads"):
        export(fitted(), tmp_path / "model.pt2", format="torch")
