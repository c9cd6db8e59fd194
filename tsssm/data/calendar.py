"""Calendar: time of day, day of week and day of year as smooth features of a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tsssm.data.clock import Clock
from tsssm.data.panel import Panel

# seconds; a week starts on a Monday, 4 days after the first of January 1970
DAY, WEEK, YEAR = 86400.0, 7 * 86400.0, 365.2425 * 86400.0
MONDAY = 4 * DAY


@dataclass(frozen=True)
class Calendar:
    """Sines and cosines of the calendar cycles that a training panel can teach.

    Parameters
    ----------
    periods : tuple of float, in seconds
        Lengths of the cycles.
    harmonics : int
        Waves of each cycle.

    Examples
    --------
    >>> import pandas as pd
    >>> from tsssm.data.clock import Clock
    >>> noon = pd.to_datetime(["2024-01-01 12:00"])
    >>> Calendar((86400.0,), 1).transform(Clock.of(noon), [0.0]).round(3)
    array([[ 0., -1.]])
    """

    periods: tuple[float, ...] = ()
    harmonics: int = 3

    @classmethod
    def fit(cls, panel: Panel) -> Calendar:
        """Take the cycles that some series runs through twice, with at least 4 typical gaps in each."""
        filled = panel.lengths > 1
        if panel.clock.kind != "datetime" or not filled.any():
            return cls()
        last, first = panel.times[panel.offsets[1:][filled] - 1], panel.times[panel.offsets[:-1][filled]]
        span, gap = np.max(last - first), np.median((last - first) / (panel.lengths[filled] - 1))
        # quarters of a year come a little more or less than four times
        return cls(tuple(period for period in (DAY, WEEK, YEAR) if span >= 2 * period and 4 * gap <= 1.01 * period))

    @property
    def n_features(self) -> int:
        """Number of columns that `transform` gives."""
        return 2 * self.harmonics * len(self.periods)

    def transform(self, clock: Clock, times: np.ndarray) -> np.ndarray:
        """Give (rows, n_features) for encoded times, by the local time of the clock's zone."""
        times = np.asarray(times, dtype=np.float64)
        if not self.periods or not len(times):
            return np.zeros((len(times), self.n_features))
        stamps = pd.DatetimeIndex(clock.stamps(times)).tz_localize(None)
        local = (stamps - pd.Timestamp(0)) / pd.Timedelta(1, "s")
        phase = np.asarray(local, dtype=np.float64)[:, None] - MONDAY
        angle = 2 * np.pi * np.mod(phase / np.array(self.periods), 1.0)
        angle = (angle[:, :, None] * np.arange(1, self.harmonics + 1)).reshape(len(times), -1)
        return np.concatenate([np.sin(angle), np.cos(angle)], 1)
