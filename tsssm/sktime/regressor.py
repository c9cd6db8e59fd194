"""SSMRegressor for sktime."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sktime.regression.base import BaseRegressor

from tsssm import estimators
from tsssm.sktime.common import PanelDoorMixin, ScikitMixin
from tsssm.sktime.frames import read_panel


class SSMRegressor(ScikitMixin, PanelDoorMixin, BaseRegressor):
    """`tsssm.SSMRegressor` for sktime: one or several numbers of a series, on its own clock.

    Series may come at any times, differ in length and have missing values, as in `SSMClassifier`.

    Parameters
    ----------
    layer, d_model, depth, dropout, epochs, lr, batch_size, members, n_jobs, device, random_state, verbose
        As in `tsssm.SSMRegressor`.

    Attributes
    ----------
    estimator_ : tsssm.SSMRegressor
        What was fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm.sktime import SSMRegressor
    >>> X = np.random.default_rng(0).normal(size=(12, 1, 20))
    >>> SSMRegressor(epochs=1, members=1, random_state=0).fit(X, X.mean((1, 2))).predict(X).shape
    (12,)
    """

    _kind = "regressor"
    _tags: ClassVar[dict[str, Any]] = {
        "authors": ["the tsssm developers"],
        "maintainers": ["the tsssm developers"],
        "python_dependencies": ["torch"],
        "X_inner_mtype": "pd-multiindex",
        "y_inner_mtype": "numpy2D",
        "capability:multivariate": True,
        "capability:multioutput": True,
        "capability:unequal_length": True,
        "capability:missing_values": True,
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
        dropout: float = 0.1,
        epochs: int | None = None,
        lr: float = 0.002,
        batch_size: int = 32,
        members: int = 3,
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
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        super().__init__()

    def _fit(self, X: pd.DataFrame, y: np.ndarray) -> SSMRegressor:
        self.estimator_ = estimators.SSMRegressor(**self.get_params(deep=False)).fit(read_panel(X), y)
        return self

    def _predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.estimator_.predict(read_panel(X))

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Settings that fit in moments, for sktime's checks."""
        small = {"d_model": 4, "epochs": 1, "members": 1, "random_state": 0}
        return [small, {**small, "layer": "gru", "dropout": 0.0}]
