"""History: the rows that a forecaster has seen, and the panels that questions about them need."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tsssm.data import Panel
from tsssm.errors import explain
from tsssm.sktime.frames import Rows, numbers_in, panel_of, plain, rows_of
from tsssm.sktime.horizon import same_frequency


@dataclass(frozen=True, eq=False)
class History:
    """Targets and covariates that were seen, series by series in the order of their names.

    Parameters
    ----------
    frame : DataFrame
        Columns "y0", "y1", ... for the targets and "x0", "x1", ... for the covariates, by their places: names differ
        between the panel of a pretraining and a series.
    """

    frame: pd.DataFrame

    @classmethod
    def of(cls, y: pd.DataFrame, X: pd.DataFrame | None) -> History:
        """Join what came; rows of X after the end of a series are its future and are left out."""
        frame = y.set_axis([f"y{j}" for j in range(y.shape[1])], axis=1).astype(np.float64)
        if X is not None:
            same_frequency(y.index, X.index)
            covariates = X.set_axis([f"x{j}" for j in range(X.shape[1])], axis=1).astype(np.float64)
            ours = cls(frame.sort_index())
            last, owner = ours.last(), numbers_in(ours.rows.names, X.index)
            past = owner >= 0
            past[past] = X.index.get_level_values(-1)[past] <= last[owner[past]]
            frame = frame.join(covariates[past], how="outer")
        return cls(frame.sort_index())

    def then(self, later: History) -> History:
        """This history with later rows, whose values replace those at the same stamp."""
        frame = later.frame.combine_first(self.frame)
        return History(frame[self.frame.columns.union(later.frame.columns, sort=False)].sort_index())

    def tail(self, count: int) -> History:
        """The last rows of each series."""
        if self.frame.index.nlevels == 1:
            return History(self.frame.iloc[-count:])
        return History(self.frame.groupby(level=list(range(self.frame.index.nlevels - 1)), sort=False).tail(count))

    @property
    def rows(self) -> Rows:
        """Series and stamp of each row."""
        return rows_of(self.frame.index)

    @property
    def known(self) -> list[str]:
        """Names of the covariates."""
        return [name for name in self.frame.columns if name.startswith("x")]

    def last(self) -> pd.Index:
        """Stamp of the last row of each series."""
        owner, stamps, _ = self.rows
        return stamps[np.flatnonzero(np.append(np.diff(owner), 1))]

    def panel(self) -> Panel:
        """All series, their numbers for ids."""
        owner, stamps, _ = self.rows
        return panel_of(self.frame.to_numpy(), owner, stamps, list(self.frame.columns))

    def before(self, owner: np.ndarray, stamps: pd.Index) -> Panel:
        """For each row asked (r,) a series of what its own series showed before that stamp, numbered 0, 1, 2, ..."""
        panel = self.panel()
        copies = panel[owner]
        asked = np.repeat(panel.clock.encode(plain(stamps)), copies.lengths)
        return replace(copies.rows(copies.times < asked), ids=np.arange(len(owner)))

    def refuse_before(self, owner: np.ndarray, stamps: pd.Index) -> None:
        """Refuse stamps before the first row kept of their series."""
        own, kept, names = self.rows
        first = kept[np.flatnonzero(np.diff(own, prepend=-1))]
        early = np.asarray(stamps < first[owner])
        if early.any():
            row = int(early.argmax())
            series = "the series" if names is None else f"series {names[owner[row]]!r}"
            came = f"{stamps[row]} was asked, and {series} is known from {first[owner[row]]}"
            do = "Ask for later times; of long series the last 2 * context rows are kept"
            raise ValueError(explain("a horizon may not lie before what is known of a series", came, do))
