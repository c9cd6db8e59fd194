"""KoopmanForecaster: forecasts that a linear system makes in a latent space, with its modes."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, NoReturn

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions
from torch import Tensor

from tsssm.data import Batch, Panel, Source, Task
from tsssm.data.windows import AskAhead, Windows, cut_windows, tile_windows
from tsssm.errors import explain
from tsssm.estimators.horizon import asked_times
from tsssm.estimators.koopman_networks import spectrum_at_data, window_layer
from tsssm.estimators.left_out import LeftOutForecaster
from tsssm.estimators.modes import modes_of
from tsssm.estimators.queries import Query, tail
from tsssm.models.decoders import Encoder, PointwiseDecoder
from tsssm.models.futures import draw_futures
from tsssm.models.information import InformationRegularizer
from tsssm.models.koopman_vae import LatentKoopman
from tsssm.models.linear_prior import LinearPrior

# paths that quantiles are read from, the same ones for every series and call
PATHS = 200


class KoopmanForecaster(LeftOutForecaster):
    """Forecast series by a linear system in a latent space: what was seen says where it stands, and K takes it on.

    The model of `KoopmanVAE` with its linear prior and a pointwise decoder, trained also to tell the rows that follow a cut.

    Parameters
    ----------
    horizon : int, duration, list, array, dict or Panel, default 12
        What `predict` answers where it is given no horizon, as in `SSMForecaster`, and how far training looks ahead.
    d_latent : int, default 16
        Size of the latent state, even.
    periods, conserved
        Modes that are held, as in `KoopmanVAE`.
    regularizer : {"information"}, optional
        As in `KoopmanVAE`.
    d_model : int, default 32
        Width of the networks.
    context : int, default 64
        Most rows of a series that are looked at for a forecast.
    epochs : int, optional
        Passes over the data; as many as make about 2,000 steps if not given.
    lr : float, default 0.004
    batch_size : int, default 64
        Most pieces of series in one step.
    folds : int, default 5
        One part in so many of the training series is left out by a second fit, which says by how much intervals must be
        widened or narrowed to hold on new series; none is with fewer than two series a part. 0 takes intervals as they are.
    random_state, verbose
        As in `SSMClassifier`.

    Attributes
    ----------
    modes_ : DataFrame
        As in `KoopmanVAE`.
    model_ : LatentKoopman
    calibration_ : Calibration
        What the second fit said of the series that it was not fitted to.
    history_ : History
        Its `terms` are the parts of the loss by epoch.

    Notes
    -----
    Point forecasts are the picture of the mean path; quantiles are read from sample paths and not calibrated, intervals are.
    With folds a fit takes twice as long.

    A system that is chaotic is linear in no latent space of finite size: its forecasts fade as they lose the path.

    References
    ----------
    Cheng, Yuan, Yang, Zhang, Cheng, He and Sun, 2026, Information shapes Koopman representation (arXiv 2510.13025), for the
    regularizer.

    Examples
    --------
    >>> from tsssm import KoopmanForecaster
    >>> from tsssm.data.synthetic import noisy_sines
    >>> panel, _ = noisy_sines(20, random_state=0)
    >>> model = KoopmanForecaster(horizon=3, d_latent=4, epochs=2, random_state=0).fit(panel)
    >>> model.predict(panel).shape, list(model.modes_)
    ((20, 1), ['period', 'half_life', 'energy', 'held'])
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "d_latent": [Interval(Integral, 2, None, closed="left")],
        "conserved": [Interval(Integral, 0, None, closed="left")],
        "regularizer": [StrOptions({"information"}), None],
        "d_model": [Interval(Integral, 1, None, closed="left")],
        "context": [Interval(Integral, 2, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left"), None],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "folds": [Interval(Integral, 2, None, closed="left"), Options(Integral, {0})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    _steps = 2000
    # a fit takes minutes; a start that little is known of has another spread than one that whole windows tell
    _turns, _shortest = 1, 0.5

    def __init__(
        self,
        horizon: Any = 12,
        d_latent: int = 16,
        periods: Sequence[Any] | None = None,
        conserved: int = 0,
        regularizer: str | None = None,
        d_model: int = 32,
        context: int = 64,
        epochs: int | None = None,
        lr: float = 0.004,
        batch_size: int = 64,
        folds: int = 5,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.horizon = horizon
        self.d_latent = d_latent
        self.periods = periods
        self.conserved = conserved
        self.regularizer = regularizer
        self.d_model = d_model
        self.context = context
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.folds = folds
        self.random_state = random_state
        self.verbose = verbose

    def _learn_panel(self, panel: Panel, y: Any) -> None:
        super()._learn_panel(panel, y)
        windows = tile_windows(self._source(panel), self.context)
        self.modes_ = modes_of(self.model_, windows, self.time_scale_, panel.clock.unit)

    def _questions(self, source: Source, panel: Panel) -> tuple[Windows, Task]:
        start = self._origins(panel)
        asked = asked_times(self.horizon, panel, start)
        reach = [times.max() - last if len(times) else 0.0 for times, last in zip(asked, start.time, strict=True)]
        horizon = np.full(len(panel), max(reach) / self.time_scale_)
        windows = cut_windows(source, source.offsets[:-1], source.offsets[1:], self.context)
        # a second cut would show the layers, which look both ways, what is asked after the first
        return windows, AskAhead(horizon, tuple(range(panel.shape[1])), cuts=1, cold=0.0)

    def _model(self, source: Source, panel: Panel) -> LatentKoopman:
        channels = panel.shape[1]
        encoder = Encoder(channels, 0, self.d_model, 1, window_layer(self.context))
        decoder = PointwiseDecoder(self.d_latent, channels, 0, 2 * self.d_model)
        regularizer = InformationRegularizer() if self.regularizer == "information" else None
        prior = LinearPrior(spectrum_at_data(self, self.d_latent, panel, True), encoder.width, 0)
        return LatentKoopman(channels, self.d_latent, encoder, prior, decoder, regularizer=regularizer)

    def _shown(self, panel: Panel) -> Panel:
        return tail(panel, self._origins(panel).time, self.context)

    def _center(self, query: Query) -> np.ndarray:
        number = np.append(np.where(query.asked, np.cumsum(query.asked) - 1, -1), -1)
        out = np.empty((int(query.asked.sum()), len(self.channels_)))
        for batch in self._batches(query):
            rows = number[batch.rows.numpy()]
            mean = self.model_.predict(batch)["mean"].flatten(0, 1)[batch.place[rows >= 0]]
            out[rows[rows >= 0]] = mean.numpy()
        return out

    def _quantiles(self, query: Query, levels: np.ndarray) -> np.ndarray:
        paths = self._paths(query, PATHS, None)
        return np.moveaxis(np.quantile(paths, levels, axis=0), 0, -1)

    def _draw(self, batch: Batch, n: int, seed: int | None) -> Tensor:
        return draw_futures(self.model_, batch, n, seed)

    def stream(self) -> NoReturn:
        """Refused: what is thought of a latent path comes from all rows at once.

        Raises
        ------
        ValueError
            Always.
        """
        must, came = "a stream needs answers in constant time", "what is thought of a latent path looks at all rows"
        raise ValueError(explain(must, came, "Call predict with the rows so far"))
