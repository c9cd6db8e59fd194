"""Processor seconds of an epoch on long records, flat and hierarchical at equal size, and the latency of streams at 1 kHz.

python -m benchmarks.sequences.speed
python -m benchmarks.sequences.speed --parameters 60000 --seconds 20
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from benchmarks.report import made_with
from benchmarks.sequences.rows import FLAT, PAIRS, make
from tsssm.data import Panel
from tsssm.demo.page import Table

LENGTH, RATE, CHANNELS = 10_000, 1000.0, 6
CHUNK = 0.1
ROWS = [row for row in (*FLAT, *PAIRS) if "selective" in row or "s4d" in row or row == "s5"]


def record(seconds: float, seed: int) -> tuple[Panel, Panel]:
    """Random walks of six channels a thousand times a second, and their mean ten times a second."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    values = np.cumsum(rng.normal(size=(len(times), CHANNELS)), 0) / 30
    slow = slice(99, None, 100)
    y = Panel.from_series([(times[slow], values[slow].mean(1, keepdims=True))], channels=["y"])
    return Panel.from_series([(times, values)]), y


def epoch(row: str, parameters: int, repeats: int) -> tuple[float, int]:
    """Least processor seconds of an epoch over four records of 10,000 rows, and the number of parameters."""
    pairs = [record(LENGTH / RATE, seed) for seed in range(4)]
    X, y = (Panel.concat([pair[side] for pair in pairs]) for side in (0, 1))
    X, y = (Panel(p.times, p.values, p.offsets, np.arange(4), p.channels) for p in (X, y))
    settings = {"context": None, "batch_size": 2, "random_state": 0}
    make(row, CHUNK, parameters, epochs=1, **settings).fit(X, y)
    found = []
    for _ in range(repeats):
        model = make(row, CHUNK, parameters, epochs=2, **settings)
        start = time.process_time()
        model.fit(X, y)
        found.append((time.process_time() - start) / 2)
    return min(found), sum(p.numel() for p in model.models_[0].parameters())


def epochs(parameters: int, repeats: int) -> str:
    """Table of seconds an epoch, with the ratio to the flat layer that is the lower one of a pair."""
    found = {row: epoch(row, parameters, repeats) for row in ROWS}
    lines = []
    for row, (seconds, count) in found.items():
        low = row.split("-")[0]
        ratio = f"{found[low][0] / seconds:.2f}" if row in PAIRS else ""
        lines.append(((FLAT | PAIRS)[row], f"{count:,}", f"{seconds:.2f}", ratio))
    return Table(("model", "parameters", "epoch [s]", "times faster than flat"), lines).to_markdown()


def latencies(row: str, parameters: int, seconds: float, every: int) -> tuple[str, ...]:
    """Rows come one by one; after each `every` of them an answer is asked. Times of update and answer together."""
    X, y = record(4.0, 0)
    stream = make(row, CHUNK, parameters, epochs=1, random_state=0).fit(X, y).stream()
    panel = record(seconds + 0.2, 1)[0]
    took, total = [], 0.0
    for k, (stamp, values) in enumerate(zip(panel.times.tolist(), panel.values, strict=True)):
        start = time.perf_counter()
        stream.update(stamp, values)
        if k % every == every - 1:
            stream.predict()
        elapsed = time.perf_counter() - start
        # first calls fill caches
        if k >= 200:
            total += elapsed
            if k % every == every - 1:
                took.append(elapsed)
    numbers = [1e3 * number for number in (np.median(took), np.quantile(took, 0.99), max(took))]
    return ((FLAT | PAIRS)[row], f"{RATE / every:g}", *(f"{each:.2f}" for each in numbers), f"{total / seconds:.0%}")


def main() -> None:
    """Print both tables."""
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.sequences.speed", description=__doc__, formatter_class=text)
    parser.add_argument("--parameters", type=int, default=20_000, help="of the layers (%(default)s)")
    parser.add_argument("--repeats", type=int, default=1, help="fits of which the fastest counts (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a stream (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(epochs(options.parameters, options.repeats))
    rows = [
        latencies(row, options.parameters, options.seconds, every)
        for row in ("s5", "s4d", "s4d-selective", "s4d-s4d")
        for every in (1, 10, 100)
    ]
    heads = (
        "stream of rows at 1 kHz, one core",
        "answers a second",
        "median [ms]",
        "99 % [ms]",
        "most [ms]",
        "core busy",
    )
    print(f"\n{Table(heads, rows).to_markdown()}\n\n{made_with('benchmarks.sequences.speed')}")


if __name__ == "__main__":
    main()
