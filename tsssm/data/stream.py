"""Stream: one series that grows, answered at any moment from what was kept of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
import torch

from tsssm.data.arrivals import Arrivals
from tsssm.errors import explain

# rows that wait at most before a stream looks at them: one run over many rows costs little more than over one
AT_ONCE = 256
# and rows that it looks at together at most, where more come
MANY = 4096


class Stream(ABC):
    """One series that grows, made by an estimator's `stream`; a kind says what it keeps of the rows that came.

    Rows wait until they are `AT_ONCE`, or an answer is asked; a `tolerance` also holds the last row back, since later
    values may still be merged into it. The memory does not grow with the history.
    """

    def __init__(self, channels: int, kind: str, tolerance: Any = None):
        self._arrivals = Arrivals(channels, kind, tolerance)
        self._times: list[float] = []
        self._values: list[np.ndarray] = []

    @abstractmethod
    def _absorb(self, times: np.ndarray, values: np.ndarray) -> None:
        """Go on by rows (k,), (k, c) that nothing to come can change; some may show nothing."""

    @abstractmethod
    def _kept(self) -> dict[str, torch.Tensor]:
        """What is kept of all rows that were absorbed."""

    @abstractmethod
    def _restore(self, kept: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `_kept` gave; raises ValueError where it does not fit, and then leaves all as it was."""

    def update(self, times: Any, values: Any) -> Self:
        """Add observations.

        Parameters
        ----------
        times : scalar or (k,) array-like
            Later than all before and increasing, of the kind fitted to; with a `tolerance`, at most so late.
        values : (k, c) array-like, or (c,) for one time
            In the channels' units, NaN where not observed.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Where times or values do not fit. The stream is left as it was.
        """
        news = self._arrivals.read(times, values)
        if news.late is not None:
            seen = ~np.isnan(news.late)
            self._values[-1][seen] = news.late[seen]
        if len(news.times) > AT_ONCE:
            self._settle(news.times, news.values)
            return self
        self._times.extend(news.times)
        self._values.extend(news.values)
        if len(self._times) > AT_ONCE:
            self._settle()
        return self

    def _settle(self, times: Any = (), values: Any = ()) -> None:
        """Absorb the rows that waited, and more that follow, without the one that is held back."""
        if self._times or len(times):
            times = np.concatenate([self._times, times])
            values = np.concatenate([part for part in (self._values, values) if len(part)])
            n = len(times) - (self._arrivals.tolerance is not None)
            for start in range(0, n, MANY):
                stop = min(n, start + MANY)
                self._absorb(times[start:stop], values[start:stop])
            self._times, self._values = list(times[n:]), list(values[n:].copy())

    def _held(self) -> tuple[np.ndarray, np.ndarray]:
        """Times and values of the rows still held back, once the others have been absorbed."""
        self._settle()
        return np.array(self._times), np.array(self._values).reshape(len(self._times), self._arrivals.channels)

    def state_dict(self) -> dict[str, Any]:
        """All that the stream keeps, as tensors and plain values by name; it does not change as the stream goes on."""
        times, values = self._held()
        held = {"times": torch.from_numpy(times), "values": torch.from_numpy(values)}
        return {"arrivals": self._arrivals.state_dict(), "held": held, "kept": self._kept()}

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Go on from a state, in a stream of the same estimator.

        Raises
        ------
        ValueError
            Where the state is not that of such a stream.
        """
        missing = sorted({"arrivals", "held", "kept"} - set(state))
        if missing:
            came = f"{', '.join(missing)} is missing"
            raise ValueError(explain("`state` must come from state_dict()", came, "Pass it as it was given"))
        self._restore(state["kept"])
        self._arrivals.load_state_dict(state["arrivals"])
        self._times = state["held"]["times"].tolist()
        self._values = list(state["held"]["values"].numpy().copy())
        return self


def one_row(static: Any) -> pd.DataFrame | None:
    """Static features of one series as a table of one row, from a table, a Series or a mapping."""
    if static is None:
        return None
    frame = static if isinstance(static, pd.DataFrame) else pd.DataFrame([dict(static)])
    if len(frame) != 1:
        raise ValueError(explain("`static` must describe one series", f"{len(frame)} rows came", "Pass one row"))
    return frame.reset_index(drop=True)


def flattened(state: Any, name: str) -> dict[str, torch.Tensor]:
    """The tensors in nested tuples by dotted names; None has none."""
    if state is None:
        return {}
    if isinstance(state, torch.Tensor):
        return {name: state.clone()}
    names = getattr(state, "_fields", range(len(state)))
    parts = [flattened(part, f"{name}.{own}") for own, part in zip(names, state, strict=True)]
    return {key: tensor for part in parts for key, tensor in part.items()}


def filled(like: Any, name: str, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Nested tuples such as `like` with other tensors, taken by name."""
    if like is None:
        return None
    if isinstance(like, torch.Tensor):
        given = tensors.get(name)
        if given is None or given.shape != like.shape:
            came = f"{name} is missing" if given is None else f"{name} has the shape {tuple(given.shape)}"
            must = "the state must be that of a stream of this estimator"
            raise ValueError(explain(must, came, "Load it into a stream of the estimator that it came from"))
        return given.clone()
    fields = getattr(like, "_fields", None)
    parts = [filled(part, f"{name}.{own}", tensors) for own, part in zip(fields or range(len(like)), like, strict=True)]
    return type(like)(*parts) if fields else tuple(parts)
