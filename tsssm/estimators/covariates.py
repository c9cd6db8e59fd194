"""Covariates: what is known of a series as a whole, as numbers for a head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tsssm.data import Panel, StaticEncoder
from tsssm.data.summary import summarise


@dataclass(frozen=True, eq=False)
class Covariates:
    """Static features and summary statistics of a series, standardised: (n, s).

    What is measured, how often and how it ends tells much by itself in sparse data, and a linear map reads it at once;
    without it a network has to learn to count first.

    Parameters
    ----------
    encoder : StaticEncoder
        Of the panel's static frame.
    center, scale : ndarray, (c * 7,)
        Of the statistics, counts as log(1 + count).
    """

    encoder: StaticEncoder
    center: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, panel: Panel) -> Covariates:
        """Learn the encoding on a training panel."""
        table = statistics(panel)
        known = [column[np.isfinite(column)] for column in table.T]
        center = np.array([column.mean() if len(column) else 0.0 for column in known])
        spread = np.array([column.std() if len(column) else 0.0 for column in known])
        # a statistic that hardly varies would blow up rounding errors, one that was never known must stay out
        constant = spread <= 1e-6 * np.maximum(1.0, np.abs(center))
        return cls(StaticEncoder.fit(panel.static), center, np.where(constant, np.inf, spread))

    def transform(self, panel: Panel) -> np.ndarray:
        """Numbers of each series, 0 where a channel was never observed."""
        return self.numbers(statistics(panel), panel.static)

    def numbers(self, table: np.ndarray, static: pd.DataFrame | None) -> np.ndarray:
        """Numbers of n series, from their flat tables of statistics (n, c * 7) and their statics."""
        z = (table - self.center) / self.scale
        size = np.abs(z)
        limited = np.where(size <= 3, z, np.sign(z) * (3 + np.log1p(np.maximum(size - 3, 0))))
        return np.c_[self.encoder.transform(static, len(table)), np.nan_to_num(limited)]


def statistics(panel: Panel) -> np.ndarray:
    """Flat table (n, c * 7) of `summarise`, with the logarithm of the counts."""
    return flattened(summarise(panel))


def flattened(table: np.ndarray) -> np.ndarray:
    """Statistics (n, c, 7) as (n, c * 7), with the logarithm of the counts."""
    table[:, :, -1] = np.log1p(table[:, :, -1])
    return table.reshape(len(table), -1)
