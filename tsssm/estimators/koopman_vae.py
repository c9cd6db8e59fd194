"""KoopmanVAE: generate series from latent paths that move linearly in time."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from tsssm.data import Panel, Source
from tsssm.data.marginals import Marginals
from tsssm.data.tasks import show_all
from tsssm.data.windows import tile_windows
from tsssm.errors import explain
from tsssm.estimators.base import by_length, median_gap
from tsssm.estimators.conditions import Conditions, lateness
from tsssm.estimators.door import PanelEstimator
from tsssm.estimators.horizon import asked_times, origins, times_asked
from tsssm.estimators.koopman_networks import fit_koopman
from tsssm.estimators.modes import modes_of
from tsssm.estimators.queries import as_array, is_table, merged, observed_rows, tail
from tsssm.estimators.recipes import LayeredMixin
from tsssm.estimators.sampling import Template, completed, draw_values
from tsssm.layers import Recipe

# draws behind a bound
DRAWS = 8


class KoopmanVAE(LayeredMixin, PanelEstimator):
    r"""Generate series: a variational autoencoder whose latent paths move linearly in continuous time.

    A series is the picture ``x_k = g(z)_k + noise`` of a latent path :math:`dz = K z\,dt + noise`. K is a matrix of real
    pairs, each a mode with a decay and a frequency, so that paths can be asked at any times, gaps may be uneven, and the
    spectrum can be read in the user's units (`modes_`) and held to known periods.

    Parameters
    ----------
    prior : {"linear", "soft"}, default "linear"
        "linear": samples follow K exactly. "soft", as released by the authors of the method: samples come from a recurrent
        network that is drawn towards a linear map; its spectrum describes them about, and on rows instead of times.
    d_latent : int, optional
        Size of the latent state, even; two for each channel, and at least 16, if not given.
    periods : list of durations, optional
        Modes of known period that neither grow nor fade: texts such as "24h" for datetimes, numbers in the unit of the times
        otherwise. Only with the linear prior.
    conserved : int, default 0
        How many further modes neither grow nor fade (eigenvalues on the unit circle), with periods that are learned. The
        soft prior draws as many of the largest eigenvalues there. All other modes of the linear prior fade.
    process_noise : bool, default True
        Whether noise drives the modes that fade; without it the start says all of a path. Only with the linear prior.
    decoder : {"recurrent", "pointwise"}, default "recurrent"
        g sees the whole path, or each value the state at its own time alone.
    regularizer : {"information"}, optional
        Adds a reward for latent states that tell of their neighbours in time and fill many directions.
    layer : str, Layer class or Recipe, optional
        Of the encoder, and of a recurrent decoder, run in both directions: by default S5 on true gaps, with time scales from
        one gap to whole windows. `layer="neuralcde"` is a neural controlled differential equation.
    d_model, depth : int, default 32 and 1
        Width and number of the layers.
    beta : float, default 2
        Weight of what is thought of paths being off their law. 1, the evidence bound, fills gaps better; more makes better samples.
    context : int, default 200
        Most rows of a series that are fitted in one piece.
    epochs : int, optional
        Passes over the data, half as many more for the law of starts alone; at least 20 and about 3,000 steps if not given.
    lr : float, default 0.004
    batch_size : int, default 64
        Most pieces of series in one step.
    random_state, verbose
        As in `SSMClassifier`.

    Attributes
    ----------
    modes_ : DataFrame
        A row for each mode, strongest first: `period` and `half_life` in the unit of the clock, infinite for what does not
        turn or fade; `energy`, the share of the variance of what is decoded that is lost without the mode; `held`, whether
        its period was given. ``modes_.attrs["unit"]`` names the unit.
    model_ : LatentKoopman
    history_ : History
        Its `terms` are the parts of the loss by epoch: "kl" and "likelihood" for each number observed, and others.
    marginals_ : Marginals
        How each channel is mapped to a normal one and back.
    time_scale_ : float
        The median gap of the training data, in the unit of the panel's clock.

    Notes
    -----
    Training begins at the modes that tell best how series go on, so that of data that move linearly periods and half-lives
    are right; elsewhere half-lives are those of a path, which a network may read values off that fade at another rate. A step
    costs O(b l d_model (d_model + d_latent)), without a loop over rows for the linear prior. Missing entries and rows need no
    care. Static features, classes among them, condition everything. A new sample begins as the training series begin: at
    their first rows, observed or not. Where gaps are uneven a recurrent decoder learns on rows between them too, to be asked
    more often than was observed. What is generated stays in about the range of each channel, and ties come back as ties.

    References
    ----------
    Naiman, Erichson, Ren, Mahoney and Azencot, 2024, Generative modeling of regular and irregular time series data via
    Koopman VAEs (arXiv 2310.02619). The linear prior in continuous time, its noise and its starts, is our own.

    Examples
    --------
    >>> from tsssm import KoopmanVAE
    >>> from tsssm.data.synthetic import noisy_sines
    >>> panel, _ = noisy_sines(20, random_state=0)
    >>> model = KoopmanVAE(d_latent=4, epochs=2, random_state=0).fit(panel)
    >>> model.sample(3, times=[0.0, 0.5, 0.75], random_state=0)
    Panel(3 series of 3 rows, 1 channel: x; times number, 0.0 to 0.75)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "prior": [StrOptions({"linear", "soft"})],
        "d_latent": [Interval(Integral, 2, None, closed="left"), None],
        "conserved": [Interval(Integral, 0, None, closed="left")],
        "process_noise": ["boolean"],
        "decoder": [StrOptions({"recurrent", "pointwise"})],
        "regularizer": [StrOptions({"information"}), None],
        "layer": [str, type, Recipe, None],
        "d_model": [Interval(Integral, 1, None, closed="left")],
        "depth": [Interval(Integral, 1, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="neither")],
        "context": [Interval(Integral, 2, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left"), None],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        prior: str = "linear",
        d_latent: int | None = None,
        periods: Sequence[Any] | None = None,
        conserved: int = 0,
        process_noise: bool = True,
        decoder: str = "recurrent",
        regularizer: str | None = None,
        layer: Any = None,
        d_model: int = 32,
        depth: int = 1,
        beta: float = 2.0,
        context: int = 200,
        epochs: int | None = None,
        lr: float = 0.004,
        batch_size: int = 64,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.prior = prior
        self.d_latent = d_latent
        self.periods = periods
        self.conserved = conserved
        self.process_noise = process_noise
        self.decoder = decoder
        self.regularizer = regularizer
        self.layer = layer
        self.d_model = d_model
        self.depth = depth
        self.beta = beta
        self.context = context
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.random_state = random_state
        self.verbose = verbose

    def _learn_panel(self, panel: Panel, y: Any) -> None:
        # y is ignored: what a series is of comes as a static feature, so that it can be asked of samples
        self.conditions_ = Conditions.fit(panel)
        self.time_scale_, self.marginals_ = median_gap(panel), Marginals.fit(panel)
        self.template_, given = Template.of(panel), self._given(panel)
        source = Source(observed_rows(panel), self.marginals_, self.time_scale_, given)
        windows = tile_windows(source, self.context)
        self.model_, self.history_ = fit_koopman(self, panel, windows)
        self.modes_ = modes_of(self.model_, windows, self.time_scale_, panel.clock.unit)

    def _given(self, panel: Panel) -> np.ndarray:
        """What is known of each series (n, 1 + g): how late it is seen, and its static features as numbers."""
        late = lateness(panel, self.time_scale_)
        # a piece of a longer series begins wherever it was cut
        return np.c_[np.where(panel.lengths <= self.context, late, 0.0), self.conditions_.numbers(panel)]

    def sample(self, n: int = 1, times: Any = None, static: Any = None, random_state: Any = None) -> Panel:
        """Draw series.

        Parameters
        ----------
        n : int, default 1
        times : array-like (l,), optional
            When to observe, as in training, increasing; by default each series has the times of a training series, drawn
            at random.
        static : dict or DataFrame of n rows, optional
            Classes and covariates of all series or each, such as ``{"sex": "f"}``, where the training panel had such static
            features; drawn as in training if not given.
        random_state : int, RandomState or None, default None

        Returns
        -------
        Panel
            n series, with what they were drawn for as `static`.

        Raises
        ------
        ValueError
            If times do not increase, or `static` has other columns or categories than in training.

        Notes
        -----
        Values are pictures of latent paths; the noise of observations, errors of the pictures in training, is not added. With
        the linear prior, times that all series share, and the same n and `random_state`, latent paths are the same ones
        whatever times are asked, read off more or less densely; a pointwise decoder keeps that for values.
        """
        check_is_fitted(self, "model_")
        if not isinstance(n, (int, np.integer)) or n < 1:
            raise ValueError(explain("`n` must be a positive number of series", f"{n!r} came", "Ask for at least one"))
        random = check_random_state(random_state)
        seed = int(random.randint(2**31 - 1))
        given, frame = self.conditions_.drawn(n, static, random)
        asked = self.template_.asked(n, times, random)
        values = draw_values(self.model_, asked, self.time_scale_, np.c_[np.zeros(n), given], seed)
        return asked.panel(self.marginals_.inverse(values), self.channels_, frame)

    def score_samples(self, X: Any) -> np.ndarray:
        """Evidence lower bound of each series (n,): at most its log likelihood, in nats, of channels mapped to normal ones.

        Series longer than `context` are taken whole.
        """
        panel = self._fitted_panel(X)
        given = self._given(panel)
        source = Source(panel, self.marginals_, self.time_scale_, given)
        out = np.zeros(len(panel))
        for series in by_length(source.lengths):
            batch = source.batch(show_all(source, series)).to("cpu", torch.float64)
            out[series[batch.order.numpy()]] = self.model_.bound(batch, DRAWS).numpy()
        return out

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`: what a search over parameters maximises."""
        return float(self.score_samples(X).mean())

    def impute(self, X: Any, times: Any = None) -> Any:
        """Fill what is missing, or tell values at any times, with the picture of the mean latent path.

        Parameters
        ----------
        X : Panel or what `as_panel` takes
        times : array, dict of arrays by id, Panel or long table, optional
            Absolute times, past or future, for all series or each; the rows of X if not given.

        Returns
        -------
        Panel or ndarray
            The rows of X, or those asked; observed entries as they are, channels that were never observed NaN.
        """
        panel = self._fitted_panel(X)
        own = np.split(panel.times, panel.offsets[1:-1])
        query = merged(panel, own if times is None else times_asked(times, panel), 0.0)
        out = completed(self, query, self._given(panel))
        return as_array(out, np.asarray(X).ndim) if times is None and is_table(X) else out

    def forecast(self, X: Any, times: Any) -> Panel:
        """Go on with series: the picture of the mean latent path that K takes from what was observed.

        Parameters
        ----------
        X : Panel or what `as_panel` takes
        times : int, duration, list, array, dict or Panel
            A number of steps, a duration, times and so on, as the `horizon` of `SSMForecaster`.

        Returns
        -------
        Panel
            The rows asked.
        """
        full = self._fitted_panel(X)
        given, panel = self._given(full), observed_rows(full)
        start = origins(panel, np.ones(panel.n_rows, bool), self.time_scale_)
        asked = asked_times(times, panel, start)
        query = merged(tail(panel, start.time, self.context), asked, 1e-6 * self.time_scale_)
        return completed(self, query, given)

    def stream(self) -> NoReturn:
        """Refuse: what is thought of a latent path comes from all rows at once.

        Raises
        ------
        ValueError
            Always.
        """
        must, came = (
            "a stream needs a model that looks back only",
            "what a KoopmanVAE thinks of a path looks at all rows",
        )
        raise ValueError(explain(must, came, "Call forecast with the rows so far"))
