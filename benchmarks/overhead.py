"""What a step of the training loop costs beyond forward, backward and the optimizer, part by part.

python -m benchmarks.overhead
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.report import made_with
from tsssm.data import Panel, Scaling, Source
from tsssm.data.tasks import show_all
from tsssm.demo.page import Table
from tsssm.heads import Label
from tsssm.layers import S5, Recipe, Stack
from tsssm.models import FullRows, SequenceModel
from tsssm.training.loop import bucketed
from tsssm.training.weights import Average, Weights, parameter_groups

EPOCHS, SIZE = 30, 16


def irregular(rng: np.random.Generator) -> Panel:
    """100 series of 60 to 140 rows at random times."""
    lengths = rng.integers(60, 140, 100)
    return Panel.from_series([(np.cumsum(rng.exponential(1.0, n)), rng.normal(size=(n, 1))) for n in lengths])


def measure(panel: Panel) -> dict[str, float]:
    """Median milliseconds of each part of a step."""
    rng, everything = np.random.default_rng(0), np.arange(len(panel))
    source = Source(panel, Scaling.fit(panel), 1.0, label=rng.integers(0, 2, len(panel)))
    torch.manual_seed(0)
    stack = Stack(64, Recipe(S5), depth=2, dropout=0.0)
    model = SequenceModel(FullRows(1, 64), stack, Label(64, torch.ones(2)))
    weights = Weights(parameter_groups(model, 0.004, 0.02))
    average = Average(weights)
    optimizer = torch.optim.AdamW(weights.groups, fused=True)
    spent: dict[str, list[float]] = {}

    def timed(part: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        spent.setdefault(part, []).append(1000 * (time.perf_counter() - start))
        return result

    for _ in range(EPOCHS):
        for part in bucketed(source.lengths, everything, SIZE, 10**6, rng):
            batch = timed("cut a batch", lambda part=part: source.batch(show_all(source, part)))
            loss = timed("forward", lambda batch=batch: model.loss(batch))
            timed("backward", loss.backward)
            timed("gather gradients", lambda: weights.gather(1.0))
            timed("AdamW", optimizer.step)
            timed("copy weights", weights.scatter)
            timed("average weights", lambda: average.update(100))
    return {part: float(np.median(times)) for part, times in spent.items()}


def main() -> None:
    """Print the medians over all steps."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    panels = {"100 of 100 rows": Panel.from_array(rng.normal(size=(100, 100, 1))), "100 of 60 to 140": irregular(rng)}
    results = {name: measure(panel) for name, panel in panels.items()}
    parts = next(iter(results.values()))
    rows = [(name, *(f"{times[part]:.2f}" for part in parts)) for name, times in results.items()]
    print(Table(("series", *(f"{part} [ms]" for part in parts)), rows).to_markdown())
    print(f"\n{made_with('benchmarks.overhead')}")


if __name__ == "__main__":
    main()
