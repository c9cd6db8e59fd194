"""Images read pixel after pixel: scikit-learn's 8 x 8 digits and MNIST."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from benchmarks.accuracy.labels import PLAIN, Labelled, judge, layer, plain
from benchmarks.accuracy.task import LAYERS, Fit, Task
from tsssm.data import Panel

# Boosting on 784 pixels and the two ridges would take an hour and 10 GB on all of MNIST.
MOST_FOR_PLAIN = 10_000
CUT = ("boosting", "minirocket", "ridge")
DIGITS = {
    True: {"d_model": 64, "depth": 2, "dropout": 0.1, "epochs": 60, "lr": 0.004},
    False: {"d_model": 128, "depth": 4, "dropout": 0.1, "epochs": 150, "lr": 0.004},
}
MNIST = {
    True: {"d_model": 64, "depth": 2, "dropout": 0.1, "epochs": 4, "lr": 0.004},
    False: {"d_model": 128, "depth": 4, "dropout": 0.1, "epochs": 40, "lr": 0.004},
}


def digits(fit: Fit) -> dict[str, float]:
    """Measure on 8 x 8 digits: half of them to train on, class by class, drawn with seed 0."""
    X, y = load_digits(return_X_y=True)
    X, Z, y, z = train_test_split(X / 16, y, test_size=0.5, random_state=0, stratify=y)
    train, test = (Panel.from_array(X), y), (Panel.from_array(Z), z)
    if fit.row in LAYERS:
        return judge(layer(fit.row, fit.seed, **DIGITS[fit.small]), train, test)
    return judge(plain(fit.row, len(y), 64, fit.seed), train, test)


def mnist(fit: Fit) -> dict[str, float]:
    """Measure on MNIST's own split."""
    train, test = (read(fit.data / "mnist" / f"{split}.parquet") for split in ("train", "test"))
    if fit.row in LAYERS:
        return judge(layer(fit.row, fit.seed, **MNIST[fit.small]), train, test)
    if fit.row in CUT:
        train = train[0][:MOST_FOR_PLAIN], train[1][:MOST_FOR_PLAIN]
    return judge(plain(fit.row, len(train[1]), 784, fit.seed), train, test)


@lru_cache(maxsize=2)
def read(file: Path) -> Labelled:
    """Give images as series of 784 pixels between 0 and 1, and their labels."""
    frame = pd.read_parquet(file)
    pixels = np.stack([np.frombuffer(image, np.uint8) for image in frame["image"]])
    return Panel.from_array(pixels.astype(np.float64) / 255), frame["label"].to_numpy()


def said(settings: dict[str, float]) -> str:
    """Give settings as arguments."""
    return "SSMClassifier(" + ", ".join(f"{name}={value}" for name, value in settings.items()) + ", members=1)"


TASKS = {
    "digits": Task(
        "Sequential digits, 8 x 8 pixels one after another, 898 to train on and 899 to judge by",
        {"accuracy": 4},
        PLAIN,
        tuple(LAYERS),
        digits,
        {small: said(settings) for small, settings in DIGITS.items()},
    ),
    "smnist": Task(
        "Sequential MNIST, 784 pixels one after another, 60,000 to train on and 10,000 to judge by",
        {"accuracy": 4},
        {row: name + f", {MOST_FOR_PLAIN:,} images" * (row in CUT) for row, name in PLAIN.items() if row != "default"},
        ("s4d", "s5", "lru"),
        mnist,
        {small: said(settings) for small, settings in MNIST.items()},
        needs_data=True,
    ),
}
