"""SSMSequenceRegressor: numbers at every row of a series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.utils import check_array
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import nn

from tsssm.data import Panel, as_panel
from tsssm.data.rotations import RotationForm
from tsssm.errors import explain
from tsssm.estimators.labels import centred
from tsssm.estimators.queries import is_table
from tsssm.estimators.rotation_targets import MATRIX
from tsssm.estimators.row_stream import RowStream
from tsssm.estimators.sequence import SequenceEstimator
from tsssm.estimators.target_kinds import Numbers, Rotations, TargetKind
from tsssm.estimators.targets import aligned, by_row, is_rows
from tsssm.heads import Head
from tsssm.layers import S5, Beside, Bidirectional, Layer, Recipe, Stack


class SSMSequenceRegressor(SequenceEstimator):
    """Predict numbers along a series from its channels, at its rows or on another clock: a force from sensors.

    Parameters
    ----------
    layer : str, Layer class or Recipe, default "s5"
        The layer of each block: a short name such as "s5", "s4d", "gru", or ``Recipe(S5, d_state=32)``, whose
        arguments are searchable as ``layer__d_state``.
    d_model : int, default 32
        Width of the features.
    depth : int, default 4
        Number of blocks.
    dropout : float, default 0.1
        Share of features dropped in training.
    bidirectional : bool, default False
        Whether a prediction may look at later rows too. False keeps the model causal.
    target : list of str, optional
        Channels of X that are the targets, hidden from the inputs; y is left out then.
    lookahead : duration, optional
        How much later than its time a target is answered, from all rows until then; by default rows up to the time
        alone. A number in the unit of the times, or a timedelta or text such as "2s" for datetimes.
    context : int, default 4096
        Most rows of a series looked at together in training, targets at times of their own counted; longer series are
        cut in pieces that overlap by half; of fewer than 200 pieces others at each pass. None cuts nothing. Predictions
        always go back to the first row.
    straight : bool, default False
        Whether a linear state space runs from the inputs to the answer beside the blocks, and the blocks have no norms,
        which would bound them: what is linear in the inputs then stays so at any size. For systems of physics with exact
        records.
    rotation : {"6d", "9d"}, optional
        Take the target for a rotation from the body to the earth, made of six numbers (two columns made orthonormal) or
        nine (the rotation nearest to a matrix): y has four channels of a quaternion, whose names end in w, x, y and z,
        or nine of a matrix, row by row, or is an array of matrices (n, l, 3, 3); answers come in the same form.
    epochs : int, optional
        Passes over the data. If not given, enough for about 600 steps, between 8 and 200.
    lr : float, default 0.004
        Top learning rate; time scales learn at most at 0.003.
    batch_size : int, default 32
        Most series in a batch.
    members : int, default 1
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
    targets_ : tuple of str
        Channels of the target panel.
    target_center_, target_scale_ : ndarray, (t,)
        Mean and standard deviation of the training targets, where these are no rotation.

    Notes
    -----
    Trained by the Gaussian negative log-likelihood of standardised targets, with a variance for each row; rotations by the
    mean angle to the truth.

    y may have rows of its own, fewer or more than X and at other times. Then each target is read off the state at its
    time: no row after it, or after its `lookahead`, can change it, and what else is asked does not either. A target
    before the first row of its series is answered from nothing, one after the last row from the state since.

    Examples
    --------
    >>> from tsssm import SSMSequenceRegressor
    >>> from tsssm.data.synthetic import damped_oscillators
    >>> panel, complete = damped_oscillators(10, random_state=0)
    >>> SSMSequenceRegressor(epochs=1, random_state=0).fit(panel, complete).predict(panel).shape == complete.shape
    True
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **SequenceEstimator._parameter_constraints,
        "straight": ["boolean"],
        "rotation": [StrOptions({"6d", "9d"}), None],
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
        straight: bool = False,
        rotation: str | None = None,
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
        self.straight = straight
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

    def _backbone(self, both_ways: bool = False) -> Callable[[], Layer]:
        if not self.straight:
            return super()._backbone(both_ways)
        recipe, linear = self._recipe, Recipe(S5)
        if both_ways:
            recipe, linear = (Recipe(Bidirectional, layer=each) for each in (recipe, linear))
        stack = Recipe(Stack, layer=recipe, depth=self.depth, dropout=self.dropout, norm=nn.Identity)
        d_model = self.d_model
        return lambda: Beside(d_model, stack, linear)

    def _head(self) -> Callable[[], Head]:
        d_model, kind = self.d_model, self._kind
        return lambda: kind.row_head(d_model)

    def _read_targets(self, panel: Panel, y: Any) -> tuple[Panel, np.ndarray]:
        rows = self._target_panel(panel, y)
        pairs = zip(rows.channels, rows.values.T, strict=True)
        empty = [name for name, column in pairs if not np.isfinite(column).any()]
        if empty:
            raise ValueError(
                explain("each target must have values", f"{', '.join(empty)} has none", "Drop it, or check the join")
            )
        self.targets_ = rows.channels
        if not self._goes_on():
            self._kind = self._learn_kind(rows)
        return rows, self._kind.encode(rows.values)

    def _learn_kind(self, rows: Panel) -> TargetKind:
        if self.rotation is not None:
            return Rotations(RotationForm.of(rows.channels), self.rotation)
        self.target_center_, self.target_scale_ = centred(rows.values)
        return Numbers(self.target_center_, self.target_scale_)

    def _target_panel(self, panel: Panel, y: Any) -> Panel:
        """Targets as a panel; an array (n,) is the same at all rows of a series, (n, l), (n, l, t) or (n, l, 3, 3) not."""
        if y is None:
            raise ValueError(
                explain(
                    "a sequence regressor requires y to be passed, but the target y is None",
                    "only X came",
                    "Call fit(X, y) with a target for each row, or a Panel with rows of its own",
                )
            )
        if is_rows(y):
            return aligned(as_panel(y), panel)
        y = check_array(
            y, ensure_2d=False, allow_nd=True, dtype=np.float64, ensure_all_finite="allow-nan", input_name="y"
        )
        rows = by_row(panel, y).reshape(panel.n_rows, -1)
        names = MATRIX if y.shape[2:] == (3, 3) else [f"target_{i}" for i in range(rows.shape[1])]
        return panel.with_values(rows, channels=names)

    def predict(self, X: Any, times: Any = None) -> Panel | np.ndarray:
        """Predicted means at the rows of X, or at any times.

        Parameters
        ----------
        X : Panel or what `as_panel` takes
            Inputs.
        times : array, dict of arrays by id, Panel or long table, optional
            Times asked of all series or each, such as the rows of a target; the rows of X if not given.

        Returns
        -------
        Panel or ndarray
            A Panel with the rows asked and the channels of the target; for X an array and without `times` an array
            (n, l), (n, l, t) or (n, l, 3, 3).

        Raises
        ------
        ValueError
            Where X has other channels or another clock than the training panel, or `times` do not fit X.
        """
        panel = self._fitted_panel(X)
        rows, answers = self._answered(panel, times, self._kind.answer[1])
        found = self._kind.decode(answers) if len(answers) else np.empty((0, len(self.targets_)))
        if times is None and is_table(X):
            return found.reshape(len(panel), -1, *self._item())
        return rows.with_values(found, channels=self.targets_)

    def _item(self) -> tuple[int, ...]:
        """Shape of what an array of targets holds for a row."""
        if self.targets_ == MATRIX:
            return 3, 3
        return (len(self.targets_),) if len(self.targets_) > 1 else ()

    def stream(self, tolerance: Any = None) -> RowStream:
        """Give a series that grows as observations arrive, answered at each row, or later.

        Parameters
        ----------
        tolerance : duration, optional
            What comes at most this late is merged into the last row, where a new value replaces an old one of its
            channel; 0 does so with repeated times alone. By default times must increase.

        Raises
        ------
        ValueError
            Where the model is bidirectional or `tolerance` does not fit.

        Examples
        --------
        >>> from tsssm import SSMSequenceRegressor
        >>> from tsssm.data.synthetic import damped_oscillators
        >>> model = SSMSequenceRegressor(epochs=1, random_state=0).fit(*damped_oscillators(10, random_state=0))
        >>> stream = model.stream().update([0.0, 0.7], [[0.3, 0.2], [0.1, 0.4]])
        >>> stream.predict().shape == stream.predict(at=0.9).shape
        True
        """
        check_is_fitted(self, "models_")
        return RowStream(self, tolerance)

    def errors(self, X: Any, y: Any = None) -> pd.DataFrame:
        """Errors of each target in its own unit, at the rows of y where it has a value.

        Returns
        -------
        DataFrame
            A row for each target: root mean square error "rmse", mean absolute error "mae", coefficient of
            determination "r2" and the number of values "count". Of a rotation rows "rotation", "tilt" and "heading" with
            mean, median, 95 % quantile and root mean square of the angles in degrees, see `rotation_errors`.
        """
        found, truth = self._judged(X, y)
        return self._kind.errors(found, truth, self.targets_)

    def score(self, X: Any, y: Any = None) -> float:
        """Coefficient of determination R^2 over all targets observed, each weighing the same; of a rotation minus the mean angle."""
        return self._kind.score(self.errors(X, y))

    def _judged(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Predicted and true targets (m, t) at the rows of y."""
        X, y = self._split(X, y)
        panel = self._fitted_panel(X)
        rows = self._target_panel(panel, y)
        if is_rows(y):
            rows = rows.select(self.targets_)
        return self.predict(panel, rows).values, rows.values
