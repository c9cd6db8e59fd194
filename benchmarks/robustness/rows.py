"""The models that are compared, each with one setting for all sets."""

from __future__ import annotations

from typing import Any

from benchmarks import features
from tsssm import SSMClassifier
from tsssm.data import Panel

NEURAL = {
    "langevinsde": "Langevin SDE",
    "linearnoisesde": "linear noise SDE",
    "geometricsde": "geometric SDE",
    "neuralcde": "neural CDE",
    "neuralode": "neural ODE",
    "gru": "GRU with gaps",
    "s5": "S5",
}
PLAIN = {row: features.ROWS[row] for row in ("minirocket", "ssm", "linear")}
ROWS = NEURAL | PLAIN
SDES = ("langevinsde", "linearnoisesde", "geometricsde")


# Of a training of few steps: on validation parts of 13 sets, seed 0, 150 steps, the linear noise SDE had 0.863 and 0.810
# right with 0 and 70 % dropped at 0.005, 0.874 and 0.827 at 0.01; the estimator's own rate is for 600 steps.
FAST = 0.01


def make(row: str, train: Panel, seed: int, steps: int | None) -> Any:
    """Give the model of a row, or None where its package is missing.

    Networks are trained for about `steps` steps at a higher rate, or as their estimator does it.
    """
    if row in PLAIN:
        return features.make(row, train, seed)
    # one network, without the ridge that would answer for it
    model = SSMClassifier(layer=row, members=1, features=False, random_state=seed)
    return model if steps is None else model.set_params(lr=FAST, epochs=epochs(len(train), model.batch_size, steps))


def epochs(n: int, batch_size: int, steps: int) -> int:
    """Passes over n series that take about so many steps.

    Examples
    --------
    >>> epochs(100, 32, 200)
    50
    """
    return -(-steps // -(-n // batch_size))
