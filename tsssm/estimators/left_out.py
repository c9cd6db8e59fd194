"""Left out: intervals are checked on series that a model was not fitted to, each in its turn."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from tsssm.data import Panel
from tsssm.data.picking import stretches
from tsssm.estimators.answers import check_coverage
from tsssm.estimators.conformal import Calibration
from tsssm.estimators.horizon import asked_times
from tsssm.estimators.model_forecaster import ModelForecaster
from tsssm.estimators.queries import Query, observed_rows, owners, wide
from tsssm.heads.rows import LEVELS

# forecasts asked of a series left out, and rows asked in each
CUTS, MOST = 8, 64
# most series that are asked of a part left out
SERIES = 200


class LeftOutForecaster(ModelForecaster):
    """Base of the forecasters whose intervals are widened or narrowed until they hold on series left out.

    Attributes
    ----------
    calibration_ : Calibration
        What fits to all but a part of the series said of it.
    """

    _turns: ClassVar[int | None] = None
    """How many of the `folds` parts are left out, each by a fit of its own; all of them if None."""
    _shortest: ClassVar[float] = 0.125
    """Share of a series that is shown at least where its intervals are checked."""

    def _learn_panel(self, panel: Panel, y: Any) -> None:
        super()._learn_panel(panel, y)
        panel = observed_rows(panel)
        start = self._origins(panel)
        asked = asked_times(self.horizon, panel, start)
        lead = max(times[-1] - start.time[i] for i, times in enumerate(asked) if len(times))
        self.calibration_ = calibrated(self, panel, lead)

    def predict_interval(self, X: Any = None, horizon: Any = None, coverage: float = 0.9) -> Panel:
        """Intervals that hold what would be observed with a probability of `coverage`.

        In channels "glucose[lower]" and "glucose[upper]". Conformal: widened or narrowed until they cover that share of
        what followed in the series left out, at such lead times.
        """
        coverage = check_coverage(coverage)
        query = self._asked(X, horizon)
        lead = np.repeat(since_shown(query)[:, None] / self.time_scale_, len(self.channels_), 1)
        values = self.calibration_.interval(self._quantiles(query, np.array(LEVELS)), lead, coverage)
        return wide(query, values, self.scaling_, self.channels_, ["lower", "upper"])


def calibrated(estimator: LeftOutForecaster, panel: Panel, lead: float) -> Calibration:
    """The calibration of an estimator that was fitted to all series, by its fits to all but some of them.

    Parameters
    ----------
    estimator : LeftOutForecaster
        Its `folds` say into how many parts the series are drawn; with fewer than two series a part, none are left out.
    panel : Panel
        The training panel, all of whose rows show something.
    lead : float
        How far ahead is asked, in the unit of the clock.

    Notes
    -----
    One fit more for each part left out. A score says by how much a truth is beyond its median, in half-widths, so that those of
    different fits can be pooled.

    References
    ----------
    Vovk, 2015, Cross-conformal predictors; Barber, Candès, Ramdas and Tibshirani, 2021, Predictive inference with the
    jackknife+, section 3, of which this is the form without the fits' own centres.
    """
    folds, series = estimator.folds, np.flatnonzero(panel.lengths > 1)
    quantiles, truth, leads = [], [], []
    if folds and len(series) >= 2 * folds:
        rng = np.random.default_rng(check_random_state(estimator.random_state).randint(2**31 - 1))
        part = rng.permutation(len(series)) % folds
        # as many gaps ahead, since a horizon that names series would name some that are left out
        steps = max(1, int(np.ceil(lead / estimator.time_scale_ * (1 - 1e-9))))
        for k in range(folds if estimator._turns is None else estimator._turns):
            kept = np.setdiff1d(np.arange(len(panel)), series[part == k])
            model = clone(estimator).set_params(folds=0, horizon=steps, verbose=0).fit(panel[kept])
            past, future = cut(panel[series[part == k][:SERIES]], lead, rng, estimator._shortest)
            query = model._asked(past, future)
            quantiles.append(model._quantiles(query, np.array(LEVELS)))
            truth.append(model.scaling_.transform(future.values))
            leads.append(since_shown(query) / model.time_scale_)
    channels = range(len(panel.channels))
    if not truth:
        none = np.empty(0)
        return Calibration([np.empty((0, len(LEVELS)))] * len(channels), [none] * len(channels), [none] * len(channels))
    quantiles, truth, leads = (np.concatenate(parts) for parts in (quantiles, truth, leads))
    seen = [np.isfinite(truth[:, j]) for j in channels]
    return Calibration(
        [quantiles[seen[j], j] for j in channels],
        [truth[seen[j], j] for j in channels],
        [leads[seen[j]] for j in channels],
    )


def cut(panel: Panel, lead: float, rng: np.random.Generator, shortest: float) -> tuple[Panel, Panel]:
    """Cut series of two rows or more at rows drawn at random, behind a share `shortest`, into what is shown and asked.

    Asked are the next row and what follows within `lead` of the last one shown.
    """
    bounds, names, of = [], [], []
    for i, (times, _) in enumerate(panel):
        # the last row is asked in any case
        first = min(1 + int(shortest * len(times)), len(times) - 1)
        drawn = np.sort(rng.permutation(np.arange(first, len(times)))[:CUTS])
        # rounding must not lose a row that lies exactly at the horizon
        reach = np.searchsorted(times, times[drawn - 1] + lead * (1 + 1e-9), side="right")
        stop = np.clip(reach, drawn + 1, drawn + MOST)
        bounds.append(panel.offsets[i] + np.stack([np.zeros_like(drawn), drawn, stop], 1))
        names += [f"{i}/{k}" for k in range(len(drawn))]
        of += [i] * len(drawn)
    edges = np.concatenate(bounds)
    return tuple(stretches(panel, edges[:, k], edges[:, k + 1], names, of) for k in (0, 1))


def since_shown(query: Query) -> np.ndarray:
    """Time from the last row shown before it to each row asked, (asked rows,), in the unit of the clock.

    0 in a series that shows nothing.
    """
    times, shown = query.panel.times, ~query.asked
    last = np.maximum.accumulate(np.where(shown, np.arange(len(times)), -1))
    known = (last >= 0) & (owners(query.panel)[last] == owners(query.panel))
    return np.where(known, times - times[last], 0.0)[query.asked]
