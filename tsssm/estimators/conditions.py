"""Conditions: what is known of each series as a whole, given to a generator or drawn for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tsssm.data import Panel, StaticEncoder
from tsssm.errors import explain


@dataclass(frozen=True, eq=False)
class Conditions:
    """Static features of the training panel, and how they become numbers.

    Parameters
    ----------
    encoder : StaticEncoder
    frame : DataFrame of n rows, or None
        Those of training, from which new ones are drawn.
    """

    encoder: StaticEncoder
    frame: pd.DataFrame | None

    @classmethod
    def fit(cls, panel: Panel) -> Conditions:
        """Learn from the training panel."""
        return cls(StaticEncoder.fit(panel.static), panel.static)

    def numbers(self, panel: Panel) -> np.ndarray:
        """Numbers (n, g) of the series of a panel."""
        return self.encoder.transform(panel.static, len(panel))

    def drawn(self, n: int, static: Any, random: np.random.RandomState) -> tuple[np.ndarray, pd.DataFrame | None]:
        """Numbers (n, g) and table of n new series: those that `static` says, or rows of training drawn at random.

        Raises
        ------
        ValueError
            If `static` has other columns, another number of rows, or a category that was not in training.
        """
        if self.frame is None:
            if static is not None:
                came = "`static` came, and the training panel had none"
                raise ValueError(explain("`static` must be that of training", came, "Fit a panel with static features"))
            return np.empty((n, 0)), None
        if static is None:
            table = self.frame.iloc[random.randint(len(self.frame), size=n)].reset_index(drop=True)
            return self.encoder.transform(table, n), table
        table = self._table(n, static)
        self._refuse_unknown(table)
        return self.encoder.transform(table, n), table

    def _table(self, n: int, static: Any) -> pd.DataFrame:
        if isinstance(static, Mapping):
            columns = {name: [value] * n if np.ndim(value) == 0 else list(value) for name, value in static.items()}
            lengths = {name: len(column) for name, column in columns.items() if len(column) != n}
            if lengths:
                came = f"{lengths} came for {n} series"
                raise ValueError(explain("`static` must have one value, or one for each series", came, "Mend it"))
            return pd.DataFrame(columns)
        return pd.DataFrame(static).reset_index(drop=True)

    def _refuse_unknown(self, table: pd.DataFrame) -> None:
        for column in self.encoder.columns:
            if column.categories is None or column.name not in table:
                continue
            found = table[column.name].dropna().astype(object)
            unknown = sorted(set(found) - set(column.categories), key=str)
            if unknown:
                must = f"{column.name!r} must be one of {', '.join(map(repr, column.categories))}"
                raise ValueError(explain(must, f"{unknown[0]!r} came", "Only what was in training can be drawn"))


def lateness(panel: Panel, time_scale: float) -> np.ndarray:
    """Time (n,), in time scales, from the first row of each series to the first that shows something; 0 where none does."""
    shown = np.isfinite(panel.values).any(1)
    first = np.flatnonzero(shown)
    late = np.zeros(len(panel))
    if len(first):
        # the first shown row at or behind the beginning of a series, if it still is one of it
        place = np.minimum(np.searchsorted(first, panel.offsets[:-1]), len(first) - 1)
        inside = (first[place] >= panel.offsets[:-1]) & (first[place] < panel.offsets[1:])
        begin = panel.times[np.minimum(panel.offsets[:-1], len(panel.times) - 1)]
        late = np.where(inside, (panel.times[first[place]] - begin) / time_scale, 0.0)
    return late
