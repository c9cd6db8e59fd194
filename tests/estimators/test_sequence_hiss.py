"""Sequence regressors on hierarchies: streams, causality, and inputs that go wrong."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests.conformance.estimators import QUICK, ragged
from tests.estimators.test_sequence import moved, other_times
from tsssm import Panel, Recipe, SSMSequenceRegressor
from tsssm.layers import GRU, S5, HiSS

CLOSE = 1e-6
LEVELS = {
    "time": [(2.0, Recipe(S5, d_state=8)), (None, Recipe(S5, d_state=8))],
    "rows": [(3, Recipe(S5, d_state=8)), (None, Recipe(GRU))],
    "three": [(1.5, Recipe(S5, d_state=8)), (4.5, Recipe(GRU)), (None, Recipe(S5, d_state=8))],
}


@cache
def fitted(levels: str = "time", lookahead: float | None = None) -> SSMSequenceRegressor:
    panel, layer = ragged(12), Recipe(HiSS, levels=LEVELS[levels])
    est = SSMSequenceRegressor(layer=layer, lookahead=lookahead, **QUICK).fit(panel, other_times(panel))
    # what is above must matter, or nothing is tested: after two epochs it hardly does
    for block in est.models_[0].layer.blocks:
        block.layer.up.weight.data *= 8
    return est


def one(seed: int = 3, n: int = 1) -> tuple[np.ndarray, np.ndarray]:
    ((times, values),) = ragged(n, seed)[0]
    return times, values


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("chunk", [1, 4])
def test_streams_answer_as_the_batch_does(levels, chunk):
    model, (times, values) = fitted(levels), one()
    stream, panel = model.stream(), Panel.from_series([(times, values)])
    for start in range(0, len(times), chunk):
        stream.update(times[start : start + chunk], values[start : start + chunk])
        last = times[: start + chunk][-1]
        asked = last + np.array([0.0, 0.3, 7.0])
        so_far = model.predict(panel.rows(times <= last), asked).values
        assert stream.predict(at=asked) == pytest.approx(so_far, abs=1e-5)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("lookahead", [None, 0.8])
def test_a_target_reads_nothing_after_its_time(levels, lookahead):
    model, (times, values), later = fitted(levels, lookahead), one(8), lookahead or 0.0
    rng, panel = np.random.default_rng(0), Panel.from_series([one(8)])
    for asked in (*times[2:], *(times[2:-1] + times[3:]) / 2, times[-1] + 3.0):
        truth = model.predict(panel, [asked]).values
        after = times > asked + later + 1e-9
        changed = np.where(after[:, None], rng.permutation(values) * 9 + 1, values)
        assert model.predict(panel.with_values(changed), [asked]).values == pytest.approx(truth, abs=1e-12)
        assert model.predict(panel.rows(~after), [asked]).values == pytest.approx(truth, abs=CLOSE)


@pytest.mark.parametrize("levels", LEVELS)
def test_chunks_without_rows_only_let_time_pass(levels):
    model, (times, values) = fitted(levels), one()
    late = np.where(np.arange(len(times)) < 4, times, times + 40.0)
    panel = Panel.from_series([(late, values)])
    asked = np.sort(np.r_[late[3] + np.array([0.5, 20.0, 39.0]), late])
    found = model.predict(panel, asked).values
    assert np.isfinite(found).all()
    # what is asked within the gap makes no chunk of its own
    assert model.predict(panel, late).values == pytest.approx(found[np.isin(asked, late)], abs=CLOSE)
    rows = np.full((len(late) + 5, 2), np.nan)
    silent = np.sort(np.r_[late, late[3] + np.arange(1.0, 6.0)])
    rows[np.isin(silent, late)] = values
    assert model.predict(Panel.from_series([(silent, rows)]), asked).values == pytest.approx(found, abs=CLOSE)


@pytest.mark.parametrize("levels", LEVELS)
def test_clocks_that_drift_apart(levels):
    model, panel = fitted(levels), ragged(6, 4)
    target = other_times(panel)
    # a clock of the target that runs 8 % fast leaves the inputs behind
    fast = Panel.from_series([(1.08 * times, values) for times, values in target], channels=target.channels)
    found = model.predict(panel, fast)
    assert np.isfinite(found.values).all() and np.array_equal(found.times, fast.times)
    for i, (times, _) in enumerate(fast):
        assert model.predict(panel[i], times).values == pytest.approx(found[i].values, abs=CLOSE)
    # a fit takes targets of which some lie outside; all outside is an error
    SSMSequenceRegressor(layer=Recipe(HiSS, levels=LEVELS[levels]), **QUICK).fit(panel, fast)
    with pytest.raises(ValueError, match="within the time span of the inputs"):
        SSMSequenceRegressor(layer=Recipe(HiSS, levels=LEVELS[levels]), **QUICK).fit(panel, moved(target, 500.0))


@pytest.mark.parametrize("levels", LEVELS)
def test_a_sensor_that_stops(levels):
    model, (times, values) = fitted(levels), one()
    asked = np.r_[times[4] - 0.01, times[4] + np.array([1.0, 10.0, 1000.0])]
    stopped, half = values.copy(), values.copy()
    stopped[5:], half[5:, 0] = np.nan, np.nan
    whole, none, other = (
        model.predict(Panel.from_series([(times, part)]), asked).values for part in (values, stopped, half)
    )
    assert none[0] == pytest.approx(whole[0], abs=CLOSE) and other[0] == pytest.approx(whole[0], abs=CLOSE)
    assert np.isfinite(none).all() and np.isfinite(other).all()
    gone = Panel.from_series([(times[:5], values[:5])])
    assert model.predict(gone, asked).values == pytest.approx(none, abs=CLOSE)
    stream = model.stream().update(times, stopped)
    assert stream.predict(at=times[-1] + 1.0) == pytest.approx(
        model.predict(gone, [times[-1] + 1.0]).values[0], abs=1e-5
    )


def test_before_the_first_row_and_without_any():
    model, panel = fitted(), ragged(3, 4)
    early = model.predict(panel, [-5.0]).values
    assert np.isfinite(early).all() and np.ptp(early, axis=0) == pytest.approx(0, abs=CLOSE)
    empty = Panel(np.empty(0), np.empty((0, 2)), np.array([0, 0]), np.array([0]), panel.channels)
    assert np.isfinite(model.predict(empty, [0.0, 3.0]).values).all()
