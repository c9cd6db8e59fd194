"""SSMSequenceClassifier: a class at every row of a series, or at times asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_is_fitted

from tsssm.data import Panel
from tsssm.estimators.queries import is_table
from tsssm.estimators.row_labels import numbered, row_labels
from tsssm.estimators.row_stream import RowClassStream
from tsssm.estimators.sequence import SequenceEstimator
from tsssm.heads import Head, RowLabel


class SSMSequenceClassifier(SequenceEstimator):
    """Classify moments of a series from its channels, at its rows or on another clock: activities, stages of sleep.

    Parameters
    ----------
    layer, d_model, depth, dropout, bidirectional, target, lookahead, context
        As in `SSMSequenceRegressor`; `target` names one channel.
    class_weight : dict, "balanced" or None, default None
        Weights of the classes in the loss.
    epochs, lr, batch_size, members, warm_start, n_jobs, device, random_state, verbose
        As in `SSMSequenceRegressor`; probabilities of members are averaged.

    Attributes
    ----------
    classes_ : ndarray
        Labels seen in training.
    label_ : str
        Name of the labels: the channel or column that held them, "label" for arrays.

    Notes
    -----
    Labels are an array of any type for the rows of X, (n, l), or (n,) for all rows of each series; a long table with
    columns id, time and label; or a Panel of one channel. Tables and panels may have rows of their own, which are
    answered as `SSMSequenceRegressor` answers its targets: from nothing that comes after them, or after `lookahead`.

    Examples
    --------
    >>> from tsssm import SSMSequenceClassifier
    >>> from tsssm.data.synthetic import damped_oscillators
    >>> panel, complete = damped_oscillators(10, random_state=0)
    >>> moving = complete.with_values(complete.values[:, 0] > 0, channels=["moving"])
    >>> SSMSequenceClassifier(epochs=1, random_state=0).fit(panel, moving).predict_proba(panel).channels
    ('moving[0]', 'moving[1]')
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **SequenceEstimator._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        layer: Any = "s5",
        d_model: int = 32,
        depth: int = 4,
        dropout: float = 0.1,
        bidirectional: bool = False,
        target: Sequence[str] | None = None,
        lookahead: Any = None,
        context: int | None = 4096,
        class_weight: Any = None,
        epochs: int | None = None,
        lr: float = 0.004,
        batch_size: int = 32,
        members: int = 1,
        warm_start: bool = False,
        n_jobs: int | None = None,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.layer = layer
        self.d_model = d_model
        self.depth = depth
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.target = target
        self.lookahead = lookahead
        self.context = context
        self.class_weight = class_weight
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.members = members
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _head(self) -> Callable[[], Head]:
        d_model, weights = self.d_model, torch.tensor(self._weights, dtype=torch.float32)
        return lambda: RowLabel(d_model, weights)

    def _read_targets(self, panel: Panel, y: Any) -> tuple[Panel, np.ndarray]:
        labels = row_labels(panel, y)
        self.classes_, number = numbered(labels, self.classes_ if self._goes_on() else None)
        own = labels.labels[labels.known]
        self._weights = compute_class_weight(self.class_weight, classes=self.classes_, y=own)
        self.label_ = labels.rows.channels[0]
        return labels.rows.with_values(number, [self.label_]), number[:, None]

    def predict_proba(self, X: Any, times: Any = None) -> Panel | np.ndarray:
        """Probabilities of the classes at the rows of X, or at any times.

        Parameters
        ----------
        X : Panel or what `as_panel` takes
            Inputs.
        times : array, dict of arrays by id, Panel or long table, optional
            Times asked of all series or each, such as the rows of labels; the rows of X if not given.

        Returns
        -------
        Panel or ndarray
            A Panel with the rows asked and channels such as "label[walking]"; for X an array and without `times` an
            array (n, l, classes).

        Raises
        ------
        ValueError
            Where X has other channels or another clock than the training panel, or `times` do not fit X.
        """
        panel = self._fitted_panel(X)
        rows, found = self._answered(panel, times, "probability")
        found = found.reshape(-1, len(self.classes_))
        found = found / found.sum(1, keepdims=True)
        if times is None and is_table(X):
            return found.reshape(len(panel), -1, len(self.classes_))
        return rows.with_values(found, [f"{self.label_}[{name}]" for name in self.classes_.tolist()])

    def predict(self, X: Any, times: Any = None) -> pd.DataFrame | np.ndarray:
        """Most probable class at the rows of X, or at any times, as in `predict_proba`.

        Returns
        -------
        DataFrame or ndarray
            A long table with columns for id, time and label; for X an array and without `times` an array (n, l).
        """
        found = self.predict_proba(X, times)
        if not isinstance(found, Panel):
            return self.classes_[found.argmax(2)]
        table = found.with_values(np.empty((found.n_rows, 0)), []).to_frame()
        return table.assign(**{self.label_: self.classes_[found.values.argmax(1)]})

    def stream(self, tolerance: Any = None) -> RowClassStream:
        """Give a series that grows as observations arrive, classified at each row, or later.

        Parameters
        ----------
        tolerance : duration, optional
            As in `SSMSequenceRegressor.stream`.

        Raises
        ------
        ValueError
            Where the model is bidirectional or `tolerance` does not fit.
        """
        check_is_fitted(self, "models_")
        return RowClassStream(self, tolerance)

    def score(self, X: Any, y: Any = None) -> float:
        """Share of the labelled rows of y that are classified right."""
        X, y = self._split(X, y)
        panel = self._fitted_panel(X)
        labels = row_labels(panel, y)
        found = self.predict(panel, labels.rows)[self.label_].to_numpy()
        return float(np.mean(found[labels.known] == labels.labels[labels.known]))
