"""SSMClassifier for sktime."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sktime.classification.base import BaseClassifier

from tsssm import estimators
from tsssm.sktime.common import PanelDoorMixin, ScikitMixin
from tsssm.sktime.frames import read_panel


class SSMClassifier(ScikitMixin, PanelDoorMixin, BaseClassifier):
    """`tsssm.SSMClassifier` for sktime: the class of a series, on its own clock.

    Series may come at any times, differ in length and have missing values; times are used wherever the container holds
    some, and rows of an array count 0, 1, 2, ...

    Parameters
    ----------
    layer, d_model, depth, dropout, epochs, lr, batch_size, members, features, class_weight, n_jobs, device, \
random_state, verbose
        As in `tsssm.SSMClassifier`.

    Attributes
    ----------
    estimator_ : tsssm.SSMClassifier
        What was fitted.

    Examples
    --------
    >>> from sktime.datasets import load_unit_test
    >>> from tsssm.sktime import SSMClassifier
    >>> X, y = load_unit_test(split="train", return_type="pd-multiindex")
    >>> SSMClassifier(epochs=1, members=1, features=False, random_state=0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    _kind = "classifier"
    _tags: ClassVar[dict[str, Any]] = {
        "authors": ["the tsssm developers"],
        "maintainers": ["the tsssm developers"],
        "python_dependencies": ["torch"],
        "X_inner_mtype": "pd-multiindex",
        "capability:multivariate": True,
        "capability:unequal_length": True,
        "capability:missing_values": True,
        "capability:predict_proba": True,
        "capability:class_weight": True,
        "capability:multithreading": True,
        "capability:categorical_in_X": False,
        "capability:random_state": True,
        "property:randomness": "derandomized",
    }

    def __init__(
        self,
        layer: Any = "s5",
        d_model: int = 32,
        depth: int = 1,
        dropout: float = 0.3,
        epochs: int | None = None,
        lr: float = 0.002,
        batch_size: int = 32,
        members: int = 3,
        features: bool = True,
        class_weight: Any = None,
        n_jobs: int | None = None,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.layer = layer
        self.d_model = d_model
        self.depth = depth
        self.dropout = dropout
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.members = members
        self.features = features
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        super().__init__()

    def _fit(self, X: pd.DataFrame, y: np.ndarray) -> SSMClassifier:
        self.estimator_ = estimators.SSMClassifier(**self.get_params(deep=False)).fit(read_panel(X), y)
        return self

    def _predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.estimator_.predict(read_panel(X))

    def _predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return self.estimator_.predict_proba(read_panel(X))

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Settings that fit in moments, for sktime's checks."""
        small = {"d_model": 4, "epochs": 1, "members": 1, "features": False, "random_state": 0}
        return [small, {**small, "layer": "gru", "class_weight": "balanced"}]
