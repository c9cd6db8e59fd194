"""Left out: intervals are checked on series that a model was not fitted to, each in its turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from tsssm.data import Panel
from tsssm.data.picking import stretches
from tsssm.estimators.conformal import Calibration
from tsssm.estimators.queries import Query, owners
from tsssm.heads.rows import LEVELS

if TYPE_CHECKING:
    from tsssm.estimators.latent_sde_forecaster import LatentSDEForecaster

# forecasts asked of a series left out, and rows asked in each
CUTS, MOST = 8, 24


def calibrated(estimator: LatentSDEForecaster, panel: Panel, lead: float) -> Calibration:
    """The calibration of an estimator that was fitted to all series, by its fits to all but some of them.

    Parameters
    ----------
    estimator : LatentSDEForecaster
        Its `folds` say into how many parts the series are drawn; with fewer than two series a part, none are left out.
    panel : Panel
        The training panel, all of whose rows show something.
    lead : float
        How far ahead is asked, in the unit of the clock.

    Notes
    -----
    One fit more for each part. A score says by how much a truth is beyond its median, in half-widths, so that those of
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
        for k in range(folds):
            kept = np.setdiff1d(np.arange(len(panel)), series[part == k])
            model = clone(estimator).set_params(folds=0, horizon=1, verbose=0).fit(panel[kept])
            past, future = cut(panel[series[part == k]], lead, rng)
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


def cut(panel: Panel, lead: float, rng: np.random.Generator) -> tuple[Panel, Panel]:
    """Cut each series at rows drawn at random, behind its first eighth, into what is shown and what is asked.

    Asked are the next row and what follows within `lead` of the last one shown.
    """
    bounds, names, of = [], [], []
    for i, (times, _) in enumerate(panel):
        first = 1 + len(times) // 8
        if first >= len(times):
            continue
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
