"""SSMForecaster beside five forecasters of sktime on real series, in sktime's own ForecastingBenchmark.

python docs/examples/sktime_benchmark.py

Monthly airline passengers, shampoo sales and the yearly Canadian lynx, which come with sktime. The last season is held
out three times. The second part asks for glucose at irregular stamps, which only one of the six can be asked for.
"""

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sktime.benchmarking.forecasting import ForecastingBenchmark
from sktime.datasets import load_airline, load_lynx, load_shampoo_sales
from sktime.forecasting.compose import make_reduction
from sktime.forecasting.ets import AutoETS
from sktime.forecasting.naive import NaiveForecaster
from sktime.forecasting.theta import ThetaForecaster
from sktime.forecasting.trend import PolynomialTrendForecaster
from sktime.performance_metrics.forecasting import MeanAbsoluteError, MeanAbsoluteScaledError
from sktime.performance_metrics.forecasting.probabilistic import PinballLoss
from sktime.split import ExpandingWindowSplitter

from tsssm.datasets import load_cgm
from tsssm.sktime import SSMForecaster, TailSplitter

SERIES = {"airline": (load_airline, 12, 12), "shampoo": (load_shampoo_sales, 12, 6), "lynx": (load_lynx, 10, 10)}
table = []
for name, (load, season, horizon) in SERIES.items():
    bench = ForecastingBenchmark()
    for id, model in {
        "SSMForecaster": SSMForecaster(random_state=0),
        "NaiveForecaster": NaiveForecaster(sp=season),
        "ThetaForecaster": ThetaForecaster(sp=season),
        "AutoETS": AutoETS(auto=True, sp=season if season == 12 else 1),
        "PolynomialTrendForecaster": PolynomialTrendForecaster(),
        "gradient boosting": make_reduction(HistGradientBoostingRegressor(random_state=0), window_length=season),
    }.items():
        bench.add_estimator(model, id)
    steps = np.arange(1, horizon + 1)
    # two seasons at least, as Theta and ETS need
    first = max(2 * season, len(load()) - 2 * horizon - 2)
    splitter = ExpandingWindowSplitter(fh=steps, initial_window=first, step_length=horizon // 2)
    bench.add_task(load, splitter, [MeanAbsoluteScaledError(sp=season)], task_id=name)
    scores = bench.run(None).set_index("model_id")["MeanAbsoluteScaledError_mean"]
    table.append(scores.rename(name))
print(pd.concat(table, axis=1).round(3).to_string())

glucose = load_cgm().to_sktime().sort_index()
glucose = glucose.iloc[::3].loc[glucose.index.levels[0][:8].tolist()]
rows = pd.DataFrame({"zero": 0.0}, index=glucose.index)
bench = ForecastingBenchmark()
bench.add_estimator(SSMForecaster(epochs=80, random_state=0), "SSMForecaster")
bench.add_task(
    lambda: (glucose, rows),
    TailSplitter("2h"),
    [MeanAbsoluteError(), PinballLoss()],
    task_id="glucose",
    error_score="raise",
)
print(
    bench.run(None)[["validation_id", "model_id", "MeanAbsoluteError_mean", "PinballLoss_mean"]].to_string(index=False)
)
