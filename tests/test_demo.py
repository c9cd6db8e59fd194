"""The demonstration on a small part of its data: tables with all rows, a page that needs no other file."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tsssm.data import Panel
from tsssm.data.synthetic import noisy_sines
from tsssm.datasets import load_cgm, load_physionet2012
from tsssm.demo import __main__ as demo
from tsssm.demo.baselines import SummaryTable, gradient_boosting, logistic_regression
from tsssm.demo.forecasts import forecasts, score, split
from tsssm.demo.guesses import Band, LastRidge, Mean, Seasonal, last_value, leads
from tsssm.demo.mortality import mortality
from tsssm.demo.page import Section, Table, write_page
from tsssm.demo.windows import backtest, thin

NAN = np.nan


def series(*pairs) -> Panel:
    return Panel.from_series([(np.array(times, float), np.array(values, float)) for times, values in pairs])


def test_mortality_has_all_rows_and_pictures(tmp_path):
    (train, y), (test, z) = load_physionet2012("a"), load_physionet2012("b")
    part = mortality((train[:80], y[:80]), (test[:60], z[:60]), members=1, jobs=1, epochs=1)
    names = [row[0] for row in part.tables[0].rows]
    assert [name.split()[0] for name in names] == ["S5,", "GRU", "logistic", "gradient", "share"]
    assert all(0 <= float(row[1]) <= 1 and 0 <= float(row[2]) <= 1 for row in part.tables[0].rows)
    text = write_page(tmp_path / "new" / "page.html", "A < B", [part], "made").read_text(encoding="utf-8")
    assert text.count('src="data:image/png;base64,') == 3
    assert "A &lt; B" in text and 'src="http' not in text and "href" not in text


def test_forecasts_have_all_rows_and_pictures():
    part = forecasts(load_cgm()[:8], epochs=1)
    names = [row[0] for row in part.tables[0].rows]
    assert names == [
        "S5, 1 member",
        "last value",
        "same time the day before",
        "mean of training",
        "ridge on the last observations",
    ]
    assert len(part.pictures) == 2
    part.to_html()


def test_command_prints_tables_and_where_the_page_is(tmp_path, monkeypatch, capsys):
    empty = Section("a part", "some text", [Table(("model", "score"), [("one", "0.5")])], [])
    monkeypatch.setattr(demo, "mortality", lambda *arguments, **options: empty)
    monkeypatch.setattr(demo, "forecasts", lambda *arguments, **options: empty)
    monkeypatch.setattr(sys, "argv", ["demo", "--out", str(tmp_path / "index.html")])
    demo.main()
    printed = capsys.readouterr().out
    assert printed.count("| one   |   0.5 |") == 2
    assert str(tmp_path / "index.html") in printed


def test_summary_table_by_hand():
    panel = series(([0, 1, 2], [3.0, NAN, 1.0]), ([0, 1], [NAN, NAN]))
    table = SummaryTable().fit_transform(panel)
    np.testing.assert_array_equal(table, [[1, 3, 2, 3, 1, 2], [NAN, NAN, NAN, NAN, NAN, 0]])


@pytest.mark.parametrize("make", [logistic_regression, gradient_boosting])
def test_plain_classifiers_learn_a_level(make):
    panel, y = noisy_sines(80, random_state=0)
    shifted = panel.with_values(panel.values + 3 * np.repeat(y, panel.lengths)[:, None])
    assert (make().fit(shifted[:60], y[:60]).predict(shifted[60:]) == y[60:]).all()


def test_backtest_cuts_by_hand():
    panel = series((np.arange(10), np.arange(10)), ([0, 9], [0, 9]))
    past, future = backtest(panel, context=3.0, horizon=2.0, every=3.0)
    assert past.ids.tolist() == future.ids.tolist() == ["0/0", "0/1"]
    assert [times.tolist() for times, _ in past] == [[1, 2, 3], [4, 5, 6]]
    assert [times.tolist() for times, _ in future] == [[4, 5], [7, 8]]


def test_backtest_knows_nothing_of_the_future():
    past, future = backtest(thin(load_cgm()[:3], 0.3), 86400.0, 7200.0, every=10_000.0)
    assert len(past) > 50
    assert all(one[0][-1] < two[0][0] <= one[0][-1] + 3 * 7200 for one, two in zip(past, future, strict=True))


def test_guesses_by_hand():
    past = series(([0, 1, 2], [5.0, 7.0, NAN]))
    asked = series(([3, 4.1, 9], [0.0, 0.0, 0.0]))
    assert leads(past, asked) == pytest.approx([1, 2.1, 7])
    assert last_value(past, asked)[:, 0].tolist() == [7, 7, 7]
    assert Seasonal(3.0, 0.5)(past, asked)[:, 0].tolist() == [5, 7, 5]
    assert Seasonal(3.5, 0.2)(past, asked)[:, 0].tolist() == [7, 7, 7]
    assert Mean(np.array([4.0]))(past, asked)[:, 0].tolist() == [4, 4, 4]


def test_ridge_finds_a_straight_line_and_a_cycle():
    times = np.sort(np.random.default_rng(0).uniform(0, 200, 400))
    line, wave = series((times, 3 * times)), series((times, np.sin(times)))
    for panel, season in ((line, ()), (wave, (2 * np.pi,))):
        past, future = backtest(panel, 20.0, 2.0, every=1.0)
        ridge = LastRidge.fit(past[:120], future[:120], season=season)
        error = ridge(past[120:], future[120:]) - future[120:].values
        assert np.abs(error).mean() < 0.25 * np.abs(last_value(past[120:], future[120:]) - future[120:].values).mean()


def test_band_has_its_coverage_at_each_lead():
    rng = np.random.default_rng(0)
    n = 2000
    past = Panel.from_array(np.zeros((n, 1)), times=np.zeros((n, 1)))
    times = np.sort(rng.uniform(1, 10, (n, 3)), 1)
    future = Panel.from_array(rng.normal(size=(n, 3)) * times, times=times)
    half = Band.fit(last_value, past, future, coverage=0.8).half_width(past, future)
    inside = np.abs(future.values) <= half
    near = future.times < 4
    assert inside[near].mean() == pytest.approx(0.8, abs=0.02)
    assert inside[~near].mean() == pytest.approx(0.8, abs=0.02)
    assert half[near].mean() < half[~near].mean() / 2


def test_score_by_hand():
    truth = series(([0, 1, 2], [1.0, NAN, 4.0]))
    point, low, high = (np.array(values)[:, None] for values in ([2.0, 9.0, 4.0], [0.0, 0, 5.0], [2.0, 0, 6.0]))
    assert score(truth, point, low, high) == ("0.5", "0.7", "50.0%", "2")


def test_split_keeps_people_apart():
    train, test = split(load_cgm(), 3)
    assert set(train.ids) | set(test.ids) == set(load_cgm().ids)
    assert not set(train.ids) & set(test.ids)


def test_markdown_and_html_hold_every_cell():
    table = Table(("model", "a<b"), [("one", "1"), ("three", "22")])
    assert table.to_markdown().splitlines() == [
        "| model | a<b |",
        "| ----- | --: |",
        "| one   |   1 |",
        "| three |  22 |",
    ]
    assert "<th>a&lt;b</th>" in table.to_html() and table.to_html().count("<tr>") == 3
