"""What the defaults of SSMClassifier rest on: cross-validation within the training set of PhysioNet 2012.

python -m benchmarks.defaults
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from benchmarks.report import made_with, table
from tsssm.datasets import load_physionet2012
from tsssm.estimators import SSMClassifier

SETTINGS: dict[str, dict[str, Any]] = {
    "the defaults": {},
    "dropout=0.1": {"dropout": 0.1},
    "d_model=64, depth=2": {"d_model": 64, "depth": 2},
    "members=1": {"members": 1},
}


def fold(setting: dict[str, Any], train: np.ndarray, test: np.ndarray) -> tuple[float, float, float]:
    """Scores of one setting on one fold."""
    torch.set_num_threads(1)
    panel, y = load_physionet2012("a")
    model = SSMClassifier(**{"random_state": 0, **setting}).fit(panel[train], y[train])
    p = model.predict_proba(panel[test])[:, 1]
    return roc_auc_score(y[test], p), average_precision_score(y[test], p), log_loss(y[test], p)


def main() -> None:
    """Fit, judge, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__)
    parser.add_argument("--folds", type=int, default=3, help="of the cross-validation (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="fits at once (%(default)s)")
    options = parser.parse_args()
    _, y = load_physionet2012("a")
    folds = list(StratifiedKFold(options.folds, shuffle=True, random_state=0).split(y, y))
    jobs = [delayed(fold)(setting, *parts) for setting in SETTINGS.values() for parts in folds]
    scores = np.reshape(Parallel(n_jobs=options.jobs)(jobs), (len(SETTINGS), len(folds), 3))
    results = dict(zip(SETTINGS, scores.tolist(), strict=True))
    print(f"\n{table(results, ('AUROC', 'AUPRC', 'log loss'), (4, 4, 4))}\n")
    print(made_with("benchmarks.defaults"))


if __name__ == "__main__":
    main()
