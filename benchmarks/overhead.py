"""What a step of the training loop costs beyond its tensors: CPU time of the loop and of the bare work, same batches.

python -m benchmarks.overhead
"""

from __future__ import annotations

import time

import numpy as np
import torch

from benchmarks.report import made_with
from tsssm.data import Panel, Scaling, Source
from tsssm.data.tasks import show_all
from tsssm.heads import Label
from tsssm.layers import S5, Recipe, Stack
from tsssm.models import FullRows, SequenceModel
from tsssm.training import Training
from tsssm.training.loop import bucketed, parameter_groups

EPOCHS, SIZE, REPEATS = 20, 16, 7


def irregular(rng: np.random.Generator) -> Panel:
    """100 series of 60 to 140 rows at random times."""
    lengths = rng.integers(60, 140, 100)
    return Panel.from_series([(np.cumsum(rng.exponential(1.0, n)), rng.normal(size=(n, 1))) for n in lengths])


def measure(panel: Panel) -> tuple[float, float]:
    """Milliseconds of CPU time per step: of the loop, and of forward, backward and optimizer on ready batches."""
    rng, everything = np.random.default_rng(0), np.arange(len(panel))
    source = Source(panel, Scaling.fit(panel), 1.0, label=rng.integers(0, 2, len(panel)))
    torch.manual_seed(0)
    stack = Stack(64, Recipe(S5), depth=2, dropout=0.0)
    model = SequenceModel(FullRows(1, 64), stack, Label(64, torch.ones(2)))
    training = Training(epochs=EPOCHS, batch_size=SIZE)
    batches = [source.batch(show_all(source, part)) for part in bucketed(source.lengths, everything, SIZE, 10**6, rng)]
    optimizer = torch.optim.AdamW(parameter_groups(model, training.lr, training.weight_decay), fused=True)
    steps = EPOCHS * len(batches)

    start = time.process_time()
    training.run(model, show_all, (source, everything), (source, everything[:0]))
    whole = time.process_time() - start
    model.train()
    start = time.process_time()
    for _ in range(EPOCHS):
        for batch in batches:
            optimizer.zero_grad(set_to_none=True)
            loss = model.loss(batch)
            loss.backward()
            optimizer.step()
    return 1000 * whole / steps, 1000 * (time.process_time() - start) / steps


def main() -> None:
    """Print the medians of several runs."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    print("| series | loop [ms a step] | bare work [ms a step] | overhead [ms a step] |\n|---|---|---|---|")
    for name, panel in {
        "100 of 100 rows": Panel.from_array(rng.normal(size=(100, 100, 1))),
        "100 of 60 to 140 rows": irregular(rng),
    }.items():
        measure(panel)
        loop, bare = np.median([measure(panel) for _ in range(REPEATS)], axis=0)
        print(f"| {name} | {loop:.2f} | {bare:.2f} | {loop - bare:.2f} |", flush=True)
    print(f"\n{made_with('benchmarks.overhead')}")


if __name__ == "__main__":
    main()
