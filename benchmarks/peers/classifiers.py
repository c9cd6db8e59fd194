"""Fits of small classifiers: ours beside those of sktime that run on torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tsssm.estimators import SSMClassifier

BATCH = 16


def data(n: int, length: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy sines of two frequencies on a common even grid (n, length), and which one."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    phase = rng.uniform(0, 2 * np.pi, (n, 1))
    time_axis = np.arange(length) * np.where(label, 0.2, 0.3)[:, None]
    return np.sin(time_axis + phase) + 0.3 * rng.standard_normal((n, length)), label


def ours(epochs: int, layer: str) -> Any:
    """One member of the width that the peers have."""
    return SSMClassifier(layer, d_model=64, depth=2, members=1, epochs=epochs, batch_size=BATCH, random_state=0)


def gru(epochs: int) -> Any:
    """Two layers of width 64."""
    from sktime.classification.deep_learning.gru import GRUClassifier

    return GRUClassifier(
        hidden_dim=64, n_layers=2, batch_first=True, num_epochs=epochs, batch_size=BATCH, random_state=0
    )


def fcn(epochs: int) -> Any:
    """With its defaults."""
    from sktime.classification.deep_learning.fcn import FCNClassifierTorch

    return FCNClassifierTorch(num_epochs=epochs, batch_size=BATCH, random_state=0)


def inception_time(epochs: int) -> Any:
    """With its defaults: one network, not the ensemble of five of the paper."""
    from sktime.classification.deep_learning.inceptiontime import InceptionTimeClassifierTorch

    return InceptionTimeClassifierTorch(num_epochs=epochs, batch_size=BATCH, random_state=0)


def fit_seconds(make: Callable[[int], Any], epochs: int, size: tuple[int, int], threads: int) -> dict[str, float]:
    """Seconds of one fit, and the accuracy on series of another seed; a fit of one epoch before it warms up."""
    torch.set_num_threads(threads)
    (X, y), (Z, z) = data(*size), data(*size, seed=1)
    if not isinstance(make(1), SSMClassifier):
        X, Z = X[:, np.newaxis], Z[:, np.newaxis]
    make(1).fit(X, y)
    clock = time.process_time if threads == 1 else time.perf_counter
    start = clock()
    model = make(epochs).fit(X, y)
    seconds = clock() - start
    return {"seconds": seconds, "accuracy": float((model.predict(Z) == z).mean())}


CLASSIFIERS: dict[str, Callable[[int], Any]] = {
    'SSMClassifier(layer="s5")': lambda epochs: ours(epochs, "s5"),
    'SSMClassifier(layer="s4d")': lambda epochs: ours(epochs, "s4d"),
    "sktime GRUClassifier(64, 2)": gru,
    "sktime FCNClassifierTorch": fcn,
    "sktime InceptionTimeClassifierTorch": inception_time,
}
