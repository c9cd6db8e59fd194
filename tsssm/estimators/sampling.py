"""When a generator draws series, what it draws there, and what it tells of series that are known in part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from tsssm.data import Panel, Source
from tsssm.data.clock import Clock
from tsssm.data.marginals import Marginals
from tsssm.data.tasks import ranges, show_all
from tsssm.errors import explain
from tsssm.estimators.base import by_length
from tsssm.estimators.queries import Query, ask_rows
from tsssm.models.koopman_vae import LatentKoopman
from tsssm.models.latent_prior import Known, Noise
from tsssm.models.linear_paths import LinearPaths
from tsssm.models.linear_prior import LinearPrior, as_pairs, as_reals

if TYPE_CHECKING:
    from tsssm.estimators.koopman_vae import KoopmanVAE


@dataclass(frozen=True, eq=False)
class Template:
    """Times of the training series, with the clock and names of their panel."""

    times: np.ndarray
    offsets: np.ndarray
    clock: Clock
    names: tuple[str, str]

    @classmethod
    def of(cls, panel: Panel) -> Template:
        """Those of the series of a panel that have rows."""
        lengths = panel.lengths[panel.lengths > 0]
        return cls(panel.times, np.concatenate([[0], np.cumsum(lengths)]), panel.clock, panel.names)

    def asked(self, n: int, times: Any, random: np.random.RandomState) -> Asked:
        """Rows of n series: at the times given, or at those of training series drawn at random."""
        if times is None:
            pick = random.randint(len(self.offsets) - 1, size=n)
            counts = np.diff(self.offsets)[pick]
            rows = self.times[ranges(self.offsets[pick], counts)]
            shared = bool((counts == counts[0]).all() and (rows.reshape(n, -1) == rows[: counts[0]]).all())
            return Asked(rows, np.concatenate([[0], np.cumsum(counts)]), shared, self)
        encoded = self._encoded(times)
        return Asked(np.tile(encoded, n), np.arange(n + 1) * len(encoded), True, self)

    def _encoded(self, times: Any) -> np.ndarray:
        must = "`times` must be an increasing array of times as in training"
        try:
            encoded = np.atleast_1d(self.clock.encode(times)).astype(np.float64)
        except (TypeError, ValueError) as error:
            came = f"{type(times).__name__} came for {self.clock.kind} times: {error}"
            raise ValueError(explain(must, came, "Convert them")) from error
        if encoded.ndim != 1 or not len(encoded) or not np.isfinite(encoded).all() or (np.diff(encoded) <= 0).any():
            raise ValueError(explain(must, f"{times!r} came", "Sort them, each once"))
        return encoded


@dataclass(frozen=True, eq=False)
class Asked:
    """Rows of new series: times (rows,), offsets (n + 1,), and whether all series have the same times."""

    times: np.ndarray
    offsets: np.ndarray
    shared: bool
    template: Template

    def panel(self, values: np.ndarray, channels: tuple[str, ...], static: pd.DataFrame | None = None) -> Panel:
        """The new series with their values (rows, c)."""
        ids, clock = np.arange(len(self.offsets) - 1), self.template.clock
        return Panel(self.times, values, self.offsets, ids, channels, static, clock, None, self.template.names)


def draw_values(model: LatentKoopman, asked: Asked, time_scale: float, given: np.ndarray, seed: int) -> np.ndarray:
    """Normal scores (rows, c) of new series with covariates (n, g)."""
    blank = asked.panel(np.zeros((len(asked.times), 1)), ("blank",))
    source = Source(blank, Marginals.fit(blank), time_scale, given)
    rng, k = np.random.default_rng(seed), model.d_latent
    known = Known.of(torch.from_numpy(given))
    start = torch.from_numpy(rng.standard_normal((len(blank), k)))
    paths = None
    if asked.shared and isinstance(model.prior, LinearPrior):
        paths = _shared_paths(model.prior, asked, time_scale, known.given, start, seed)
    out = np.empty((len(asked.times), len(model.variance)))
    for series in by_length(source.lengths):
        batch = source.batch(show_all(source, series)).to("cpu", torch.float64)
        own = series[batch.order.numpy()]
        with torch.no_grad():
            if paths is None:
                rows = torch.from_numpy(rng.standard_normal((*batch.grid.dt.shape, k)))
                z = model.prior.sample(Noise(start[own], rows), batch.grid, Known.of(batch.static))
            else:
                z = paths[own]
            values = model.decoder(z, batch.grid, known.given[own])
        out[batch.rows.numpy()] = values.flatten(0, 1)[batch.place].numpy()
    return out


def _shared_paths(
    prior: LinearPrior, asked: Asked, time_scale: float, given: torch.Tensor, start: torch.Tensor, seed: int
) -> torch.Tensor:
    """Latent paths (n, l, k) at times that all series share, which do not depend on what other times are asked."""
    with torch.no_grad():
        paths = LinearPaths(prior.spectrum, as_pairs(prior.starts(start, given)), seed)
    first = asked.times[: asked.offsets[1]]
    return as_reals(paths((first - first[0]) / time_scale))


def completed(vae: KoopmanVAE, query: Query, given: np.ndarray) -> Panel:
    """The rows asked, with what is missing in them told by the picture of the mean latent path."""
    panel = query.panel
    source = Source(panel, vae.marginals_, vae.time_scale_, given)
    missing = np.isnan(panel.values)
    values = np.asarray(panel.values, dtype=np.float64).copy()
    ask = ask_rows(source, query.asked[:, None] & missing)
    for series in by_length(source.lengths):
        batch = source.batch(ask(series)).to("cpu", torch.float64)
        told = vae.model_.predict(batch)["mean"].flatten(0, 1)[batch.place].numpy()
        rows = batch.rows.numpy()
        # the row after the last is the blank one that stands for series without any
        kept = rows < len(values)
        rows, told = rows[kept], vae.marginals_.inverse(told[kept])
        values[rows] = np.where(missing[rows], told, values[rows])
    return query.answer(values[query.asked], vae.channels_)
