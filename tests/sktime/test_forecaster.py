"""The forecaster for sktime says what the one it holds says, and keeps what its tags promise."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sktime.benchmarking.forecasting import ForecastingBenchmark
from sktime.forecasting.base import ForecastingHorizon
from sktime.forecasting.model_evaluation import evaluate
from sktime.performance_metrics.forecasting import MeanAbsoluteError
from sktime.performance_metrics.forecasting.probabilistic import CRPS, LogLoss, PinballLoss
from sktime.transformations.hierarchical.aggregate import Aggregator
from sktime.utils.estimator_checks import check_estimator

from tsssm import Panel, estimators
from tsssm.sktime import SSMForecaster, TailSplitter, timed
from tsssm.sktime.irregular.series import dated, panel, series

SMALL = {"d_model": 4, "depth": 1, "epochs": 1, "random_state": 0}


def core(data: pd.DataFrame, **params) -> estimators.SSMForecaster:
    return estimators.SSMForecaster(**{**SMALL, **params}).fit(Panel.from_sktime(data))


def one_panel(y: pd.Series) -> Panel:
    return Panel.from_sktime(pd.concat({0: y.to_frame("y0")}))


@pytest.fixture(scope="module")
def monthly() -> pd.DataFrame:
    """Six series of four years, two levels of names above the months."""
    rng, months = np.random.default_rng(0), pd.period_range("2020-01", periods=48, freq="M")
    index = pd.MultiIndex.from_product([["north", "south"], ["a", "b", "c"], months], names=["region", "shop", "month"])
    season = np.tile(np.sin(2 * np.pi * np.arange(48) / 12), 6)
    return pd.DataFrame({"sales": 50 + 10 * season + rng.normal(size=len(index))}, index=index)


def test_a_panel_is_one_model(monthly: pd.DataFrame):
    y = monthly.droplevel(0).loc[["a"]].groupby(level=[0, 1]).first()
    both = pd.concat({"a": y.loc["a"], "b": 2 * y.loc["a"]}, names=["shop", "month"])
    model = SSMForecaster(**SMALL).fit(both, fh=[1, 2, 3])
    times = both.index.set_levels(both.index.levels[-1].to_timestamp(), level=-1)
    lead = pd.Timestamp("2024-03-01") - pd.Timestamp("2023-12-01")
    plain = core(both.set_axis(times).set_axis(["y0"], axis=1), horizon=[lead])
    stamps = pd.to_datetime(["2024-01-01", "2024-02-01", "2024-03-01"])
    np.testing.assert_allclose(model.predict().to_numpy(), plain.predict(horizon=stamps).values)
    assert not hasattr(model, "forecasters_")


def test_hierarchies(monthly: pd.DataFrame):
    totals = Aggregator().fit_transform(monthly)
    out = SSMForecaster(**SMALL).fit(totals, fh=[1, 2]).predict()
    assert len(out) == 2 * totals.index.droplevel(-1).nunique() == 18
    assert out.index.names == monthly.index.names
    assert out.index.get_level_values(-1).unique().equals(pd.period_range("2024-01", periods=2, freq="M"))
    # a total of six shops is forecast at its own size
    total = out.xs(("__total", "__total")).to_numpy()
    assert (np.abs(total - 300) < 100).all()


def test_inside_the_history_is_forecast_from_the_rows_before():
    y = series(30)
    model = SSMForecaster(**SMALL).fit(y)
    out = model.predict(fh=pd.to_timedelta([0], unit="h"))
    assert out.index[0] == y.index[-1]
    truth = model.estimator_.predict(one_panel(y[:-1]), horizon=y.index[-1:])
    np.testing.assert_allclose(out.to_numpy(), truth.values[:, 0])
    every = model.predict(fh=ForecastingHorizon(y.index - y.index[-1], is_relative=True))
    assert every.index.equals(y.index) and np.isfinite(every).all()
    np.testing.assert_allclose(every.iloc[-1], out.iloc[0])


def test_update_reads_on_without_training():
    y = series(40)
    model = SSMForecaster(context=8, **SMALL).fit(y[:20])
    held = model.estimator_
    model.update(y[20:30]).update(y[30:])
    assert model.estimator_ is held and model.cutoff[0] == y.index[-1]
    assert len(model._history.frame) == 16
    spans = pd.to_timedelta([1, 5], unit="h")
    truth = held.predict(one_panel(y), horizon=y.index[-1] + spans)
    np.testing.assert_allclose(model.predict(spans).to_numpy(), truth.values[:, 0])


def test_pretraining_is_kept_by_fit(monthly: pd.DataFrame):
    model = SSMForecaster(horizon=3, **SMALL).pretrain(monthly)
    weights = [w.clone() for w in model.estimator_.models_[0].parameters()]
    fitted = model.clone().fit(100 * monthly.xs(("north", "a"))["sales"], fh=[1, 2, 3])
    assert all((a == b).all() for a, b in zip(weights, fitted.estimator_.models_[0].parameters(), strict=True))
    assert (np.abs(fitted.predict() - 5000) < 2500).all()
    again = model.clone().pretrain(monthly)
    assert any((a != b).any() for a, b in zip(weights, again.estimator_.models_[0].parameters(), strict=True))
    with pytest.raises(ValueError, match="numbers of targets and covariates; 2 and 0 came, and 1 and 0 were"):
        model.clone().fit(pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [1.0, 2, 3, 4]}))


def test_covariates_enter():
    rng = np.random.default_rng(0)
    push = rng.choice([0.0, 5.0], 200)
    y = pd.Series(push + 0.1 * rng.normal(size=200), name="y")
    X = pd.DataFrame({"push": np.append(push, [5.0, 0.0])})
    model = SSMForecaster(horizon=2, d_model=16, depth=1, epochs=400, lr=0.01, random_state=0).fit(y, X=X.iloc[:200])
    out = model.predict(fh=[1, 2], X=X.iloc[200:])
    assert out.iloc[0] - out.iloc[1] > 2
    inside = model.predict(fh=[0, 1], X=X)
    np.testing.assert_allclose(inside.iloc[1], out.iloc[0])
    # one that is missing was not observed: it may have been either
    untold = X.iloc[200:].assign(push=[5.0, np.nan])
    assert out.iloc[1] < model.predict(fh=[1, 2], X=untold).iloc[1] < out.iloc[0]
    width = [np.diff(model.predict_interval(fh=[1, 2], X=rows).to_numpy())[1, 0] for rows in (X.iloc[200:], untold)]
    assert width[1] > width[0]


@pytest.mark.parametrize("told", [True, False])
def test_own_stamps_of_a_panel_are_those_of_the_plain_estimator(told: bool):
    """A covariate that changes is an input; one that does not names the rows."""
    y = dated(panel(6))
    late = y.groupby(level=0).cumcount(ascending=False) < 2
    X = pd.DataFrame({"x": np.arange(len(y)) % 3 if told else 0.0, "none": 1.0}, index=y.index)
    horizon = ForecastingHorizon(y[late].index.get_level_values(-1).unique().sort_values(), is_relative=False)
    model = SSMForecaster(**SMALL).fit(y[~late], X=X[~late], fh=horizon)
    out = model.predict(X=X)
    assert out.index.equals(y[late].index)
    assert model.covariates_ == ([0] if told else [])
    seen = y.set_axis(["y0", "y1"], axis=1).rename(index={name: i for i, name in enumerate(y.index.levels[0])}, level=0)
    if told:
        seen["x0"] = X["x"].to_numpy(dtype=float)
    past, asked = Panel.from_sktime(seen[~late.to_numpy()]), Panel.from_sktime(seen[late.to_numpy()])
    np.testing.assert_allclose(out.to_numpy(), model.estimator_.predict(past, horizon=asked).values)


def test_intervals_quantiles_variances_and_laws_agree():
    y = dated(series(60))
    model = SSMForecaster(**SMALL).fit(y, fh=pd.to_timedelta([1, 4], unit="h"))
    ends = model.predict_interval(coverage=[0.5, 0.9]).to_numpy()
    quantiles = model.predict_quantiles(alpha=[0.25, 0.75, 0.05, 0.95, 0.5]).to_numpy()
    np.testing.assert_allclose(ends, quantiles[:, :4])
    np.testing.assert_allclose(model.predict().to_numpy(), quantiles[:, 4])
    law = model.predict_proba()
    np.testing.assert_allclose(law.quantile([0.05, 0.95]).to_numpy(), quantiles[:, 2:4])
    np.testing.assert_allclose(law.var().to_numpy(), model.predict_var().to_numpy())
    # an inner interval that came out wider than an outer one widens it
    core_ends = model.estimator_.predict_interval(one_panel(y), y.index[-1] + pd.to_timedelta([1, 4], unit="h"), 0.9)
    assert (ends[:, 2] <= core_ends.values[:, 0] + 1e-9).all() and (ends[:, 3] >= core_ends.values[:, 1] - 1e-9).all()
    np.testing.assert_allclose(ends[:, 2:], core_ends.values, rtol=0.01)


def test_irregular_data_in_evaluate_and_benchmark(tmp_path):
    y = dated(series(40))
    metrics = [MeanAbsoluteError(), PinballLoss(), CRPS(), LogLoss()]
    table = evaluate(SSMForecaster(**SMALL), TailSplitter("6h", folds=2), y, scoring=metrics, error_score="raise")
    assert len(table) == 2 and np.isfinite(table.filter(like="test_").to_numpy(dtype=float)).all()
    many = dated(panel(6))[["a"]]
    X = pd.DataFrame({"zero": 0.0}, index=many.index)
    bench = ForecastingBenchmark()
    bench.add_estimator(SSMForecaster(**SMALL), "ours")
    bench.add_task(
        lambda: (many, X), TailSplitter(1, folds=2), [MeanAbsoluteError(), PinballLoss()], error_score="raise"
    )
    table = bench.run(str(tmp_path / "table.csv"))
    assert np.isfinite(table.filter(like="_mean").to_numpy(dtype=float)).all()


def test_splitter_holds_out_ends():
    y = panel(3)
    (train, test), (_, last) = TailSplitter("3h", folds=2).split(y)
    times, ids = y.index.get_level_values(-1), y.index.get_level_values(0)
    end = times.to_series().groupby(ids.to_numpy()).max()[ids].to_numpy()
    assert (end[test] - times[test] >= pd.Timedelta("3h")).all() and (
        end[test] - times[test] < pd.Timedelta("6h")
    ).all()
    assert (end[last] - times[last] < pd.Timedelta("3h")).all() and (
        end[train] - times[train] >= pd.Timedelta("6h")
    ).all()
    assert [len(test) for _, test in TailSplitter(2).split(y)] == [6]
    # a series without rows before is left out
    short = pd.concat([y, pd.DataFrame({"a": [1.0], "b": [1.0]}, index=[("z", y.index[0][1])])])
    assert [test.max() for _, test in TailSplitter(1).split(short)] == [len(y) - 1]
    results = check_estimator(TailSplitter, raise_exceptions=True, verbose=False)
    assert len(results) > 20


def test_float_times_become_timedeltas_or_datetimes():
    y = pd.Series(np.sin(np.arange(20.0)), index=np.cumsum(np.random.default_rng(0).random(20)), name="y")
    model = SSMForecaster(**SMALL).fit(timed(y, "h"), fh=pd.to_timedelta([0.5, 2.25], unit="h"))
    hours = model.predict().index / pd.Timedelta("1h")
    np.testing.assert_allclose(hours, y.index[-1] + np.array([0.5, 2.25]))
    assert timed(y, "D", origin="2024-01-01").index[0] == pd.Timestamp("2024-01-01") + pd.Timedelta(y.index[0], "D")
    ours = Panel.from_series([(y.index.to_numpy(), y.to_numpy())])
    np.testing.assert_allclose(timed(ours, "h").index.get_level_values(-1), timed(y, "h").index)


def test_frequency_is_inferred():
    months = pd.DatetimeIndex(list(pd.date_range("2020-01-01", periods=30, freq="MS")))
    y = pd.DataFrame({"y": np.arange(60.0)}, index=pd.MultiIndex.from_product([["a", "b"], months]))
    out = SSMForecaster(horizon=3, **SMALL).fit(y).predict(fh=[1, 3])
    assert out.index.get_level_values(1).unique().tolist() == [pd.Timestamp("2022-07-01"), pd.Timestamp("2022-09-01")]
    spans = timed(pd.Series(np.arange(20.0), index=np.arange(20) * 1.5), "h")
    assert SSMForecaster(**SMALL).fit(spans).predict(fh=[2]).index[0] == pd.Timedelta("31.5h")


def test_data_are_not_remembered():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = SSMForecaster(context=8, **SMALL)
    model.fit(series(40))
    assert model._y is None and len(model._history.frame) == 16
