"""SSMClassifier: the class of a series."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_is_fitted

from tsssm.data import Panel, Source
from tsssm.data.tasks import show_all
from tsssm.estimators.base import Estimator
from tsssm.estimators.covariates import Covariates
from tsssm.estimators.labels import class_numbers, geometric_mean, some_of_each
from tsssm.estimators.members import Plan
from tsssm.estimators.model_stream import ClassStream
from tsssm.estimators.ridge_classifier import SSMRidgeClassifier
from tsssm.heads import Label
from tsssm.models import SequenceModel

# series that the ridge beside the members is fitted to at most: ten thousand features of each are held at once
MOST_BESIDE = 10_000


class SSMClassifier(ClassifierMixin, Estimator):
    """Classify series by a continuous-time state space model on their own clocks.

    Parameters
    ----------
    layer : str, Layer class or Recipe, default "s5"
        The layer of each block: a short name such as "s5", "s4d", "gru", or ``Recipe(S5, d_state=32)``, whose
        arguments are searchable as ``layer__d_state``.
    d_model : int, default 32
        Width of the features.
    depth : int, default 1
        Number of blocks.
    dropout : float, default 0.3
        Share of features dropped in training.
    epochs : int, optional
        Passes over the data. If not given, enough for about 600 steps, between 8 and 200.
    lr : float, default 0.002
        Top learning rate; time scales learn at most at 0.003.
    batch_size : int, default 32
        Most series in a batch.
    members : int, default 3
        Models trained from different starts, whose probabilities are averaged.
    features : bool, default True
        Whether probabilities are averaged, on a log scale, with those of an `SSMRidgeClassifier` of the same series, or
        of 10,000 of them where there are more. Both err in different ways; benchmarks/README.md says what it brought.
    class_weight : dict, "balanced" or None, default None
        Weights of the classes in the loss.
    warm_start : bool, default False
        Whether `fit` goes on from the weights of the fit before.
    n_jobs : int, optional
        Members trained at once.
    device : str, default "auto"
        "auto" takes CUDA where there is one.
    random_state : int or RandomState, optional
        Seed; two fits with one seed are equal to the bit on a CPU.
    verbose : int, default 0
        1 shows a bar on a terminal, 2 a line an epoch.

    Attributes
    ----------
    classes_ : ndarray
        Labels seen in training.
    time_scale_ : float
        Median gap of the training data.
    ridge_ : SSMRidgeClassifier or None
        Beside the members, if `features`; with `warm_start` that of the first fit.

    Notes
    -----
    Statics, and what is measured in each channel and how often (`data.summary`), enter the head beside the pooled
    features of the layers. A tenth of the series, another one for each member, decides when to stop; with fewer than
    200 series all are trained on to the end.

    Examples
    --------
    >>> from tsssm import SSMClassifier
    >>> from tsssm.data.synthetic import noisy_sines
    >>> panel, labels = noisy_sines(40, random_state=0)
    >>> SSMClassifier(epochs=2, members=1, random_state=0).fit(panel, labels).predict_proba(panel).shape
    (40, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **Estimator._parameter_constraints,
        "features": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
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
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.members = members
        self.features = features
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _learn_panel(self, panel: Panel, y: Any) -> None:
        again = self._goes_on()
        super()._learn_panel(panel, y)
        if again:
            return
        self.ridge_ = None
        if self.features:
            y = np.asarray(column_or_1d(y))
            some = some_of_each(y, MOST_BESIDE, check_random_state(self.random_state))
            ridge = SSMRidgeClassifier(class_weight=self.class_weight, random_state=self.random_state)
            self.ridge_ = ridge.fit(panel[some], y[some])

    def _plan(self, panel: Panel, y: Any) -> Plan:
        self.classes_, number = class_numbers(panel, y, self.classes_ if self._goes_on() else None)
        weight = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[number])
        if not self._goes_on():
            self.covariates_ = Covariates.fit(panel)
        static = self.covariates_.transform(panel)
        source = Source(panel, self.scaling_, self.time_scale_, static, number)
        weights, backbone = torch.tensor(weight, dtype=torch.float32), self._backbone()
        embed, d_model, dropout = self._embed(source), self.d_model, self.dropout

        def make() -> SequenceModel:
            head = Label(d_model, weights, static.shape[1], dropout)
            return SequenceModel(embed(), backbone(), head)

        return Plan(make, show_all, source, np.arange(len(panel)), strata=number)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class, (n, classes), in the order of `classes_`.

        Raises
        ------
        ValueError
            Where X has other channels or another clock than the training panel.
        """
        panel = self._fitted_panel(X)
        source = Source(panel, self.scaling_, self.time_scale_, self.covariates_.transform(panel))
        out = np.empty((len(panel), len(self.classes_)))
        for series, _, answer in self._answers(source, lambda series: show_all(source, series)):
            out[series] = answer["probability"]
        if self.ridge_ is None:
            return out / out.sum(1, keepdims=True)
        return geometric_mean(out, self.ridge_.predict_proba(panel))

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class of each series, (n,)."""
        probability = self.predict_proba(X)
        return self.classes_[probability.argmax(1)]

    def stream(self, static: Any = None, tolerance: Any = None) -> ClassStream:
        """Give a series that grows as observations arrive, whose class at any moment is that of the series so far.

        Parameters
        ----------
        static : mapping, Series or table of one row, optional
            Static features, where the training panel had some.
        tolerance : duration, optional
            What comes at most this late is merged into the last row, where a new value replaces an old one of its
            channel; 0 does so with repeated times alone. By default times must increase.

        Raises
        ------
        ValueError
            Where the layer looks at later rows too, or `static` or `tolerance` does not fit.

        Examples
        --------
        >>> from tsssm import SSMClassifier
        >>> from tsssm.data.synthetic import noisy_sines
        >>> model = SSMClassifier(epochs=1, members=1, random_state=0).fit(*noisy_sines(20, random_state=0))
        >>> model.stream().update(0.0, [0.3]).update([0.7, 1.9], [[0.1], [0.4]]).predict_proba().shape
        (2,)
        """
        check_is_fitted(self, "models_")
        return ClassStream(self, static, tolerance)

    def _soft_limit(self) -> float:
        return 3.0
