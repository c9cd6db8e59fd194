"""SSMRegressor: numbers of a series."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from tsssm.data import Panel, Source
from tsssm.data.tasks import show_all
from tsssm.errors import explain
from tsssm.estimators.base import Estimator
from tsssm.estimators.covariates import Covariates
from tsssm.estimators.labels import centred, numbers
from tsssm.estimators.members import Plan
from tsssm.estimators.model_stream import NumberStream
from tsssm.estimators.rotation_targets import series_rotations
from tsssm.estimators.target_kinds import Numbers, Rotations
from tsssm.models import SequenceModel


class SSMRegressor(RegressorMixin, Estimator):
    """Predict one or several numbers of a series by a continuous-time state space model on its own clock.

    Parameters
    ----------
    layer : str, Layer class or Recipe, default "s5"
        The layer of each block: a short name such as "s5", "s4d", "gru", or ``Recipe(S5, d_state=32)``, whose
        arguments are searchable as ``layer__d_state``.
    d_model : int, default 32
        Width of the features.
    depth : int, default 1
        Number of blocks.
    dropout : float, default 0.1
        Share of features dropped in training.
    rotation : {"6d", "9d"}, optional
        Take the target for a rotation from the body to the earth, made of six numbers (two columns made orthonormal) or
        nine (the rotation nearest to a matrix): y is a `scipy.spatial.transform.Rotation` of n, matrices (n, 3, 3), or
        a table of a quaternion in columns whose names end in w, x, y and z; answers come in the same form.
    epochs : int, optional
        Passes over the data. If not given, enough for about 600 steps, between 8 and 200.
    lr : float, default 0.002
        Top learning rate; time scales learn at most at 0.003.
    batch_size : int, default 32
        Most series in a batch.
    members : int, default 3
        Models trained from different starts, whose answers are averaged.
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
    target_center_, target_scale_ : ndarray, (n_out,)
        Mean and standard deviation of the training targets, where these are no rotation.
    time_scale_ : float
        Median gap of the training data.

    Notes
    -----
    The loss is Huber's with threshold 2 on standardised targets, and the mean angle of rotations. Statics and summary statistics enter the head beside
    the pooled features, as in `SSMClassifier`.

    Examples
    --------
    >>> from tsssm import SSMRegressor
    >>> from tsssm.data.synthetic import decays
    >>> panel, half_lives = decays(40, random_state=0)
    >>> SSMRegressor(epochs=2, members=1, random_state=0).fit(panel, half_lives).predict(panel).shape
    (40,)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **Estimator._parameter_constraints,
        "rotation": [StrOptions({"6d", "9d"}), None],
    }

    def __init__(
        self,
        layer: Any = "s5",
        d_model: int = 32,
        depth: int = 1,
        dropout: float = 0.1,
        rotation: str | None = None,
        epochs: int | None = None,
        lr: float = 0.002,
        batch_size: int = 32,
        members: int = 3,
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
        self.rotation = rotation
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.members = members
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _plan(self, panel: Panel, y: Any) -> Plan:
        target = self._read_target(panel, y)
        if not self._goes_on():
            self.covariates_ = Covariates.fit(panel)
        kind, label = self._kind, self._kind.encode(target).astype(np.float32)
        static = self.covariates_.transform(panel)
        source = Source(panel, self.scaling_, self.time_scale_, static, label)
        embed, backbone, d_model, dropout = self._embed(source), self._backbone(), self.d_model, self.dropout

        def make() -> SequenceModel:
            return SequenceModel(embed(), backbone(), kind.series_head(d_model, static.shape[1], dropout))

        return Plan(make, show_all, source, np.arange(len(panel)))

    def _read_target(self, panel: Panel, y: Any) -> np.ndarray:
        """Targets (n, t), whose kind and form are learned."""
        if self.rotation is not None and y is not None:
            target, form, self._back = series_rotations(panel, y)
            self._kind = Rotations(form, self.rotation)
            return target
        target, flat = numbers(panel, y)
        self._back = _first if flat else _same
        if not self._goes_on():
            self.target_center_, self.target_scale_ = centred(target)
            self._kind = Numbers(self.target_center_, self.target_scale_)
        return target

    def predict(self, X: Any) -> Any:
        """Predicted numbers of each series, (n,) or (n, n_out) as in training, or rotations in the form they came in.

        Raises
        ------
        ValueError
            Where X has other channels or another clock than the training panel.
        """
        found = self._found(X)
        return self._back(found)

    def _found(self, X: Any) -> np.ndarray:
        """Predicted targets (n, t) in the user's numbers."""
        panel = self._fitted_panel(X)
        source = Source(panel, self.scaling_, self.time_scale_, self.covariates_.transform(panel))
        answers = [
            (series, answer[self._kind.answer[0]])
            for series, _, answer in self._answers(source, lambda series: show_all(source, series))
        ]
        order = np.argsort(np.concatenate([series for series, _ in answers]), kind="stable")
        return self._kind.decode(np.concatenate([answer for _, answer in answers])[order])

    def errors(self, X: Any, y: Any) -> pd.DataFrame:
        """Errors of each target in its own unit, as in `SSMSequenceRegressor.errors`."""
        panel = self._fitted_panel(X)
        if self.rotation is None:
            truth = numbers(panel, y)[0]
            return self._kind.errors(self._found(panel), truth, tuple(f"target_{i}" for i in range(truth.shape[1])))
        truth = series_rotations(panel, y)
        found = truth.form.columns(self._kind.form.matrices(self._found(panel)))
        return Rotations(truth.form, self._kind.representation).errors(found, truth.values, ())

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination R^2 as of scikit-learn's regressors; of rotations minus the mean angle in degrees."""
        if self.rotation is None:
            return super().score(X, y, sample_weight)
        if sample_weight is not None:
            came = "`sample_weight` came"
            raise ValueError(explain("rotations must be scored alike", came, "Average `rotation_errors` yourself"))
        return self._kind.score(self.errors(X, y))

    def stream(self, static: Any = None, tolerance: Any = None) -> NumberStream:
        """Give a series that grows as observations arrive, whose numbers at any moment are those of the series so far.

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
        >>> from tsssm import SSMRegressor
        >>> from tsssm.data.synthetic import decays
        >>> model = SSMRegressor(epochs=1, members=1, random_state=0).fit(*decays(20, random_state=0))
        >>> float(model.stream().update([0.0, 0.5], [[1.0], [0.8]]).predict()) > 0
        True
        """
        check_is_fitted(self, "models_")
        return NumberStream(self, static, tolerance)

    def _soft_limit(self) -> float:
        return 3.0

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags


def _same(target: np.ndarray) -> np.ndarray:
    return target


def _first(target: np.ndarray) -> np.ndarray:
    return target[:, 0]
