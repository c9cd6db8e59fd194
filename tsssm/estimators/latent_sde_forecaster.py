"""LatentSDEForecaster: sample paths of a learned stochastic differential equation are the forecast."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, Options
from torch import Tensor

from tsssm.data import Batch, Panel, Source
from tsssm.errors import explain
from tsssm.estimators.left_out import LeftOutForecaster
from tsssm.estimators.queries import Query, tail
from tsssm.models.latent_sde import LatentSDE

# paths that quantiles are read from, the same ones for every series and call
PATHS = 1000


class LatentSDEForecaster(LeftOutForecaster):
    """Forecast series as noisy observations of a stochastic differential equation that is learned from all of them.

    Parameters
    ----------
    horizon : int, duration, list, array, dict or Panel, default 12
        What `predict` answers where it is given no horizon, as in `SSMForecaster`.
    d_state : int, default 4
        Size of the hidden state, shared by all channels.
    width : int, default 32
        Size of the hidden layers of the drift and of the size of the noise.
    context : int, default 200
        Most rows of a series that are fitted in one piece, and looked at for a forecast.
    epochs : int, optional
        Passes over the data; as many as make about 300 steps if not given.
    lr : float, default 0.02
    batch_size : int, default 50
        Most pieces of series in one step.
    folds : int, default 4
        Parts of the training series that are left out in turn, each by a fit of its own, to see how far intervals must
        be widened to hold on new series; none are with fewer than two series a part. 0 takes intervals as they are.
    random_state, verbose
        As in `SSMClassifier`.

    Attributes
    ----------
    model_ : LatentSDE
    calibration_ : Calibration
        What the fits to all but a part said of it.
    history_ : History
        Its `terms` are, for each number observed and by epoch, the divergence "kl" of what is thought of the states from
        what the equation says, and the "likelihood" of observations given the states; the loss is their difference.

    Notes
    -----
    Trained by the evidence lower bound, which asks for the right noise; squared errors alone would remove it. Quantiles
    are read from sample paths and not calibrated afterwards, intervals are. A step of the equation is a gap between rows,
    asked ones among them. Series have no scale of their own. See `tsssm.models.LatentSDE` for the model and its source.
    With folds a fit takes 1 + `folds` times as long.

    Examples
    --------
    >>> from tsssm import LatentSDEForecaster
    >>> from tsssm.data.synthetic import noisy_sines
    >>> panel, _ = noisy_sines(20, random_state=0)
    >>> model = LatentSDEForecaster(horizon=3, epochs=2, random_state=0).fit(panel)
    >>> model.sample_paths(panel, n=10, random_state=0).shape
    (10, 60, 1)
    >>> sorted(model.history_.terms)
    ['kl', 'likelihood']
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "d_state": [Interval(Integral, 1, None, closed="left")],
        "width": [Interval(Integral, 2, None, closed="left")],
        "context": [Interval(Integral, 2, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left"), None],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "folds": [Interval(Integral, 2, None, closed="left"), Options(Integral, {0})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    _steps = 300

    def __init__(
        self,
        horizon: Any = 12,
        d_state: int = 4,
        width: int = 32,
        context: int = 200,
        epochs: int | None = None,
        lr: float = 0.02,
        batch_size: int = 50,
        folds: int = 4,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.horizon = horizon
        self.d_state = d_state
        self.width = width
        self.context = context
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.folds = folds
        self.random_state = random_state
        self.verbose = verbose

    def _model(self, source: Source, panel: Panel) -> LatentSDE:
        return LatentSDE(len(panel.channels), self.d_state, self.width)

    def _shown(self, panel: Panel) -> Panel:
        return tail(panel, self._origins(panel).time, self.context)

    def _center(self, query: Query) -> np.ndarray:
        return self._quantiles(query, np.array([0.5]))[..., 0]

    def _quantiles(self, query: Query, levels: np.ndarray) -> np.ndarray:
        paths = self._paths(query, PATHS, None)
        return np.moveaxis(np.quantile(paths, levels, axis=0), 0, -1)

    def _draw(self, batch: Batch, n: int, seed: int | None) -> Tensor:
        return self.model_.sample(batch, n, torch.Generator().manual_seed(seed or 0), alike=seed is None)

    def stream(self) -> None:
        """Refused: what is thought of the states comes from all rows at once.

        Raises
        ------
        ValueError
            Always.
        """
        must, came = (
            "a stream needs answers in constant time",
            "what a latent SDE thinks of its states looks at all rows",
        )
        raise ValueError(explain(must, came, "Call predict with the rows so far, or use KalmanForecaster"))
