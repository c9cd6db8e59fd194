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


# Of a training of few steps: on validation parts of six sets (Trace, GunPoint, Lightning7, RacketSports, ERing,
# ToeSegmentation1; seed 0, 200 steps) the Langevin SDE had 0.876 and 0.764 right with 0 and 70 % dropped, with the
# estimator's own rate, which is for 600 steps, 0.832 and 0.735.
FAST = 0.005


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
