"""A series that grows: its features at any moment, from what was kept of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from tsssm.data import Scaling
from tsssm.data.stream import Stream, filled, flattened
from tsssm.dynamics.kernels.bank import Bank, Rows, pooled
from tsssm.dynamics.kernels.bank_loop import nothing_carried
from tsssm.features.pace import Pace
from tsssm.features.path import Before, as_rows, interpolated


class FeatureStream(Stream):
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
    tolerance : duration, optional
        What comes at most this late is merged into the last row.

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
        self,
        bank: Bank,
        scaling: Scaling,
        pace: Pace,
        flat: Callable[[np.ndarray], np.ndarray],
        clock_kind: str,
        tolerance: Any = None,
    ):
        channels = len(bank.mix)
        super().__init__(channels, clock_kind, tolerance)
        self._bank, self._scaling, self._pace, self._flat = bank, scaling, pace, flat
        self._used = np.flatnonzero((bank.mix != 0).any(1).numpy())
        self._carried: Any = None
        self._last = np.nan
        self._before = Before(np.full(channels, np.nan), np.full(channels, np.nan))
        self._open_times, self._open = np.empty(0), np.empty((0, channels))

    def features(self) -> np.ndarray:
        """Features (n_features,) of all that came so far; zeros before the first observation."""
        return self.features_after(*self._held())

    def features_after(self, times: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Features (n_features,) after rows (k,), (k, c) that are not added, behind all that are."""
        rows = self._rows(*self._joined(times, values))
        return self._flat(pooled(self._bank, rows, self._carried)[0].numpy())[0]

    def _absorb(self, times: np.ndarray, values: np.ndarray) -> None:
        self._open_times, self._open = self._joined(times, values)
        self._advance(self._settled())

    def _joined(self, times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows still open and those of more that show something, scaled."""
        seen = np.isfinite(values[:, self._scaling.seen]).any(1)
        scaled = self._scaling.transform(values[seen])
        return np.concatenate([self._open_times, times[seen]]), np.concatenate([self._open, scaled])

    def _settled(self) -> int:
        """Number of kept rows that nothing to come can change."""
        if not len(self._open_times):
            return 0
        now, seen = self._open_times[-1], np.isfinite(self._open[:, self._used])
        row = np.arange(len(seen))[:, None]
        ahead = np.logical_or.accumulate(seen[::-1])[::-1]
        previous = np.maximum.accumulate(np.where(seen, row, -1))
        since = np.where(previous >= 0, self._open_times[previous], self._before.time[self._used])
        # what was never seen may still be filled from its first observation
        since = np.where(np.isnan(since), self._open_times[:, None], since)
        open_rows = ~(ahead | (now - since > self._pace.reach)).all(1)
        return int(np.argmax(open_rows)) if open_rows.any() else len(open_rows)

    def _advance(self, n: int) -> None:
        if not n:
            return
        rows = self._rows(self._open_times, self._open, n)
        _, self._carried = pooled(self._bank, rows, self._carried, closed=False)
        for channel in self._used:
            seen = np.flatnonzero(np.isfinite(self._open[:n, channel]))
            if len(seen):
                self._before.time[channel] = self._open_times[seen[-1]]
                self._before.value[channel] = self._open[seen[-1], channel]
        self._last = self._open_times[n - 1]
        self._open_times, self._open = self._open_times[n:], self._open[n:]

    def _rows(self, times: np.ndarray, scaled: np.ndarray, n: int | None = None) -> Rows:
        """The first n rows, as the bank reads them."""
        starts = np.zeros(len(times), dtype=np.int64)
        paths = interpolated(times, scaled, starts, self._pace.reach, self._before)[:n]
        first = times[:1] if np.isnan(self._last) else np.array([self._last])
        return as_rows(paths, np.diff(times, prepend=first)[:n] / self._pace.step, [0, len(paths)])

    def _kept(self) -> dict[str, torch.Tensor]:
        arrays = {"open_times": self._open_times, "open": self._open, "last": np.array(self._last)}
        arrays |= {"before_time": self._before.time, "before_value": self._before.value}
        kept = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        return kept | flattened(self._carried, "carried")

    def _restore(self, kept: Mapping[str, torch.Tensor]) -> None:
        rows = len(kept.get("open_times", ()))
        before = tuple(torch.from_numpy(part) for part in self._before)
        like = (torch.empty(rows), torch.empty(rows, self._arrivals.channels), torch.empty(()), *before)
        names = ("open_times", "open", "last", "before_time", "before_value")
        parts = [filled(part, name, kept) for name, part in zip(names, like, strict=True)]
        carried = nothing_carried(self._bank, 1) if "carried.clock" in kept else None
        self._carried = filled(carried, "carried", kept)
        self._open_times, self._open, self._last = parts[0].numpy(), parts[1].numpy(), parts[2].item()
        self._before = Before(parts[3].numpy(), parts[4].numpy())
