"""Streams: updates and answers a second of default models on one core, beside pushing the history through again.

With onnxruntime at hand (``pip install ".[export]"``), an exported step cell runs the same series.

python -m benchmarks.streaming
python -m benchmarks.streaming --rows 2000 --answers 50
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from benchmarks.report import made_with
from tsssm import SSMClassifier, SSMForecaster, SSMRegressor, SSMRidgeClassifier, SSMSequenceRegressor
from tsssm.data import Panel
from tsssm.demo.page import Table
from tsssm.io import export

CHANNELS = 3
EXPORTED = "SSMClassifier, features=False, exported"
COLUMNS = (
    "model",
    "updates a second",
    "update and answer [ms]",
    "answer for the whole series [ms]",
    "largest difference",
    "kept [kB]",
)


def walks(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random walks of three channels at random times, two entries in ten missing."""
    values = np.cumsum(rng.normal(size=(rows, CHANNELS)), 0) / 10
    values[rng.random(values.shape) < 0.2] = np.nan
    return np.cumsum(rng.exponential(size=rows)), values


def models(
    rng: np.random.Generator,
) -> dict[str, tuple[Any, Callable[[Any], np.ndarray], Callable[[Panel], np.ndarray]]]:
    """Default models, trained for an epoch, and how each answers as a stream and for a whole series."""
    panel = Panel.from_series([walks(60, rng) for _ in range(24)])
    labels, numbers = np.arange(24) % 2, rng.normal(size=24)
    short = {"epochs": 1, "random_state": 0}
    y = panel.with_values(np.nan_to_num(panel.values[:, :1]), channels=["y"])
    both, layers = SSMClassifier(**short), SSMClassifier(features=False, **short)
    found: dict[str, Any] = {
        "SSMClassifier": both.fit(panel, labels),
        "SSMClassifier, features=False": layers.fit(panel, labels),
        "SSMRegressor": SSMRegressor(**short).fit(panel, numbers),
        "SSMSequenceRegressor": SSMSequenceRegressor(**short).fit(panel, y),
        "SSMForecaster": SSMForecaster(horizon=3, **short).fit(panel),
        "SSMRidgeClassifier": SSMRidgeClassifier(random_state=0).fit(panel, labels),
    }
    if find_spec("onnxruntime") is not None:
        found[EXPORTED] = Exported(layers)
    return {name: (model, *answers(name, model)) for name, model in found.items()}


class Exported:
    """A classifier as ONNX graphs: one for whole series, and one that goes on row by row, on one thread."""

    def __init__(self, model: SSMClassifier):
        runtime = import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        with tempfile.TemporaryDirectory() as folder:
            for form in ("sequence", "step"):
                export(model, Path(folder) / f"{form}.onnx", form=form)
            self.whole, self.step = (
                runtime.InferenceSession(Path(folder) / f"{form}.onnx", options) for form in ("sequence", "step")
            )

    def predict_proba(self, panel: Panel) -> np.ndarray:
        return self.whole.run(["probability"], {"times": panel.times[None], "values": panel.values[None]})[0]

    def stream(self) -> ExportedStream:
        return ExportedStream(self.step)


class ExportedStream:
    """Calls of a step cell, which answers at every row."""

    def __init__(self, session: Any):
        self.session, self.answer = session, np.empty((1, 0))
        self.state = np.zeros((1, {put.name: put.shape for put in session.get_inputs()}["state"][1]))

    def update(self, times: Any, values: Any) -> Self:
        for stamp, row in zip(np.atleast_1d(times), np.atleast_2d(values), strict=True):
            inputs = {"time": np.array([stamp]), "values": row[None], "state": self.state}
            self.answer, self.state = self.session.run(None, inputs)
        return self

    def predict_proba(self) -> np.ndarray:
        return self.answer[0]

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"state": torch.from_numpy(self.state)}


def answers(name: str, model: Any) -> tuple[Callable[[Any], np.ndarray], Callable[[Panel], np.ndarray]]:
    """How a model answers as a stream, and for a panel of one series."""
    if name == "SSMForecaster":
        ahead = [1.0, 2.0, 3.0]
        return lambda stream: stream.predict(at=ahead).values, lambda panel: model.predict(panel, ahead).values
    if name == "SSMSequenceRegressor":
        return lambda stream: stream.predict(), lambda panel: model.predict(panel).values[-1]
    if name == "SSMRegressor":
        return lambda stream: stream.predict(), lambda panel: model.predict(panel)[0]
    return lambda stream: stream.predict_proba(), lambda panel: model.predict_proba(panel)[0]


def seconds(work: Callable[[], Any], repeats: int = 3) -> float:
    """Least seconds of a few runs."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def kept(state: Any) -> int:
    """Bytes of the tensors in a state."""
    if isinstance(state, torch.Tensor):
        return state.nbytes
    return sum(kept(part) for part in state.values()) if isinstance(state, dict) else 0


def measure(name: str, case: tuple, times: np.ndarray, values: np.ndarray, n_answers: int) -> tuple[str, ...]:
    """A row of the table."""
    model, of_stream, of_panel = case
    stream, stamps, rows = model.stream(), times.tolist(), list(values)
    last = len(rows) - n_answers

    def run() -> None:
        fresh = model.stream()
        for stamp, row in zip(stamps[:last], rows[:last], strict=True):
            fresh.update(stamp, row)
        of_stream(fresh)

    updating = seconds(run, 2)
    stream.update(times[:last], values[:last])
    of_stream(stream)
    start = time.perf_counter()
    for stamp, row in zip(stamps[last:], rows[last:], strict=True):
        of_stream(stream.update(stamp, row))
    answering = (time.perf_counter() - start) / n_answers
    whole = Panel.from_series([(times, values)])
    apart = np.abs(of_stream(stream) - of_panel(whole)).max()
    again = seconds(lambda: of_panel(whole))
    numbers = (f"{last / updating:,.0f}", f"{1e3 * answering:.2f}", f"{1e3 * again:.1f}", f"{apart:.0e}")
    return (name, *numbers, f"{kept(stream.state_dict()) / 1e3:,.1f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="rows of the series")
    parser.add_argument("--answers", type=int, default=200, help="last rows after each of which an answer is asked")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    cases = models(rng)
    times, values = walks(arguments.rows, rng)
    table = [measure(name, case, times, values, arguments.answers) for name, case in cases.items()]
    print(Table(COLUMNS, table).to_markdown())
    print(f"\n{made_with('benchmarks.streaming')}")


if __name__ == "__main__":
    main()
