"""SSMFeatures for sktime."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd
from sktime.transformations.base import BaseTransformer

from tsssm import estimators
from tsssm.sktime.common import ScikitMixin, SeriesDoorMixin
from tsssm.sktime.frames import read_panel, rows_of


class SSMFeatures(ScikitMixin, SeriesDoorMixin, BaseTransformer):
    """`tsssm.SSMFeatures` for sktime: a row of features for each series, from random oscillators without training.

    Stamps may be irregular, series may differ in length and have missing values.

    Parameters
    ----------
    n_features, random_state
        As in `tsssm.SSMFeatures`.

    Attributes
    ----------
    estimator_ : tsssm.SSMFeatures
        What was fitted.

    Examples
    --------
    >>> from sktime.datasets import load_unit_test
    >>> from tsssm.sktime import SSMFeatures
    >>> X, _ = load_unit_test(split="train", return_type="pd-multiindex")
    >>> SSMFeatures(n_features=160, random_state=0).fit_transform(X).shape
    (20, 160)
    """

    _kind = "transformer"
    _tags: ClassVar[dict[str, Any]] = {
        "authors": ["the tsssm developers"],
        "maintainers": ["the tsssm developers"],
        "python_dependencies": ["torch"],
        "scitype:transform-input": "Series",
        "scitype:transform-output": "Primitives",
        "scitype:instancewise": False,
        "X_inner_mtype": "pd-multiindex",
        "y_inner_mtype": "None",
        "fit_is_empty": False,
        "capability:multivariate": True,
        "capability:unequal_length": True,
        "capability:unequal_length:removes": True,
        "capability:missing_values": True,
        "capability:missing_values:removes": True,
        "capability:categorical_in_X": False,
        "capability:random_state": True,
        "property:randomness": "derandomized",
    }

    def __init__(self, n_features: int = 10_000, random_state: Any = None):
        self.n_features = n_features
        self.random_state = random_state
        super().__init__()

    def _fit(self, X: pd.DataFrame, y: Any = None) -> SSMFeatures:
        self.estimator_ = estimators.SSMFeatures(self.n_features, self.random_state).fit(read_panel(X))
        return self

    def _transform(self, X: pd.DataFrame, y: Any = None) -> pd.DataFrame:
        panel, names = read_panel(X), rows_of(X.index).names
        columns = self.estimator_.get_feature_names_out()
        return pd.DataFrame(self.estimator_.transform(panel), index=names[panel.ids], columns=columns)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Settings that fit in moments, for sktime's checks."""
        return [{"n_features": 80, "random_state": 0}, {"n_features": 100, "random_state": 1}]
