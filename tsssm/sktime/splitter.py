"""TailSplitter: hold out the end of each series, whatever its stamps."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sktime.split.base import BaseSplitter

from tsssm.errors import explain
from tsssm.sktime.frames import rows_of


class TailSplitter(BaseSplitter):
    """Hold out the end of each series, in rows or in time, for `evaluate` and `ForecastingBenchmark`.

    Fold k of K, in the order of time, tests the rows whose distance from the end of their series lies in
    [(K - k) d, (K - k + 1) d), and trains on what comes before. It names no horizon, so that sktime asks for the stamps
    of the test rows: steps ahead mean nothing where stamps are irregular. In panels a forecaster must be told which
    series is asked when: pass X with the index of y (any columns); `SSMForecaster` answers the rows of X.

    Parameters
    ----------
    test : int or duration, default 1
        d: a number of rows, or a time such as "6h" (a number is rows, also for integer stamps).
    folds : int, default 1
        K. A series without rows to train on is left out of a fold.

    Raises
    ------
    ValueError
        Where `test` or `folds` is not positive.

    Examples
    --------
    >>> import pandas as pd
    >>> from tsssm.sktime import TailSplitter
    >>> y = pd.Series([1.0, 2.0, 3.0, 4.0], index=pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-09", "2024-01-10"]))
    >>> [(train.tolist(), test.tolist()) for train, test in TailSplitter("2D", folds=1).split(y)]
    [([0, 1], [2, 3])]
    """

    _tags: ClassVar[dict[str, Any]] = {"authors": ["the tsssm developers"], "split_hierarchical": True}

    def __init__(self, test: Any = 1, folds: int = 1):
        self.test = test
        self.folds = folds
        super().__init__()

    def _fh(self) -> None:
        return None

    def _split(self, y: pd.Index) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        counted = isinstance(self.test, Integral)
        size: Any = int(self.test) if counted else pd.Timedelta(self.test)
        if not size > (0 if counted else pd.Timedelta(0)) or self.folds < 1:
            came = f"test={self.test!r} and folds={self.folds!r} came"
            raise ValueError(explain("`test` and `folds` must be positive", came, "Pass, say, test='6h', folds=2"))
        owner, stamps, _ = rows_of(y)
        order = np.lexsort((np.arange(len(y)), owner))
        if counted:
            ends = np.searchsorted(owner[order], np.arange(owner.max() + 1), side="right")
            from_end = np.empty(len(y), dtype=np.int64)
            from_end[order] = ends[owner[order]] - 1 - np.arange(len(y))
        else:
            times = stamps.to_timestamp() if isinstance(stamps, pd.PeriodIndex) else stamps
            last = pd.Series(times).groupby(owner).transform("max")
            from_end = (last - times).to_numpy() / size.to_timedelta64()
            size = 1.0
        for behind in range(self.folds - 1, -1, -1):
            train = from_end >= (behind + 1) * size
            fit = np.bincount(owner[train], minlength=owner.max() + 1) > 0
            test = (from_end >= behind * size) & ~train & fit[owner]
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(self, y: Any = None) -> int:
        """Number of folds."""
        return self.folds

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Settings for sktime's checks."""
        return [{"test": 2}, {"test": 1, "folds": 2}]
