"""Small classification sets with the splits of their archive.

python -m benchmarks.classification --seeds 3
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

from benchmarks.baselines import label_rows, minirocket, nearest_neighbour, timed
from benchmarks.report import made_with, table
from tsssm.datasets import load_basic_motions, load_gunpoint, load_japanese_vowels
from tsssm.estimators import SSMClassifier

SETS = {"JapaneseVowels": load_japanese_vowels, "BasicMotions": load_basic_motions, "GunPoint": load_gunpoint}


def rows(seed: int, n: int, length: int, jobs: int, epochs: int | None) -> dict[str, Any]:
    """Give all models by the name of their row; `length` is that of the longest training series."""
    plain = label_rows(seed, n) | {"1-nearest neighbour, Euclidean, resampled": nearest_neighbour(length)}
    kernels = minirocket(length, seed)
    if kernels is not None:
        plain["MiniRocket and ridge, resampled"] = kernels
    options = {"random_state": seed, "n_jobs": jobs, "epochs": epochs}
    return plain | {
        f'SSMClassifier(layer="{layer}")': SSMClassifier(layer, **options) for layer in ("s5", "s4d", "gru")
    }


def main() -> None:
    """Fit, judge, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classification", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="fits of each model (%(default)s)")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS), help="data sets (%(default)s)")
    parser.add_argument("--epochs", type=int, help="of the networks; by default their own")
    parser.add_argument("--jobs", type=int, default=1, help="members of a network trained at once (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.sets:
        (train, y), (test, z) = SETS[name]("train"), SETS[name]("test")
        results: dict[str, list] = {}
        for seed in range(options.seeds):
            models = rows(seed, len(train), int(train.lengths.max()), options.jobs, options.epochs)
            for row, model in models.items():
                _, seconds = timed(lambda model=model, train=train, y=y: model.fit(train, y))
                results.setdefault(row, []).append((float((model.predict(test) == z).mean()), seconds))
        print(f"**{name}**: {len(train)} series to train on, {len(test)} to judge by\n")
        print(f"{table(results, ('accuracy', 'fit [s]'), (3, 1))}\n", flush=True)
    if minirocket(100, 0) is None:
        print("MiniRocket is left out: it needs sktime with numba.\n")
    print(made_with("benchmarks.classification"))


if __name__ == "__main__":
    main()
