"""Tasks: what they hide, what they ask, and that nothing asked can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from tsssm.data.batch import Question, Source
from tsssm.data.panel import Panel
from tsssm.data.scaling import Scaling
from tsssm.data.tasks import HideLast, HidePoints, Task, ask_target, ranges, show_all, show_rows

LENGTHS = [0, 1, 2, 9, 30, 0, 5]
SCALE = 2.0
SERIES = np.array([4, 0, 3, 3, 1, 2, 6, 5, 4])
"""Empty ones, a single row, and some twice."""


def source_of(target: bool = False) -> Source:
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(LENGTHS)]).astype(np.int64)
    times = np.concatenate([np.sort(rng.uniform(0, 2.0 * length, length)) for length in LENGTHS])
    values = rng.standard_normal((offsets[-1], 3))
    values[rng.random(values.shape) < 0.3] = np.nan
    panel = Panel(times, values, offsets, np.arange(len(LENGTHS)), ("a", "b", "c"))
    own = rng.standard_normal((offsets[-1], 2)) if target else None
    return Source(panel, Scaling.fit(panel), SCALE, target=own)


TASKS: dict[str, Task] = {
    "show_all": show_all,
    "show_rows": show_rows,
    "hide_last": HideLast(horizon=3.0, context=8, channels=(0, 1, 2)),
    "hide_last_known": HideLast(horizon=3.0, context=8, channels=(1,), known=(0,)),
    "hide_points": HidePoints(context=12),
}
every_task = pytest.mark.parametrize("name", TASKS)


def asked(name: str, seed: int, source: Source | None = None) -> tuple[Source, Question]:
    source = source or source_of()
    return source, TASKS[name](source, SERIES, np.random.default_rng(seed))


@every_task
@pytest.mark.parametrize("seed", range(10))
def test_nothing_asked_is_seen(name: str, seed: int):
    source, question = asked(name, seed)
    batch = source.batch(question)
    if batch.wanted is not None:
        assert not bool((batch.observed & batch.wanted).any())
        assert not bool(batch.values[batch.wanted].any())
        # what is asked was measured
        assert bool(source.seen[question.rows][question.wanted].all())
    assert not bool(batch.values[~batch.observed].any())
    assert len(batch.static) == len(SERIES)


@every_task
@pytest.mark.parametrize("seed", range(10))
def test_rows_are_stretches_of_their_series_in_order(name: str, seed: int):
    source, question = asked(name, seed)
    assert np.array_equal(question.series, SERIES) and question.counts.sum() == len(question.rows)
    start = 0
    for number, count in zip(question.series, question.counts, strict=True):
        rows = question.rows[start : start + count]
        assert np.array_equal(rows, np.arange(rows[0], rows[0] + count) if count else [])
        assert bool(((rows >= source.offsets[number]) & (rows < source.offsets[number + 1])).all())
        start += count


@every_task
def test_the_generator_decides(name: str):
    for (_, ours), (_, same), (_, other) in [(asked(name, 1), asked(name, 1), asked(name, 2))]:
        for part in ("rows", "counts", "hidden", "wanted"):
            mine, theirs = getattr(ours, part), getattr(same, part)
            assert (mine is None and theirs is None) or np.array_equal(mine, theirs)
        if name not in ("show_all", "show_rows"):
            differs = not np.array_equal(ours.counts, other.counts)
            assert differs or not np.array_equal(ours.hidden, other.hidden)


def test_ranges():
    starts, counts = np.array([5, 0, 9]), np.array([2, 0, 3])
    assert ranges(starts, counts).tolist() == [5, 6, 9, 10, 11]
    assert ranges(np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []


def test_show_all_shows_all():
    source, question = asked("show_all", 0)
    assert question.hidden is None and question.wanted is None
    assert np.array_equal(question.counts, np.array(LENGTHS)[SERIES])
    assert int(source.batch(question).observed.sum()) == int(source.seen[question.rows].sum())


def test_show_rows_keeps_rows_that_show_nothing():
    source, question = asked("show_rows", 0)
    blank = int((~source.seen[question.rows]).all(1).sum())
    kept, left = source.batch(question), source.batch(show_all(source, SERIES))
    assert blank > 0 and int(kept.grid.valid.sum()) - int(left.grid.valid.sum()) == blank
    assert int((kept.grid.valid & ~kept.grid.active).sum()) == blank + LENGTHS.count(0)
    assert kept.observed.sum() == left.observed.sum()


def test_ask_target_asks_for_every_target_there_is():
    source = source_of(target=True)
    question = ask_target(source, SERIES, np.random.default_rng(0))
    assert question.hidden is None
    assert np.array_equal(question.wanted, source.asked[question.rows]) and question.wanted.shape[1] == 2


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("horizon", [0.4, 3.0, np.inf])
def test_hide_last_asks_for_all_within_the_horizon_and_nothing_beyond(seed: int, horizon: float):
    source, context, channels, known = source_of(), 6, (1, 2), (0,)
    question = HideLast(horizon, context, channels, known)(source, SERIES, np.random.default_rng(seed))
    start = 0
    for number, count in zip(question.series, question.counts, strict=True):
        part = slice(start, start + count)
        rows, hidden, wanted = question.rows[part], question.hidden[part], question.wanted[part]
        start += count
        length = LENGTHS[number]
        if length == 0:
            assert count == 0
            continue
        ahead = hidden[:, channels[0]]
        shown = int((~ahead).sum())
        # the rows ahead come last, and each series keeps at least one to see
        assert not ahead[:shown].any() and ahead[shown:].all() and 1 <= shown <= context
        cut = rows[0] + shown
        end = source.times[cut - 1] + horizon
        stop = source.offsets[number + 1]
        truth = [row for row in range(cut, stop) if source.times[row] <= end]
        assert rows[shown:].tolist() == truth
        assert length == 1 or cut < stop
        assert rows[0] == max(source.offsets[number], cut - context)
        # known channels are shown and never asked, forecast ones asked where they were measured
        assert not hidden[:, 0].any() and not wanted[:, 0].any()
        assert np.array_equal(wanted[:, 1:], source.seen[rows][:, 1:] & ahead[:, None])


def test_hide_last_cuts_everywhere():
    source, cuts = source_of(), set()
    for seed in range(200):
        question = HideLast(1e9, 100, (0,))(source, np.array([6]), np.random.default_rng(seed))
        cuts.add(int((~question.hidden[:, 0]).sum()))
    assert cuts == {1, 2, 3, 4}


def test_hide_last_does_not_ask_for_what_it_shows():
    with pytest.raises(ValueError, match="`known` must share no channel; both hold 1"):
        HideLast(1.0, 4, channels=(1, 2), known=(0, 1))


@pytest.mark.parametrize("seed", range(5))
def test_hide_points_asks_for_what_it_hides(seed: int):
    _, question = asked("hide_points", seed)
    assert np.array_equal(question.hidden, question.wanted)
    assert np.array_equal(question.counts, np.minimum(np.array(LENGTHS)[SERIES], 12))


def test_hide_points_hides_the_share_it_is_told_in_both_kinds():
    offsets = np.array([0, 1000])
    panel = Panel(np.arange(1000.0), np.ones((1000, 2)), offsets, np.arange(1), ("a", "b"))
    source = Source(panel, Scaling.fit(panel), 1.0)
    series, runs = np.zeros(40, np.int64), []
    question = HidePoints(1000, low=0.3, high=0.3)(source, series, np.random.default_rng(0))
    hidden = question.hidden.reshape(40, 1000, 2)
    np.testing.assert_allclose(hidden.mean(1), 0.3, atol=0.06)
    for part in hidden:
        # borders between hidden and shown: two where a stretch was hidden, hundreds where points were
        runs.append(int((part[:, 0] != np.roll(part[:, 0], 1)).sum()))
    assert set(np.unique(np.array(runs) == 2)) == {False, True}
    assert min(run for run in runs if run != 2) > 100
