"""SSMFeatures: thousands of features of a series without training."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import check_is_fitted

from tsssm.data import Panel, Scaling
from tsssm.dynamics.kernels.bank import pooled
from tsssm.estimators.door import PanelEstimator
from tsssm.features.draw import PER_GROUP, bank_of, draw_groups, sample_of
from tsssm.features.names import names_of, table_of
from tsssm.features.pace import pace_of
from tsssm.features.path import rows_of
from tsssm.features.stream import FeatureStream

# values beyond this many scales are compressed, so that one outlier does not swamp a series
SOFT_LIMIT = 10.0


class SSMFeatures(TransformerMixin, PanelEstimator):
    """Turn series into vectors by a bank of random oscillators, driven by each series and pooled over time.

    A group of oscillators sees a mixture v(t) of channels, with straight lines between what was observed, through a
    window of a random length,

        x_k'(t) = rate_k x_k(t) + v'(t),    y_r(t) = Re sum_k c_rk x_k(t) + g_r v(t),

    solved exactly across every gap, and each output y_r is pooled over time in ten ways: the share of time above four
    thresholds, root mean square, maximum, minimum, the longest stretch above the first threshold, how often that is
    crossed upward, and whether y_r is above it early or late.

    Parameters
    ----------
    n_features : int, default 10_000
        Number of features; 80 belong to one group.
    random_state : int, RandomState or None
        Seed of windows, mixtures, readouts and thresholds.

    Attributes
    ----------
    table_ : DataFrame
        What each feature is: channels, window and periods in the unit of the panel's clock, pooling.
    pace_ : Pace
        Gaps and longest duration of the training panel, between which the windows were drawn.
    scaling_ : Scaling
        Centre and scale of each channel.

    Raises
    ------
    ValueError, TypeError
        Where the data or a parameter cannot be used.

    Notes
    -----
    A feature depends on its own series alone, and neither on the unit of time nor on when a series began. The cost is
    linear in the rows, and no array of all outputs exists. Windows reach from two median gaps of the group's channels
    to the longest series of the training panel; the readouts are those of S4D-Lin at its start (Gu et al. 2022,
    "On the Parameterization and Initialization of Diagonal State Space Models", eq. 8); random filters pooled by shares
    of time above thresholds, with a linear model on top, are the idea of ROCKET and MiniRocket (Dempster et al. 2020,
    2021), and the longest stretch that of MultiRocket (Tan et al. 2022).

    Examples
    --------
    >>> from tsssm import SSMFeatures
    >>> from tsssm.data.synthetic import noisy_sines
    >>> panel, labels = noisy_sines(40, random_state=0)
    >>> SSMFeatures(n_features=160, random_state=0).fit_transform(panel).shape
    (40, 160)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, n_features: int = 10_000, random_state: Any = None):
        self.n_features = n_features
        self.random_state = random_state

    def _learn_panel(self, panel: Panel, y: Any) -> None:
        random = check_random_state(self.random_state)
        panel = observed(panel, np.ones(panel.shape[1], dtype=bool))
        self.scaling_ = Scaling.fit(panel, SOFT_LIMIT)
        self.pace_ = pace_of(panel)
        groups = draw_groups(self.pace_, -(-self.n_features // PER_GROUP), random)
        sample = panel[sample_of(panel.lengths, random)]
        rows = rows_of(sample, self.scaling_, self.pace_)
        self.bank_ = bank_of(groups, self.pace_.step, rows, random)
        self.table_ = table_of(groups, self.channels_).iloc[: self.n_features]

    def transform(self, X: Any) -> np.ndarray:
        """Give the features of series.

        Parameters
        ----------
        X : Panel or what `as_panel` takes
            n series of the channels fitted to.

        Returns
        -------
        ndarray of float32, (n, n_features)
            Or a frame with the names of the features, after ``set_output(transform="pandas")``. A series without any
            observation has zeros.
        """
        panel = observed(self._fitted_panel(X), self.scaling_.seen)
        pools, _ = pooled(self.bank_, rows_of(panel, self.scaling_, self.pace_))
        numbers = self._flat(pools.numpy())
        if _get_output_config("transform", self)["dense"] == "pandas":
            # scikit-learn would take the index of a long table, which has many rows a series
            return pd.DataFrame(numbers, index=panel.ids, columns=self.get_feature_names_out())
        return numbers

    def stream(self, tolerance: Any = None) -> FeatureStream:
        """Give a series that grows as observations arrive, whose features are those of `transform` at any moment.

        What comes at most `tolerance` late is merged into the last row, as described in `SSMClassifier.stream`.
        """
        check_is_fitted(self, "bank_")
        return FeatureStream(self.bank_, self.scaling_, self.pace_, self._flat, self.clock_kind_, tolerance)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the features, with their windows in the user's units of time."""
        check_is_fitted(self, "bank_")
        return names_of(self.table_, self.clock_kind_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _flat(self, pools: np.ndarray) -> np.ndarray:
        """Pools (n, p, r, g) as columns, group by group."""
        columns = pools.transpose(0, 3, 2, 1).reshape(len(pools), -1)[:, : self.n_features]
        return np.ascontiguousarray(columns)


def observed(panel: Panel, channels: np.ndarray) -> Panel:
    """The panel without rows at which none of the channels (a mask) was observed."""
    seen = np.isfinite(panel.values[:, channels]).any(1)
    return panel if seen.all() else panel.rows(seen)
