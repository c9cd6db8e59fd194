"""The models of the table, all of about the same number of parameters."""

from __future__ import annotations

from typing import Any

from benchmarks.sequences.flat import LSTM, Attention
from tsssm import Recipe, SSMSequenceRegressor
from tsssm.layers import S4D, S5, HiSS, Layer, Selective, Stack

DEPTH = 4
# blocks of a pair within chunks: all the others run over the chunks, at a tenth or so of the cost
BELOW = 1
WIDTHS = range(8, 129, 2)
KINDS: dict[str, type[Layer]] = {"lstm": LSTM, "transformer": Attention, "s4d": S4D, "s5": S5, "selective": Selective}
FLAT = {
    "lstm": "flat LSTM",
    "transformer": "flat causal transformer",
    "s4d": "flat S4D",
    "s5": "flat S5",
    "selective": "flat Selective",
}
PAIRS = {
    f"{low}-{high}": f"HiSS, {KINDS[low].__name__} below {KINDS[high].__name__}"
    for low, high in (
        ("s5", "s5"),
        *((low, high) for low in ("s4d", "selective") for high in ("s4d", "selective", "lstm")),
    )
}
ROWS = FLAT | PAIRS


def recipe(row: str, chunk: float) -> tuple[Recipe, int]:
    """The layer of a row and how many blocks of it there are; those of a pair are divided between below and above."""
    if row in FLAT:
        return Recipe(KINDS[row]), DEPTH
    low, high = (
        Recipe(Stack, layer=Recipe(KINDS[kind]), depth=depth)
        for kind, depth in zip(row.split("-"), (BELOW, DEPTH - BELOW), strict=True)
    )
    return Recipe(HiSS, levels=[(chunk, low), (None, high)]), 1


def width(row: str, parameters: int) -> int:
    """The width with which the layers of a row have about so many parameters."""
    layer, depth = recipe(row, 10.0)

    def count(d_model: int) -> int:
        return sum(p.numel() for p in Stack(d_model, layer, depth=depth).parameters())

    return min(WIDTHS, key=lambda d_model: abs(count(d_model) - parameters))


def make(row: str, chunk: float, parameters: int, **settings: Any) -> SSMSequenceRegressor:
    """A regressor of a row."""
    layer, depth = recipe(row, chunk)
    return SSMSequenceRegressor(layer=layer, d_model=width(row, parameters), depth=depth, **settings)
