"""Panels: what goes in comes out, in every form and bit by bit."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sktime.datatypes import check_is_mtype

from tsssm.data.clock import Clock
from tsssm.data.panel import Panel, as_panel
from tsssm.data.synthetic import damped_oscillators, decays, noisy_sines

PER = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def random_times(kind: str, rows: int, rng: np.random.Generator) -> object:
    """Increasing times over thirty years that use every digit of their kind."""
    if kind == "float":
        return np.sort(rng.uniform(-1e6, 1e6, rows))
    if kind == "int":
        return np.sort(rng.choice(10**6, rows, replace=False))
    if kind == "epoch":
        return np.sort(1_700_000_000_000_000_000 + rng.integers(0, 10**18, rows))
    kind, unit, *zone = kind.split("-")
    ticks = np.sort(rng.integers(0, 10**9, rows)) * PER[unit] + rng.integers(0, PER[unit], rows)
    if kind == "timedelta":
        return pd.TimedeltaIndex(ticks.astype(f"m8[{unit}]"))
    index = pd.DatetimeIndex(ticks.astype(f"M8[{unit}]"))
    return index.tz_localize("UTC").tz_convert(zone[0]) if zone else index


KINDS = ["float", "int", "epoch", "timedelta-ns", "timedelta-us", "datetime-s", "datetime-ms", "datetime-us"]
KINDS += ["datetime-ns", "datetime-ns-Europe/Berlin", "datetime-us-UTC", "datetime-ns-America/New_York"]


def long_table(kind: str = "float", n: int = 5, rows: int = 20) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    times = [pd.Series(random_times(kind, rows, rng)) for _ in range(n)]
    values = np.where(rng.uniform(size=n * rows) < 0.2, np.nan, rng.standard_normal(n * rows))
    ids = np.repeat([f"s{i}" for i in range(n)], rows)
    return pd.DataFrame({"who": ids, "when": pd.concat(times, ignore_index=True), "x": values, "y": values + 1.0})


@pytest.mark.parametrize("kind", KINDS)
def test_frame_round_trips_exactly(kind):
    table = long_table(kind)
    panel = Panel.from_frame(table, id="who", time="when")
    pd.testing.assert_frame_equal(panel.to_frame(), table, check_exact=True)
    some = panel[[3, 1]].rows(np.arange(40) % 3 == 0)
    expected = pd.concat([table[60:80], table[20:40]], ignore_index=True)[np.arange(40) % 3 == 0]
    pd.testing.assert_frame_equal(some.to_frame(), expected.reset_index(drop=True), check_exact=True)


@pytest.mark.parametrize("kind", KINDS)
def test_encoded_times_are_exact_to_float64(kind):
    table = long_table(kind)
    panel = Panel.from_frame(table, id="who", time="when")
    first, some = table["when"][0], table["when"][13]
    if kind in ("float", "int", "epoch"):
        expected = some - first
    else:
        expected = (some - first).value / 10**9 if hasattr(some - first, "value") else None
    assert panel.times[13] - panel.times[0] == pytest.approx(float(expected), rel=1e-15, abs=1e-7)
    assert panel.clock.encode(some) == panel.times[13]
    assert np.array_equal(panel.clock.encode(table["when"]), panel.times)


@pytest.mark.parametrize("kind", KINDS)
def test_interleaved_rows_give_the_same_panel(kind):
    table = long_table(kind)
    mixed = table.sort_values("when", kind="stable")
    panel = Panel.from_frame(mixed, id="who", time="when")
    order = [f"s{i}" for i in range(5)]
    whole = panel[[list(panel.ids).index(name) for name in order]]
    pd.testing.assert_frame_equal(whole.to_frame(), table, check_exact=True)


@pytest.mark.parametrize("kind", [k for k in KINDS if not k.endswith("-s")])
def test_polars_gives_what_pandas_gives(kind):
    table = long_table(kind)
    when = table["when"]
    if getattr(when.dtype, "tz", None) is not None:
        naive = when.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        column = pl.Series(naive).dt.replace_time_zone("UTC").dt.convert_time_zone(str(when.dtype.tz))
    else:
        column = pl.Series(when.to_numpy())
    other = pl.DataFrame(
        {"who": list(table["who"]), "when": column, "x": table["x"].to_numpy(), "y": [1] * 99 + [None]}
    )
    panel = Panel.from_frame(other, id="who", time="when", static=pl.DataFrame({"who": order(table), "age": range(5)}))
    pd.testing.assert_frame_equal(panel.to_frame()[["who", "when", "x"]], table[["who", "when", "x"]], check_exact=True)
    assert np.isnan(panel.values[99, 1]) and panel.values[98, 1] == 1.0
    assert panel.static["age"].tolist() == [0, 1, 2, 3, 4]


def order(table: pd.DataFrame) -> list:
    return list(table["who"].unique())


def test_polars_date_duration_and_integer_beyond_53_bits():
    dates = pl.Series([0, 1, 5], dtype=pl.Int32).cast(pl.Date)
    panel = Panel.from_frame(pl.DataFrame({"id": ["a"] * 3, "time": dates, "x": [1, 2, 3]}), id="id", time="time")
    assert panel.times.tolist() == [0.0, 86400.0, 5 * 86400.0]
    big = [2**60, 2**60 + 1, 2**60 + 3]
    panel = Panel.from_frame(pl.DataFrame({"id": ["a"] * 3, "time": big, "x": [1, 2, 3]}), id="id", time="time")
    assert panel.times.tolist() == [0.0, 1.0, 3.0] and panel.stamps().tolist() == big


def test_arrow_and_nullable_columns():
    table = long_table("datetime-ns-UTC").convert_dtypes(dtype_backend="pyarrow")
    panel = Panel.from_frame(table, id="who", time="when")
    expected = Panel.from_frame(long_table("datetime-ns-UTC"), id="who", time="when")
    assert np.array_equal(panel.values, expected.values, equal_nan=True)
    assert np.array_equal(panel.times, expected.times) and panel.stamps().equals(expected.stamps())
    table = pd.DataFrame({"id": [1, 1], "time": pd.array([1, 2]), "x": pd.array([1, None]), "b": [True, False]})
    assert np.array_equal(as_panel(table).values, [[1.0, 1.0], [np.nan, 0.0]], equal_nan=True)


def test_stamps_between_steps_are_not_rounded_away():
    panel = as_panel([[1.0, 2.0]])
    assert panel.stamps([0.0, 1.0]).dtype == np.int64 and panel.stamps([0.5]).tolist() == [0.5]
    clock = Clock.of(np.array(["2024-01-01"], dtype="M8[D]"))
    half = clock.encode(pd.Timestamp("2024-01-01 00:00:00.5"))
    assert half == 0.5 and clock.stamps(half)[0] == pd.Timestamp("2024-01-01 00:00:00.5")
    assert clock.durations(pd.Timedelta("1h")) == 3600.0 and clock.durations([pd.Timedelta("1s")]).shape == (1,)


def test_times_of_a_day_with_a_clock_change_are_instants():
    index = pd.date_range("2024-03-31 00:30", periods=4, freq="h", tz="Europe/Berlin")
    assert np.diff(Clock.of(index).encode(index)).tolist() == [3600.0] * 3


def test_arrays_lists_and_times():
    cube = np.random.default_rng(0).standard_normal((4, 6, 2))
    panel = as_panel(cube, times=np.arange(6) * 0.5)
    assert panel.shape == (4, 2) and np.array_equal(panel.values.reshape(4, 6, 2), cube)
    assert np.array_equal(panel[2].times, np.arange(6) * 0.5)
    own = np.sort(np.random.default_rng(1).uniform(size=(4, 6)), axis=1)
    assert np.array_equal(as_panel(cube, times=own).times.reshape(4, 6), own)
    days = pd.date_range("2024-01-01", periods=6, tz="UTC")
    assert as_panel(cube, times=days)[3].stamps().equals(days)
    pairs = as_panel([(own[i], cube[i]) for i in range(4)])
    assert np.array_equal(pairs.times, own.ravel()) and np.array_equal(pairs.values.reshape(4, 6, 2), cube)
    ragged = as_panel([np.arange(3.0), np.arange(0.0), np.arange(5.0)])
    assert ragged.lengths.tolist() == [3, 0, 5] and ragged.times.tolist() == [0, 1, 2, 0, 1, 2, 3, 4]
    assert as_panel([[1, 2], [3, 4]]).shape == (2, 1) and as_panel([[1, 2], [3]]).lengths.tolist() == [2, 1]
    named = [pd.DataFrame({"u": [1.0, 2.0]}, index=days[:2]), pd.DataFrame({"u": [3.0]}, index=days[5:])]
    assert as_panel(named).channels == ("u",) and as_panel(named).stamps()[2] == days[5]


def test_float32_is_kept_and_memory_is_shared():
    array = np.ones((3, 4), dtype=np.float32)
    panel = as_panel(array)
    assert panel.values.dtype == np.float32 and np.shares_memory(panel.values, array)
    assert np.shares_memory(panel[1:].values, array)


def test_sktime_panel_round_trips():
    table = long_table("datetime-us")
    panel = Panel.from_frame(table, id="who", time="when")
    frame = panel.to_sktime()
    assert check_is_mtype(frame, "pd-multiindex", scitype="Panel")
    back = as_panel(frame)
    pd.testing.assert_frame_equal(back.to_frame(), table)


def test_rows_values_select_and_concat():
    panel, complete = damped_oscillators(4, random_state=1)
    early = panel.rows(panel.times < 2.0)
    assert len(early) == 4 and early.times.max() < 2.0 and early.n_rows == (panel.times < 2.0).sum()
    assert panel.rows(np.zeros(panel.n_rows, dtype=bool)).lengths.tolist() == [0] * 4
    assert panel.select("velocity").channels == ("velocity",)
    twice = panel.with_values(2 * complete.values)
    assert np.array_equal(twice.select(["velocity", "position"]).values, 2 * complete.values[:, ::-1])
    whole = Panel.concat([panel[2:], panel[:2]])
    pd.testing.assert_frame_equal(whole.to_frame(), panel[[2, 3, 0, 1]].to_frame())
    pd.testing.assert_frame_equal(whole.static, panel.static.iloc[[2, 3, 0, 1]])


def test_concat_joins_clocks_of_different_origin_resolution_and_zone():
    tables = [long_table("datetime-us-UTC"), long_table("datetime-ns-Europe/Berlin")]
    panels = [Panel.from_frame(table, id="who", time="when") for table in tables]
    both = Panel.concat(panels)
    assert both.stamps().unit == "ns" and str(both.stamps().tz) == "UTC"
    assert (both.stamps()[100:] == pd.DatetimeIndex(tables[1]["when"])).all()
    assert (both.stamps()[:100] == pd.DatetimeIndex(tables[0]["when"])).all()
    mixed = Panel.concat([as_panel([[1.0, 2.0]]), as_panel([[1.0, 2.0]], times=[0.5, 0.7])])
    assert mixed.times.tolist() == [0.0, 1.0, 0.5, 0.7]


def test_pickle_is_compact_and_loses_nothing():
    panel = as_panel(np.random.default_rng(0).standard_normal((1000, 400, 8)))
    assert panel.values.nbytes > 25e6
    assert len(pickle.dumps(panel[:1])) < 40e3
    small = Panel.from_array(np.random.default_rng(0).standard_normal((100_000, 16)))
    assert len(pickle.dumps(small[:10])) < 5e3 and len(pickle.dumps(small[np.arange(10)])) < 5e3
    table = long_table("datetime-ns-Europe/Berlin")
    back = pickle.loads(pickle.dumps(Panel.from_frame(table, id="who", time="when")))
    pd.testing.assert_frame_equal(back.to_frame(), table)


def test_many_series_and_one_long_series_are_read_fast():
    n = 100_000
    table = pd.DataFrame({"id": np.repeat(np.arange(n), 3), "time": np.tile([0, 2, 3], n), "x": np.arange(3.0 * n)})
    for frame in (table, table.sort_values("time", kind="stable"), pl.from_pandas(table)):
        start = time.perf_counter()
        panel = Panel.from_frame(frame, id="id", time="time")
        # A loop over series takes tens of seconds; 0.05 s is usual.
        assert time.perf_counter() - start < 2.0
        assert np.array_equal(panel.values[:, 0], table["x"])
    long = pd.DataFrame({"id": 0, "time": pd.date_range("2000-01-01", periods=10**6, freq="s"), "x": 1.0})
    panel = Panel.from_frame(long, id="id", time="time")
    assert panel.lengths.tolist() == [10**6] and panel.stamps().equals(pd.DatetimeIndex(long["time"]))


def test_reprs():
    panel, _ = noisy_sines(3, random_state=0)
    assert "3 series" in repr(panel) and "<table" in panel._repr_html_()
    assert "0 series" in repr(panel[:0]) and "0.0%" in panel[:0]._repr_html_()
    assert "<b>" not in panel.with_values(panel.values, ["<b>"])._repr_html_()


def test_importing_panels_does_not_import_torch():
    # A bare package in place of tsssm.data, so that what its __init__ gathers besides does not count.
    code = "import sys, types, tsssm; bare = types.ModuleType('tsssm.data'); bare.__path__ = [tsssm.__path__[0] + '/data'];"
    code += "sys.modules['tsssm.data'] = bare; import tsssm.data.panel, tsssm.data.scaling, tsssm.data.synthetic;"
    code += "print('torch' in sys.modules, 'polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_synthetic_panels_follow_their_equations_and_seeds():
    panel, complete = damped_oscillators(3, missing=0.4, random_state=5)
    again, _ = damped_oscillators(3, missing=0.4, random_state=5)
    assert np.array_equal(panel.values, again.values, equal_nan=True)
    assert 0.2 < np.isnan(panel.values).mean() < 0.6
    # d/dt (v^2 + w^2 x^2) = -4 d v^2 <= 0: the energy of each oscillator falls.
    for i, (_, x) in enumerate(complete):
        w = complete.static["frequency"].iloc[i]
        assert (np.diff(x[:, 1] ** 2 + w**2 * x[:, 0] ** 2) <= 0).all()
    decay, half_lives = decays(4, noise=0.0, random_state=0)
    for (times, x), half_life in zip(decay, half_lives, strict=True):
        assert np.allclose(np.log2(x[:, 0]) * half_life, -times)
    sines, labels = noisy_sines(10, random_state=0)
    assert np.bincount(labels).tolist() == [5, 5] and (sines.lengths >= 20).all()
