"""SSMSequenceRegressor: numbers at every row of a series."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from tsssm.data import Panel, Source
from tsssm.data.tasks import ask_target
from tsssm.errors import explain
from tsssm.estimators.base import Estimator
from tsssm.estimators.labels import centred
from tsssm.estimators.members import Plan
from tsssm.estimators.model_stream import RowStream
from tsssm.heads import Gaussian
from tsssm.heads.rows import LEVELS
from tsssm.models import SequenceModel


class SSMSequenceRegressor(Estimator):
    """Predict numbers at each row of a series from its channels: an angle from images, a force from sensors.

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
        Mean and standard deviation of the training targets.

    Notes
    -----
    Trained by the Gaussian negative log-likelihood of standardised targets, with a variance for each row.

    Examples
    --------
    >>> from tsssm import SSMSequenceRegressor
    >>> from tsssm.data.synthetic import damped_oscillators
    >>> panel, complete = damped_oscillators(10, random_state=0)
    >>> SSMSequenceRegressor(epochs=1, random_state=0).fit(panel, complete).predict(panel).shape == complete.shape
    True
    """

    def __init__(
        self,
        layer: Any = "s5",
        d_model: int = 32,
        depth: int = 4,
        dropout: float = 0.1,
        bidirectional: bool = False,
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
        target = self._targets(panel, y)
        if not self._goes_on():
            self.target_center_, self.target_scale_ = centred(target)
        scaled = (target - self.target_center_) / self.target_scale_
        source = Source(panel, self.scaling_, self.time_scale_, target=scaled)
        embed, backbone, d_model = self._embed(source), self._backbone(self.bidirectional), self.d_model

        def make() -> SequenceModel:
            return SequenceModel(embed(), backbone(), Gaussian(d_model, target.shape[1]))

        return Plan(make, ask_target, source, np.arange(len(panel)))

    def _targets(self, panel: Panel, y: Any) -> np.ndarray:
        """Target values (rows, t) on the rows of the panel; learns their names."""
        if y is None:
            raise ValueError(
                explain(
                    "a sequence regressor requires y to be passed, but the target y is None",
                    "only X came",
                    "Call fit(X, y) with a target for each row",
                )
            )
        if not isinstance(y, Panel):
            y = self._target_panel(panel, y)
        if y.n_rows != panel.n_rows or not np.array_equal(y.offsets, panel.offsets):
            raise ValueError(
                explain(
                    "y must have the rows of X",
                    f"X has {panel.n_rows} rows in {len(panel)} series, y has {y.n_rows} in {len(y)}",
                    "Make it with X.with_values(values, channels=[...]); NaN stands for no target",
                )
            )
        empty = [name for name, column in zip(y.channels, y.values.T, strict=True) if not np.isfinite(column).any()]
        if empty:
            raise ValueError(
                explain("each target must have values", f"{', '.join(empty)} has none", "Drop it, or check the join")
            )
        self.targets_ = y.channels
        return y.values

    def _target_panel(self, panel: Panel, y: Any) -> Panel:
        """A target given as an array: (n,) the same at all rows of a series, (n, l) or (n, l, t) row by row."""
        y = check_array(
            y, ensure_2d=False, allow_nd=True, dtype=np.float64, ensure_all_finite="allow-nan", input_name="y"
        )
        check_consistent_length(panel, y)
        if y.ndim == 1:
            rows = np.repeat(y, panel.lengths)[:, None]
        elif (panel.lengths == y.shape[1]).all():
            rows = y.reshape(panel.n_rows, -1)
        else:
            raise ValueError(
                explain(
                    "an array y must have a column for each row of the series",
                    f"y has shape {y.shape}, and the series have {panel.lengths.min()} to {panel.lengths.max()} rows",
                    "Pass series of unequal length as a Panel: X.with_values(values, channels=[...])",
                )
            )
        return panel.with_values(rows, channels=[f"target_{i}" for i in range(rows.shape[1])])

    def predict(self, X: Any) -> Panel | np.ndarray:
        """Predicted mean at each row of X.

        Returns
        -------
        Panel or ndarray
            A Panel with the rows of X and the channels of the target; for X an array, an array (n, l) or (n, l, t).

        Raises
        ------
        ValueError
            Where X has other channels or another clock than the training panel.
        """
        panel = self._fitted_panel(X)
        source = Source(panel, self.scaling_, self.time_scale_, target=np.zeros((panel.n_rows, len(self.targets_))))
        # one row more for the blank row that stands for an empty series
        out = np.empty((panel.n_rows + 1, len(self.targets_)))
        for _, batch, answer in self._answers(source, lambda series: ask_target(source, series)):
            rows, place = batch.rows.cpu().numpy(), batch.place.cpu().numpy()
            # the median of a normal distribution is its mean
            out[rows] = answer["quantiles"][..., LEVELS.index(0.5)].reshape(-1, out.shape[1])[place]
        out = out[:-1] * self.target_scale_ + self.target_center_
        if isinstance(X, Panel):
            return panel.with_values(out, channels=list(self.targets_))
        out = out.reshape(len(panel), -1, len(self.targets_))
        return out[:, :, 0] if len(self.targets_) == 1 else out

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

    def score(self, X: Any, y: Any) -> float:
        """Coefficient of determination R^2 over all targets observed, each weighing the same."""
        panel = self._fitted_panel(X)
        truth = y.values if isinstance(y, Panel) else self._target_panel(panel, y).values
        error, total = self.predict(panel).values - truth, truth - np.nanmean(truth, axis=0)
        return float(1 - np.mean(np.nansum(error**2, axis=0) / np.nansum(total**2, axis=0)))
