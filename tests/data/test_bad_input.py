"""Bad input gets a right answer or an error that says what must hold, what came and where, and what to do."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from sktime.datatypes import convert_to

from tsssm.data.clock import Clock
from tsssm.data.panel import Panel, as_panel

INF, NAN = np.inf, np.nan
UTC, BERLIN = pd.Timestamp("2024-01-01", tz="UTC"), pd.Timestamp("2024-01-02", tz="Europe/Berlin")


def table(**columns) -> pd.DataFrame:
    plain = {"id": ["a", "a", "a", "b", "b"], "time": [0.0, 1.0, 2.5, 0.5, 3.2], "x": [1.0, 2.0, 3.0, 4.0, 5.0]}
    return pd.DataFrame(plain | columns)


def read(frame, **arguments) -> Panel:
    return Panel.from_frame(frame, **({"id": "id", "time": "time"} | arguments))


def refuses(message: str, action, kind=ValueError) -> None:
    with pytest.raises(kind, match=re.escape(message)) as caught:
        action()
    text = str(caught.value)
    assert "; " in text and re.search(r"\. [A-Z].*\.$", text), f"not three parts: {text}"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"time": [0.0, 1.0, 2.5, 3.2, 3.1]},
            "times must increase within each series; series 'b' goes from 3.2 to 3.1 at row 4. Sort",
        ),
        ({"time": [0, 2, 1, 0, 1]}, "series 'a' goes from 2 to 1 at row 2. Sort"),
        ({"time": [0.0, 1.0, 1.0, 0.0, 1.0]}, "series 'a' has 1.0 twice, at rows 1 and 2. Keep one row"),
        ({"id": [7, 8, 7, 8, 7], "time": [0, 5, 3, 5, 1]}, "series 7 goes from 3 to 1 at row 4"),
        ({"id": [7, 8, 7, 8, 7], "time": [0, 5, 3, 5, 6]}, "series 8 has 5 twice, at rows 1 and 3"),
        ({"time": pd.to_datetime(["2024-01-02"] * 5)}, "has 2024-01-02 00:00:00 twice, at rows 0 and 1"),
        ({"time": [0.0, NAN, 1.0, 0.0, 1.0]}, "every time must be given; row 1 (series 'a') has no time"),
        ({"time": pd.to_datetime(["2024-01-02", "2024-01-03", None, None, None])}, "row 2 (series 'a') has no time"),
        ({"time": [0.0, 1.0, INF, 0.0, 1.0]}, "times must be finite; row 2 (series 'a') has inf"),
        ({"time": ["0", "1", "2", "3", "4"]}, "they are text such as '0'. Parse them first"),
        ({"time": [True] * 5}, "they are booleans"),
        ({"time": [UTC, BERLIN] * 2 + [UTC]}, "they mix time zones. Bring them to one zone"),
        ({"time": [UTC, UTC.tz_localize(None)] * 2 + [UTC]}, "they mix time zones"),
        ({"time": [2**70 + i for i in range(5)]}, "integers beyond 64 bits"),
        (
            {"time": np.array([2**63 + i for i in range(5)], dtype=np.uint64)},
            "64 signed bits; the largest is 92233720368547758",
        ),
        ({"time": [-(2**63), 2**63 - 1, 2**63 - 1, 0, 1]}, "within 63 bits of the origin"),
        ({"time": pd.period_range("2024", periods=5, freq="D")}, "they are periods. Turn them into datetimes"),
        ({"time": [1 + 0j, 2, 3, 4, 5]}, "they are of type 'complex'"),
        ({"id": ["a", None, "a", "b", "b"]}, "every row must have an id; row 1 has none in column 'id'"),
        ({"id": [1.0, NAN, 1.0, 2.0, 2.0]}, "row 1 has none"),
        ({"x": ["1", "2", "3", "4", "low"]}, "every channel must hold numbers; channel 'x': it holds '1' (str)"),
        ({"x": [1, 2, "low", 4, 5]}, "channel 'x': it holds 'low' (mixed"),
        ({"x": pd.Categorical(["u", "v", "u", "v", "v"])}, "channel 'x': it holds 'u'"),
        ({"x": pd.to_datetime(["2024-01-02"] * 5)}, "every channel must hold numbers; channel 'x'"),
        ({"x": [1, 2j, 3, 4, 5]}, "real"),
        ({"x": [1.0, 2.0, 3.0, -INF, 5.0]}, "not infinity; infinity in series 'b', row 0 of it, channel 'x'. Replace"),
    ],
)
def test_bad_tables(columns, message):
    refuses(message, lambda: read(table(**columns)))


def test_bad_columns():
    refuses("has no column 'speed', only 'id', 'time', 'x'", lambda: read(table(), channels=["x", "speed"]))
    refuses("has no column 'when'", lambda: read(table(), time="when"))
    refuses("'x' comes more than once", lambda: read(table(), channels=["x", "x"]))
    refuses("'x' comes more than once", lambda: read(pd.concat([table(), table()[["x"]]], axis=1)))
    refuses("'id' alone. Use Panel.from_frame", lambda: as_panel(table().drop(columns="time")))
    refuses("must be a pandas or polars DataFrame; got builtins.dict", lambda: read({}), TypeError)
    refuses("polars.lazyframe", lambda: read(pl.from_pandas(table()).lazy()), TypeError)


def test_polars_tables_are_refused_in_the_same_words():
    frame = pl.from_pandas(table())
    refuses("row 1 (series 'a') has no time", lambda: read(frame.with_columns(time=pl.Series([0, None, 1, 2, 3]))))
    refuses("row 1 has none", lambda: read(frame.with_columns(id=pl.Series([0, None, 1, 2, 3]))))
    refuses("channel 'x': it holds 'u'", lambda: read(frame.with_columns(x=pl.Series(list("uvwxy")))))
    refuses(
        "series 'a' goes from 1.0 to 0.0 at row 2", lambda: read(frame.with_columns(time=pl.Series([0.0, 1, 0, 2, 3])))
    )
    refuses("has no column 'speed'", lambda: read(frame, channels=["speed"]))


def test_static_tables():
    ages = pd.DataFrame({"age": [1, 2, 3]}, index=["b", "c", "a"])
    assert read(table(), static=ages).static["age"].tolist() == [3, 1]
    refuses("series 'a' has none (1 series in all). Add", lambda: read(table(), static=ages.loc[["b", "c"]]))
    refuses("one row for each id; id 'b' comes twice", lambda: read(table(), static=ages.loc[["b", "b", "a"]]))
    refuses("must be a pandas or polars DataFrame", lambda: read(table(), static=[1, 2]), TypeError)


def test_series_that_are_short_empty_or_all_missing_are_right_answers():
    assert read(table(id=list("abcde"))).lengths.tolist() == [1] * 5
    assert np.isnan(read(table(x=[NAN] * 5)).values).all() and np.isnan(read(table(x=[None] * 5)).values).all()
    assert len(read(table()[:0])) == 0
    assert read(table().drop(columns="x")).shape == (2, 0)
    assert as_panel([np.empty((0, 2)), np.ones((1, 2))]).lengths.tolist() == [0, 1]
    only_empty = as_panel([(np.empty(0), np.empty((0, 2)))] * 2)
    assert only_empty.shape == (2, 2) and len(only_empty.to_frame()) == 0


def test_long_integers_are_exact_and_what_float64_cannot_tell_apart_is_refused():
    epoch = 1_700_000_000_000_000_000 + np.array([0, 1, 2, 5, 10**17 + 1])
    panel = read(table(time=epoch, id="a"))
    assert panel.times[:4].tolist() == [0.0, 1.0, 2.0, 5.0] and panel.stamps().tolist() == epoch.tolist()
    refuses("further apart than float64 can tell", lambda: read(table(time=[0, 1, 2, 2**60, 2**60 + 1], id="a")))


def test_arrays_are_refused_in_the_words_of_scikit_learn():
    for bad, message, kind in [
        (np.zeros(3), "Reshape your data", ValueError),
        (pd.Series([1.0, 2.0]), "Reshape your data", ValueError),
        (3.0, "Reshape your data", ValueError),
        ([1.0, 2.0], "Reshape your data", ValueError),
        (np.zeros((2, 2, 2, 2)), "X must be (n, l) or (n, l, c)", ValueError),
        (scipy.sparse.csr_matrix(np.eye(2)), "sparse", TypeError),
        (scipy.sparse.csr_array(np.eye(2)), "sparse", TypeError),
        (np.ones((2, 2)) * 1j, "Complex data not supported", ValueError),
        (np.array([["a", "b"]], dtype=object), "position (0, 0) holds the text 'a'", ValueError),
        (np.array([["a", "b"]]), "X must hold numbers", ValueError),
        ([["1", "x"], ["2", "y"]], "X must hold numbers", ValueError),
        (np.array([[{"foo": "bar"}, 1.0]], dtype=object), "argument must be a string or a real number", TypeError),
        (np.array([["2024", "2025"]], dtype="M8[D]"), "X must hold numbers", ValueError),
        (np.array([[1.0, INF]]), "infinity", ValueError),
        (pd.DataFrame({"u": [1.0, INF]}), "infinity", ValueError),
        (np.array([[10**400, 1]], dtype=object), "X must hold numbers", OverflowError),
        (None, "Reshape your data", ValueError),
    ]:
        refuses(message, lambda bad=bad: as_panel(bad), kind)
    found = "Found array with 0 sample(s) (shape=(0, 3)) while a minimum of 1 is required."
    with pytest.raises(ValueError, match=re.escape(found)):
        as_panel(np.zeros((0, 3)))
    with pytest.raises(ValueError, match=re.escape("0 feature(s) (shape=(3, 0)) while a minimum of 1 is required.")):
        as_panel(np.zeros((3, 0)))
    for empty in ([], as_panel([[1.0]])[:0], table()[:0]):
        with pytest.raises(ValueError, match=re.escape("0 sample(s)")):
            as_panel(empty)


def test_arrays_that_scikit_learn_accepts_are_accepted():
    array = np.array([[1.0, NAN], [3.0, 4.0]])
    for good in (array.astype(object), array.tolist(), pd.DataFrame(array, columns=["u", "v"]), pl.DataFrame(array)):
        panel = as_panel(good)
        assert panel.shape == (2, 1) and np.array_equal(panel.values.reshape(2, 2), array, equal_nan=True)
    assert as_panel(np.array([[True, False]])).values.tolist() == [[1.0], [0.0]]
    assert as_panel(np.array([[1, None]], dtype=object)).lengths.tolist() == [2]
    assert as_panel(np.asfortranarray(array.astype(">f4"))).values.dtype == np.float64
    fixed = array.copy()
    fixed.flags.writeable = False
    assert np.array_equal(as_panel(fixed).values.reshape(2, 2), array, equal_nan=True)


def test_bad_times_beside_arrays():
    X = np.ones((2, 3))
    refuses(
        "`times` must be (l,) or (n, l); X has 2 series of 3 rows and `times` has shape (2,)",
        lambda: as_panel(X, times=[0, 1]),
    )
    refuses("series 0 goes from 2 to 1 at row 2", lambda: as_panel(X, times=[0, 2, 1]))
    refuses("series 1 has 0.5 twice, at rows 4 and 5", lambda: as_panel(X, times=[[0, 1, 2], [0, 0.5, 0.5]]))
    refuses("row 1 has no time", lambda: as_panel(X, times=[0, NAN, 1]))
    refuses("`times` goes with arrays only", lambda: as_panel(as_panel(X), times=[0, 1, 2]))
    refuses("`times` goes with arrays only", lambda: as_panel(table(), times=[0, 1, 2]))


def test_bad_lists_of_series():
    refuses("series 0 has 1 and series 1 has 2", lambda: as_panel([np.ones((3, 1)), np.ones((2, 2))]))
    refuses("series 0 has 2 times and 3 rows", lambda: as_panel([([0, 1], [1.0, 2.0, 3.0])]))
    refuses("series 1 has none", lambda: Panel.from_series([([0.0], [1.0]), [2.0, 3.0, 4.0]]))
    refuses("share one kind of time", lambda: as_panel([([0.0], [1.0]), (np.array(["2024"], dtype="M8[D]"), [1.0])]))
    indexes = [pd.Series([1.0], index=[UTC]), pd.Series([1.0], index=[BERLIN])]
    refuses("mix time zones", lambda: as_panel(indexes))
    refuses("series 1 must hold numbers", lambda: as_panel([[1.0, 2.0], ["a"]]))
    refuses("series 0 has shape (1, 1, 1)", lambda: Panel.from_series([np.ones((1, 1, 1))]))
    refuses("infinity in series 1, row 0 of it", lambda: as_panel([np.ones(2), np.array([INF])]))


def test_bad_sktime_panels():
    deep = table().assign(top=0).set_index(["top", "id", "time"])
    refuses("the index has 3 level(s)", lambda: as_panel(deep))
    refuses("every channel must hold numbers", lambda: as_panel(table(x=list("uvwxy")).set_index(["id", "time"])))
    panel = as_panel(table(time=[0, 1, 2, 0, 1]).set_index(["id", "time"]))
    nested = convert_to(panel.to_sktime(), "nested_univ")
    refuses("every channel must hold numbers; channel 'x'", lambda: as_panel(nested))


def test_bad_indexing():
    panel = read(table())
    refuses("got 2 for 2 series", lambda: panel[2], IndexError)
    refuses("got -3 for 2 series", lambda: panel[[0, -3]], IndexError)
    refuses("its shape is (3,) for 2 series", lambda: panel[np.ones(3, dtype=bool)], IndexError)
    refuses("positions or a mask", lambda: panel["a"], IndexError)
    refuses("indexed by series alone", lambda: panel[0, 1], IndexError)
    refuses("got 'z', and the panel has x", lambda: panel.select("z"))
    refuses("one entry for each row", lambda: panel.rows(np.ones(2, dtype=bool)))


def test_bad_parts():
    panel = read(table())
    refuses("values (2, 1)", lambda: panel.with_values(np.ones(2)))
    refuses("values (5, 2), 1 channels", lambda: panel.with_values(np.ones((5, 2))))
    refuses("not infinity", lambda: panel.with_values(np.full(5, INF)))
    refuses("different names", lambda: panel.with_values(np.ones((5, 2)), ["x", "x"]))
    refuses("offsets must rise", lambda: Panel(panel.times, panel.values, np.array([0, 9]), panel.ids, ("x",)))
    refuses("goes from 2.5 to 0.5", lambda: Panel(panel.times, panel.values, np.array([0, 5]), panel.ids[:1], ("x",)))
    refuses("one id for each series", lambda: Panel(panel.times, panel.values, panel.offsets, panel.ids[:1], ("x",)))
    refuses("same channels", lambda: Panel.concat([panel, panel.with_values(panel.values, ["y"])]))
    refuses("an empty list", lambda: Panel.concat([]))
    dated = read(table(time=pd.date_range("2024", periods=5)))
    refuses("share one kind of time", lambda: Panel.concat([panel, dated]))
    ages = pd.DataFrame({"age": [1, 2]}, index=["a", "b"])
    refuses("same static features", lambda: Panel.concat([panel, read(table(), static=ages)]))


def test_bad_times_for_a_clock():
    clock = Clock.of([UTC])
    refuses("have zone None and the clock has zone UTC", lambda: clock.encode(UTC.tz_localize(None)))
    refuses("the times are numbers", lambda: clock.encode([1.0]))
    refuses("a span must be a timedelta", lambda: clock.durations(3.0))
    refuses("the times are datetimes", lambda: Clock().encode(UTC))
    assert clock.encode(BERLIN) == 23 * 3600.0
