"""What a task of the table is, and the layers that have a row in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

LAYERS = {
    "s4d": "S4D",
    "s5": "S5",
    "s4": "S4",
    "lssl": "LSSL",
    "lru": "LRU",
    "selective": "Selective",
    "gru": "GRU",
}


@dataclass(frozen=True)
class Fit:
    """One fit of one row: what decides its result.

    Parameters
    ----------
    row : str
        A key of `LAYERS` or of the task's plain rows.
    seed : int
        Of first weights, batches and whatever is drawn.
    data : Path
        Folder of the data sets, for tasks that need one.
    small : bool
        Whether the setting is the one for a CPU.
    """

    row: str
    seed: int
    data: Path
    small: bool


@dataclass(frozen=True)
class Task:
    """A data set with its split, its measures and the rows that make sense for it.

    Parameters
    ----------
    title : str
        Heads the table.
    measures : mapping of str to int
        Names of the scores, with the digits they are printed with.
    plain : mapping of str to str
        Rows that are no layer, with their names in the table.
    layers : tuple of str
        Keys of `LAYERS` that are affordable.
    measure : callable
        From a fit to its scores, with "fit" and "predict", seconds of the processor, among them.
    settings : mapping of bool to str
        What the table says of the fits in the small and in the full setting.
    needs_data : bool, default False
        Whether the data come from the folder of `Fit` and not with a package.
    """

    title: str
    measures: Mapping[str, int]
    plain: Mapping[str, str]
    layers: tuple[str, ...]
    measure: Callable[[Fit], dict[str, float]]
    settings: Mapping[bool, str]
    needs_data: bool = False

    @property
    def rows(self) -> dict[str, str]:
        """Plain rows and all layers, with their names in the table."""
        return {**self.plain, **LAYERS}
