"""Roles of channels: which are forecast, which are known ahead, and where their future stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tsssm.data import Panel, as_panel
from tsssm.errors import explain
from tsssm.estimators.horizon import Origins
from tsssm.estimators.queries import Query, merged
from tsssm.heads import Gaussian, Head, Quantile, StudentT

HEADS = {"quantile": Quantile, "gaussian": Gaussian, "student_t": StudentT}
# steps of the optimizer in one epoch at least where the number of epochs is ours to choose, so that few series are not judged
# after every other step
STEPS_AN_EPOCH = 20


def pick_head(name: str) -> Callable[[int, int], Head]:
    """The head of a name."""
    if name not in HEADS:
        must = f"`head` must be one of {', '.join(map(repr, HEADS))}"
        raise ValueError(explain(must, f"{name!r} came", "Check the spelling"))
    return HEADS[name]


def repeated(n: int, batch_size: int, epochs: int | None) -> np.ndarray:
    """Numbers of n windows, over and over until they fill an epoch; once where a user says how many epochs there are."""
    return np.tile(np.arange(n), 1 if epochs else max(1, STEPS_AN_EPOCH * batch_size // max(1, n)))


def channel_numbers(panel: Panel, names: Sequence[str], role: str, taken: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Numbers of the channels of a role."""
    names = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in names if name not in panel.channels]
    if unknown:
        came = f"{unknown[0]!r} came, and the panel has {', '.join(panel.channels)}"
        raise ValueError(explain(f"`{role}` must name channels of X", came, "Check the spelling"))
    numbers = tuple(panel.channels.index(name) for name in names)
    both = [panel.channels[j] for j in numbers if j in taken]
    if both or (role == "target" and not numbers):
        came = f"{both[0]!r} is in `known` as well" if both else "none is left"
        raise ValueError(
            explain("`target` must be channels that are not known ahead", came, "Mend `target` or `known`")
        )
    return numbers


def with_future(panel: Panel, horizon: Any, start: Origins, known: list[int]) -> tuple[Panel, Any]:
    """The panel with the known covariates that a horizon brings, and the horizon as times by id.

    A number of steps counts the later rows of X where there are as many.
    """
    if isinstance(horizon, (Panel, pd.DataFrame)):
        asked = as_panel(horizon)
        times = [np.empty(0)] * len(panel)
        values: list[np.ndarray] = [np.empty((0, len(known)))] * len(panel)
        place = {id: i for i, id in enumerate(panel.ids.tolist())}
        names = [panel.channels[j] for j in known]
        missing = [name for name in names if name not in asked.channels]
        if missing:
            came = f"{missing[0]!r} is not in the horizon"
            raise ValueError(explain("known covariates must be filled in the rows asked", came, "Add the column"))
        filled = asked.select(names)
        for i, id in enumerate(asked.ids.tolist()):
            if id in place:
                times[place[id]] = np.atleast_1d(panel.clock.encode(asked[i].stamps()))
                values[place[id]] = filled[i].values
        query = merged(panel, times, 0.0)
        table = query.panel.values.copy()
        table[np.ix_(query.asked, known)] = np.concatenate(values)
        return query.panel.with_values(table), horizon
    if isinstance(horizon, (int, np.integer)) and not isinstance(horizon, bool) and horizon > 0:
        later = {}
        for i, id in enumerate(panel.ids.tolist()):
            times = panel.times[panel.offsets[i] : panel.offsets[i + 1]]
            later[id] = times[times > start.time[i]][:horizon]
        if all(len(times) == horizon for times in later.values()):
            return panel, {id: panel.stamps(times) for id, times in later.items()}
    return panel, horizon


def refuse_unknown_future(query: Query, known: Sequence[str]) -> None:
    """Refuse rows asked in which a known covariate is missing."""
    for name in known:
        column = query.panel.values[query.asked, query.panel.channels.index(name)]
        if np.isnan(column).any():
            came = f"{name!r} is missing in {int(np.isnan(column).sum())} of {len(column)}"
            do = "Fill it in later rows of X, or pass the rows asked as the horizon, a Panel where NaN is not observed"
            raise ValueError(explain("known covariates must be filled in the rows asked", came, do))
