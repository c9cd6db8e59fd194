"""A series that grows: its features at any moment, from what was kept of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tsssm.data import Scaling
from tsssm.data.clock import Clock
from tsssm.data.numeric import as_floats
from tsssm.data.stamps import Stamps, as_stamps
from tsssm.dynamics.kernels.bank import Bank, pooled
from tsssm.errors import explain
from tsssm.features.pace import Pace
from tsssm.features.path import Before, as_rows, interpolated


class FeatureStream:
    """The features of one series, observation by observation.

    A row is put through the bank when no later observation can change it, that is when every channel was observed again
    or has been silent for longer than the longest training series; until then it is kept. So the memory does not grow
    with the history, and `features` gives what `SSMFeatures.transform` gives for the whole series.

    Parameters
    ----------
    bank : Bank
    scaling : Scaling
    pace : Pace
    flat : callable
        From pools (1, p, r, g) to features (1, n_features).
    clock_kind : str
        Kind of the times fitted to.

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm import SSMFeatures
    >>> X = np.sin(np.arange(60.0)).reshape(3, 20)
    >>> stream = SSMFeatures(n_features=80, random_state=0).fit(X).stream()
    >>> stream.update(0.0, [0.3]).update([0.7, 1.9], [[0.1], [0.4]]).features().shape
    (80,)
    """

    def __init__(
        self, bank: Bank, scaling: Scaling, pace: Pace, flat: Callable[[np.ndarray], np.ndarray], clock_kind: str
    ):
        self._bank, self._scaling, self._pace, self._flat, self._clock_kind = bank, scaling, pace, flat, clock_kind
        self._used = np.flatnonzero((bank.mix != 0).any(1).numpy())
        channels = len(bank.mix)
        self._clock: Clock | None = None
        self._carried: Any = None
        self._last = np.nan
        self._before = Before(np.full(channels, np.nan), np.full(channels, np.nan))
        self._times, self._values = np.empty(0), np.empty((0, channels))

    def update(self, times: Any, values: Any) -> FeatureStream:
        """Add observations.

        Parameters
        ----------
        times : scalar or (k,) array-like
            Later than all before and increasing, of the kind fitted to.
        values : (k, c) array-like, or (c,) for one time
            In the channels' units, NaN where not observed.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where times do not increase, shapes do not fit or values are infinite. The stream is left as it was.
        """
        stamps = as_stamps(times)
        clock = self._clock or self._clock_of(stamps)
        new, _ = clock.read(stamps)
        rows = self._checked(new, as_floats(np.asarray(values), "values"))
        seen = np.isfinite(rows[:, self._scaling.seen]).any(1)
        self._clock = clock
        self._times = np.concatenate([self._times, new[seen]])
        self._values = np.concatenate([self._values, self._scaling.transform(rows[seen])])
        self._advance(self._settled())
        return self

    def features(self) -> np.ndarray:
        """Features (n_features,) of all that came so far; zeros before the first observation."""
        pools, _ = pooled(self._bank, as_rows(self._paths(), self._gaps(), [0, len(self._times)]), self._carried)
        return self._flat(pools.numpy())[0]

    def _clock_of(self, stamps: Stamps) -> Clock:
        clock = Clock.of(stamps)
        plain = {clock.kind, self._clock_kind} <= {"number", "integer"}
        if clock.kind != self._clock_kind and not plain:
            came = f"{clock.kind} times came"
            raise ValueError(explain(f"times must be of the kind fitted to, {self._clock_kind}", came, "Convert them"))
        return clock

    def _checked(self, new: np.ndarray, rows: np.ndarray) -> np.ndarray:
        channels = self._values.shape[1]
        rows = rows[None] if rows.ndim < 2 and len(new) == 1 else rows
        if rows.shape != (len(new), channels):
            came = f"values of shape {rows.shape} came with {len(new)} times"
            raise ValueError(
                explain(f"`values` must be ({len(new)}, {channels})", came, "Use NaN for what was not seen")
            )
        if np.isinf(rows).any():
            raise ValueError(explain("`values` must be finite or NaN", "infinity came", "Replace it by NaN"))
        end = self._times[-1:] if len(self._times) else np.array([self._last])
        steps = np.diff(np.concatenate([end, new]))
        if (steps <= 0).any():
            late = new[int(np.argmax(steps <= 0))]
            came = f"{late} is not later than the one before it"
            raise ValueError(explain("times of a stream must increase", came, "Sort them, and leave out repeated ones"))
        return rows

    def _settled(self) -> int:
        """Number of kept rows that nothing to come can change."""
        if not len(self._times):
            return 0
        now, seen = self._times[-1], np.isfinite(self._values[:, self._used])
        row = np.arange(len(seen))[:, None]
        ahead = np.logical_or.accumulate(seen[::-1])[::-1]
        previous = np.maximum.accumulate(np.where(seen, row, -1))
        since = np.where(previous >= 0, self._times[previous], self._before.time[self._used])
        # what was never seen may still be filled from its first observation
        since = np.where(np.isnan(since), self._times[:, None], since)
        open_rows = ~(ahead | (now - since > self._pace.reach)).all(1)
        return int(np.argmax(open_rows)) if open_rows.any() else len(open_rows)

    def _advance(self, n: int) -> None:
        if not n:
            return
        rows = as_rows(self._paths()[:n], self._gaps()[:n], [0, n])
        _, self._carried = pooled(self._bank, rows, self._carried, closed=False)
        for channel in self._used:
            seen = np.flatnonzero(np.isfinite(self._values[:n, channel]))
            if len(seen):
                self._before.time[channel] = self._times[seen[-1]]
                self._before.value[channel] = self._values[seen[-1], channel]
        self._last = self._times[n - 1]
        self._times, self._values = self._times[n:], self._values[n:]

    def _paths(self) -> np.ndarray:
        starts = np.zeros(len(self._times), dtype=np.int64)
        return interpolated(self._times, self._values, starts, self._pace.reach, self._before)

    def _gaps(self) -> np.ndarray:
        first = self._times[:1] if np.isnan(self._last) else np.array([self._last])
        return np.diff(self._times, prepend=first) / self._pace.step
