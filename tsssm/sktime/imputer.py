"""SSMImputer for sktime."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sktime.transformations.base import BaseTransformer

from tsssm import estimators
from tsssm.sktime.common import ScikitMixin, SeriesDoorMixin
from tsssm.sktime.frames import read_panel, rows_of


class SSMImputer(ScikitMixin, SeriesDoorMixin, BaseTransformer):
    """`tsssm.SSMImputer` for sktime: fill what was not observed, in one model of all series.

    Stamps may be irregular, and series of a panel or hierarchy differ in them. What is observed comes back as it is; a
    channel that was never observed in `fit` stays missing.

    Parameters
    ----------
    layer, d_model, depth, dropout, head, context, epochs, lr, batch_size, members, n_jobs, device, random_state, verbose
        As in `tsssm.SSMImputer`.

    Attributes
    ----------
    estimator_ : tsssm.SSMImputer
        What was fitted.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from tsssm.sktime import SSMImputer
    >>> hours = pd.to_datetime(["2024-01-01 00:00", "2024-01-01 00:40", "2024-01-01 05:00", "2024-01-01 06:30"])
    >>> pulse = pd.Series([71.0, np.nan, 80.0, 78.0], index=hours)
    >>> int(SSMImputer(epochs=1, random_state=0).fit_transform(pulse).isna().sum())
    0
    """

    _kind = "transformer"
    _tags: ClassVar[dict[str, Any]] = {
        "authors": ["the tsssm developers"],
        "maintainers": ["the tsssm developers"],
        "python_dependencies": ["torch"],
        "scitype:transform-input": "Series",
        "scitype:transform-output": "Series",
        "scitype:instancewise": False,
        "X_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "y_inner_mtype": "None",
        "fit_is_empty": False,
        "transform-returns-same-time-index": True,
        "capability:multivariate": True,
        "capability:unequal_length": True,
        "capability:missing_values": True,
        "capability:missing_values:removes": True,
        "capability:categorical_in_X": False,
        "capability:random_state": True,
        "property:randomness": "derandomized",
    }

    def __init__(
        self,
        layer: Any = "s5",
        d_model: int = 64,
        depth: int = 2,
        dropout: float = 0.1,
        head: str = "quantile",
        context: int = 256,
        epochs: int | None = None,
        lr: float = 0.002,
        batch_size: int = 32,
        members: int = 1,
        n_jobs: int | None = None,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.layer = layer
        self.d_model = d_model
        self.depth = depth
        self.dropout = dropout
        self.head = head
        self.context = context
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.members = members
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        super().__init__()

    def _fit(self, X: pd.DataFrame, y: Any = None) -> SSMImputer:
        self.estimator_ = estimators.SSMImputer(**self.get_params(deep=False)).fit(read_panel(X))
        return self

    def _transform(self, X: pd.DataFrame, y: Any = None) -> pd.DataFrame:
        filled = np.empty(X.shape)
        # a panel has each series' rows together
        order = np.argsort(rows_of(X.index).owner, kind="stable")
        filled[order] = self.estimator_.transform(read_panel(X)).values
        return pd.DataFrame(filled, index=X.index, columns=X.columns)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Settings that fit in moments, for sktime's checks."""
        small = {"d_model": 4, "depth": 1, "epochs": 1, "random_state": 0}
        return [small, {**small, "layer": "s4d", "head": "gaussian"}]
