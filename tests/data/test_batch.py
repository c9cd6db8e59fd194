"""Batches against a plain loop over the series: layout, values, masks and gaps of packed rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tsssm.data.batch import Batch, Question, Source, lay_out
from tsssm.data.panel import Panel
from tsssm.data.scaling import Scaling
from tsssm.data.tasks import ranges

SCALE = 0.5


def random_panel(seed: int, n: int = 7, channels: int = 2) -> Panel:
    """Series of 0 to 6 rows, with rows that show nothing."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 7, n)
    lengths[:2] = 0, 1
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    times = np.concatenate([np.sort(rng.uniform(0, 5, length)) for length in lengths])
    values = rng.standard_normal((len(times), channels))
    values[rng.random(values.shape) < 0.4] = np.nan
    return Panel(times, values, offsets, np.arange(n), tuple("abcd"[:channels]))


def source_of(panel: Panel, **given: np.ndarray) -> Source:
    return Source(panel, Scaling.fit(panel), SCALE, **given)


def random_question(source: Source, seed: int) -> Question:
    """Some series, some of them twice, with some entries hidden and asked and others only hidden."""
    rng = np.random.default_rng(seed)
    series = rng.integers(0, len(source), 9)
    counts = source.lengths[series]
    rows = ranges(source.offsets[series], counts)
    hidden = rng.random((len(rows), source.seen.shape[1])) < 0.5
    wanted = hidden & source.seen[rows] & (rng.random(hidden.shape) < 0.7)
    return Question(rows, counts, series, hidden, wanted)


def plain(source: Source, question: Question) -> list[dict]:
    """Each series of a question, row by row: times, values, masks; None where it has nothing to say."""
    series, start = [], 0
    for number, count in zip(question.series, question.counts, strict=True):
        rows = []
        for place in range(start, start + count):
            row = question.rows[place]
            shown = source.seen[row] & ~(question.hidden[place] if question.hidden is not None else False)
            wanted = question.wanted[place] if question.wanted is not None else np.zeros_like(source.asked[row])
            if shown.any() or wanted.any():
                rows.append((row, shown, wanted))
        series.append({"number": int(number), "rows": rows})
        start += count
    return series


def along_the_batch(batch: Batch) -> list[list[tuple[int, int]]]:
    places: list[list[tuple[int, int]]] = []
    for i in range(batch.grid.dt.shape[0]):
        for k in range(batch.grid.dt.shape[1]):
            if batch.grid.reset[i, k]:
                places.append([])
            if batch.grid.valid[i, k]:
                places[-1].append((i, k))
    return places


@pytest.mark.parametrize("seed", range(20))
def test_packed_rows_equal_a_plain_loop(seed: int):
    panel = random_panel(seed)
    static = np.arange(len(panel), dtype=np.float64)[:, None]
    label = np.arange(len(panel))
    source = source_of(panel, static=static, label=label)
    question = random_question(source, seed)
    batch = source.batch(question)
    truth = plain(source, question)
    found = along_the_batch(batch)
    assert len(found) == len(truth) == len(batch.static) == len(batch.label)
    waiting = list(range(len(truth)))
    covered = torch.zeros_like(batch.grid.valid)
    for j, places in enumerate(found):
        number = int(batch.label[j])
        assert batch.static[j, 0] == number
        # one series may come several times: take the first with these rows
        match = next(
            i for i in waiting if truth[i]["number"] == number and agrees(batch, source, truth[i]["rows"], places)
        )
        waiting.remove(match)
        for place in places:
            assert not covered[place]
            covered[place] = True
    assert not waiting and torch.equal(covered, batch.grid.valid)
    outside = ~batch.grid.valid
    for part in (batch.values, batch.observed, batch.wanted, batch.target, batch.grid.dt, batch.grid.active):
        assert not bool(part[outside].any())


def agrees(batch: Batch, source: Source, rows: list, places: list[tuple[int, int]]) -> bool:
    """Whether the rows of a series lie at these places of a batch, with their gaps."""
    if not rows:
        i, k = places[0]
        silent = not bool(batch.observed[i, k].any() or batch.wanted[i, k].any() or batch.grid.active[i, k])
        return len(places) == 1 and silent and float(batch.grid.dt[i, k]) == 1.0
    if len(rows) != len(places):
        return False
    last = None
    for (row, shown, wanted), (i, k) in zip(rows, places, strict=True):
        gap = 1.0 if last is None else source.times[row] - source.times[last]
        values = np.where(shown, source.values[row].numpy(), 0.0)
        target = np.where(wanted, source.values[row].numpy(), 0.0)
        same = (
            np.array_equal(batch.values[i, k].numpy(), values)
            and np.array_equal(batch.observed[i, k].numpy(), shown)
            and np.array_equal(batch.wanted[i, k].numpy(), wanted)
            and np.array_equal(batch.target[i, k].numpy(), target)
            and float(batch.grid.dt[i, k]) == np.float32(gap)
            and bool(batch.grid.active[i, k]) == shown.any()
            and bool(batch.grid.reset[i, k]) == (last is None)
        )
        if not same:
            return False
        last = row
    return True


@pytest.mark.parametrize("seed", range(10))
def test_place_finds_each_row_that_was_asked(seed: int):
    panel = random_panel(seed)
    source = source_of(panel)
    question = random_question(source, seed)
    batch = source.batch(question)
    kept = [row for part in plain(source, question) for row in part["rows"]]
    blank = sum(not part["rows"] for part in plain(source, question))
    assert len(batch.place) == len(kept) + blank == int(batch.grid.valid.sum())
    assert len(np.unique(batch.place)) == len(batch.place)
    flat = batch.target.flatten(0, 1)[batch.place]
    wanted = batch.wanted.flatten(0, 1)[batch.place]
    truth = np.concatenate([source.values[row].numpy()[mask] for row, _, mask in kept] or [np.zeros(0)])
    assert np.array_equal(flat[wanted].numpy(), truth)


def test_time_is_measured_in_time_scales():
    panel = Panel(np.array([3.0, 4.0, 6.5]), np.ones((3, 1)), np.array([0, 3]), np.arange(1), ("a",))
    grid = source_of(panel).batch(Question(np.arange(3), np.array([3]), np.array([0]))).grid
    assert grid.dt.tolist() == [[1.0, 1.0 / SCALE, 2.5 / SCALE]]


def test_gaps_far_from_the_origin_keep_their_digits():
    times = 1.7e9 + np.array([0.0, 0.25, 0.75])
    panel = Panel(times, np.ones((3, 1)), np.array([0, 3]), np.arange(1), ("a",))
    grid = source_of(panel).batch(Question(np.arange(3), np.array([3]), np.array([0]))).grid
    assert grid.dt.tolist() == [[1.0, 0.5, 1.0]]


def test_a_row_left_out_lengthens_the_gap_after_it():
    values = np.array([[1.0], [np.nan], [2.0]])
    panel = Panel(np.array([0.0, 1.0, 1.5]), values, np.array([0, 3]), np.arange(1), ("a",))
    batch = source_of(panel).batch(Question(np.arange(3), np.array([3]), np.array([0])))
    assert batch.grid.dt.tolist() == [[1.0, 1.5 / SCALE]]


def test_empty_series_get_one_silent_blank_row():
    panel = Panel(np.zeros(0), np.zeros((0, 2)), np.zeros(4, np.int64), np.arange(3), ("a", "b"))
    source = Source(panel, Scaling.fit(random_panel(0)), SCALE, label=np.array([5, 6, 7]))
    none = np.zeros(0, np.int64)
    for mask in (None, np.zeros((0, 2), bool)):
        batch = source.batch(Question(none, np.zeros(3, np.int64), np.arange(3), mask, mask))
        assert batch.grid.dt.tolist() == [[1.0]] * 3 and batch.label.tolist() == [5, 6, 7]
        assert bool(batch.grid.valid.all()) and bool(batch.grid.reset.all())
        assert batch.grid.silent and not bool(batch.grid.active.any() | batch.observed.any())


def test_a_target_of_its_own():
    panel = random_panel(3)
    target = np.random.default_rng(0).standard_normal((len(panel.times), 3))
    target[::2] = np.nan
    source = source_of(panel, target=target)
    rows, series = np.arange(len(panel.times)), np.arange(len(panel))
    batch = source.batch(Question(rows, source.lengths, series, wanted=source.asked[rows]))
    assert batch.wanted.shape[-1] == 3 and batch.observed.shape[-1] == 2
    assert int(batch.wanted.sum()) == int(np.isfinite(target).sum())
    np.testing.assert_allclose(
        np.sort(batch.target[batch.wanted].numpy()), np.sort(target[np.isfinite(target)]), rtol=1e-6
    )


def test_a_batch_moves_as_a_whole():
    source = source_of(random_panel(1))
    batch = source.batch(random_question(source, 1)).to("cpu")
    assert isinstance(batch, Batch) and batch.grid.dt.dtype == torch.float32


@pytest.mark.parametrize("seed", range(30))
def test_layouts_do_not_overlap_and_fill_rows_best_fit(seed: int):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, rng.integers(2, 30), rng.integers(1, 25))
    place, (b, l), starts = lay_out(counts)
    assert l == counts.max() and place.max() < b * l
    assert len(np.unique(place)) == len(place) == counts.sum()
    assert np.array_equal(place, ranges(starts, counts))
    assert np.array_equal(starts // l, (starts + counts - 1) // l)
    # longest first: the series that opened a row found no room in the rows before
    used = np.bincount(starts // l, weights=counts, minlength=b)
    assert bool((used > 0).all())
    longest = [counts[starts // l == i].max() for i in range(b)]
    for i in range(b):
        assert all(l - used[earlier] < longest[i] for earlier in range(i))


def test_layouts_equal_a_plain_best_fit():
    rng = np.random.default_rng(1)
    for _ in range(20):
        counts = rng.integers(1, 9, 12)
        width, free = counts.max(), []
        for count in sorted(counts, reverse=True):
            fitting = [space for space in free if space >= count]
            if fitting:
                free.remove(min(fitting))
                free.append(min(fitting) - count)
            else:
                free.append(width - count)
        _, shape, starts = lay_out(counts)
        used = np.bincount(starts // width, weights=counts, minlength=shape[0])
        assert shape == (len(free), width) and sorted(width - used) == sorted(free)


def test_series_of_one_length_fill_rows_in_order():
    place, shape, starts = lay_out(np.full(4, 3))
    assert shape == (4, 3) and place.tolist() == list(range(12)) and starts.tolist() == [0, 3, 6, 9]


def test_layout_of_nothing():
    place, shape, starts = lay_out(np.zeros(0, np.int64))
    assert len(place) == len(starts) == 0 and shape == (0, 1)
