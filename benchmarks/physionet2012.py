"""Death in hospital, PhysioNet challenge 2012: train on set a, judge once on set b.

python -m benchmarks.physionet2012 --seeds 3
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

import tsssm
from benchmarks.baselines import label_rows, timed
from benchmarks.report import made_with, table
from tsssm.datasets import load_physionet2012
from tsssm.estimators import SSMClassifier

LAYERS = ("s5", "s4d", "gru")


def rows(seed: int, n: int, layers: list[str], jobs: int, epochs: int | None) -> dict[str, Any]:
    """Give all models by the name of their row."""
    plain = label_rows(seed, n) | {"SSMRidgeClassifier": tsssm.SSMRidgeClassifier(random_state=seed)}
    options = {"random_state": seed, "n_jobs": jobs, "epochs": epochs}
    return plain | {f'SSMClassifier(layer="{layer}")': SSMClassifier(layer=layer, **options) for layer in layers}


def main() -> None:
    """Fit, judge, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.physionet2012", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="fits of each model (%(default)s)")
    parser.add_argument("--series", type=int, default=4000, help="stays of each set (%(default)s)")
    parser.add_argument("--layers", nargs="+", default=list(LAYERS), help="layers of the networks (%(default)s)")
    parser.add_argument("--epochs", type=int, help="of the networks; by default their own")
    parser.add_argument("--jobs", type=int, default=1, help="members of a network trained at once (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    (train, y), (test, z) = load_physionet2012("a"), load_physionet2012("b")
    n, results = options.series, {}
    for seed in range(options.seeds):
        for name, model in rows(seed, n, options.layers, options.jobs, options.epochs).items():
            _, seconds = timed(lambda model=model: model.fit(train[:n], y[:n]))
            p = model.predict_proba(test[:n])[:, 1]
            truth = z[:n]
            scores = (roc_auc_score(truth, p), average_precision_score(truth, p), brier_score_loss(truth, p), seconds)
            results.setdefault(name, []).append(scores)
            print(f"seed {seed}  {name}: AUROC {scores[0]:.4f}, {seconds:.0f} s", flush=True)
    print(f"\n{table(results, ('AUROC', 'AUPRC', 'Brier score', 'fit [s]'), (4, 4, 4, 1))}\n")
    print(made_with("benchmarks.physionet2012"))


if __name__ == "__main__":
    main()
