"""PanelEstimator: what everything that is fitted to panels shares - the door for data, and a fit that restores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from tsssm.data import Panel, as_panel
from tsssm.errors import explain


class PanelEstimator(BaseEstimator, ABC):
    """Base of what is fitted to panels: `fit` is written once, a kind says what it learns from a checked panel.

    Attributes
    ----------
    channels_ : tuple of str
        Channels fitted to.
    clock_kind_ : str
        Kind of the times fitted to: "number", "integer", "datetime" or "timedelta".
    n_features_in_ : int
        Number of channels fitted to; of columns, where X was a table of one series a row.
    """

    @abstractmethod
    def _learn_panel(self, panel: Panel, y: Any) -> None:
        """Learn from the training panel, whose channels and clock are checked; y is as it came."""

    def _goes_on(self) -> bool:
        """Whether this fit goes on from the one before, so that what that one learned of the data stays."""
        return False

    def fit(self, X: Any, y: Any = None) -> PanelEstimator:
        """Fit to a panel.

        Parameters
        ----------
        X : Panel or what `as_panel` takes
            n series.
        y : array-like or Panel, optional
            What is to be predicted, where that is not in X.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Where the data or a parameter cannot be used. The estimator is left as it was.
        NonFiniteLossError
            Where training diverges, for what is trained by gradients.
        """
        before = dict(vars(self))
        try:
            self._learn(X, y)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise
        return self

    def _learn(self, X: Any, y: Any) -> None:
        self._validate_params()
        again = self._goes_on()
        panel = self._panel(X, reset=not again)
        if not np.isfinite(panel.values).any():
            raise ValueError(
                explain(
                    "X must hold observed values",
                    f"all {panel.values.size} entries of {len(panel)} series are NaN",
                    "Check the channels, and that values and times were joined",
                )
            )
        if not again:
            self.clock_kind_ = panel.clock.kind
        self._learn_panel(panel, y)

    def _panel(self, X: Any, reset: bool = False) -> Panel:
        """The panel of X, checked against the one fitted to."""
        if not isinstance(X, Panel):
            panel = as_panel(X)
            if is_table(X):
                # scikit-learn's own contract for tables: names and number of columns, which are times here
                validate_data(self, X, reset=reset, skip_check_array=True)
        else:
            panel = X
        if len(panel) == 0:
            raise ValueError(
                explain("X must hold at least one series", "Found array with 0 sample(s)", "Pass a panel with series")
            )
        if reset:
            self.channels_ = panel.channels
            if not is_table(X):
                self.n_features_in_ = panel.shape[1]
            return panel
        if panel.channels != self.channels_:
            panel = self._matched(panel)
        if panel.clock.kind != self.clock_kind_:
            raise ValueError(
                explain(
                    f"times must be of the kind fitted to, {self.clock_kind_}",
                    f"a panel with {panel.clock.kind} times came",
                    "Convert the time column before making the panel",
                )
            )
        return panel

    def _fitted_panel(self, X: Any) -> Panel:
        """The panel of X for a prediction; raises NotFittedError before anything else."""
        check_is_fitted(self, "clock_kind_")
        return self._panel(X)

    def _matched(self, panel: Panel) -> Panel:
        """The panel with its channels in the order fitted to."""
        missing = [name for name in self.channels_ if name not in panel.channels]
        if missing:
            raise ValueError(
                explain(
                    f"X must have the {len(self.channels_)} channels fitted to",
                    f"{len(panel.channels)} came, and {', '.join(map(repr, missing[:5]))} is missing",
                    "Name the channels as in training; a channel without any observation may be all NaN",
                )
            )
        return panel.select(list(self.channels_))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        return tags


def is_table(X: Any) -> bool:
    """Whether X is (n, l), one series a row, and not a panel of any other form."""
    shape = getattr(X, "shape", None)
    if shape is not None:
        return len(shape) == 2 and not isinstance(getattr(X, "index", None), pd.MultiIndex)
    return isinstance(X, list) and np.ndim(X[0]) == 1 and np.isscalar(X[0][0])
