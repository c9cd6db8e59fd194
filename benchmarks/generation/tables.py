"""Tables of stored scores of generators: means over seeds for each set, share dropped and protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.report import spread
from benchmarks.resume import Record
from tsssm.demo.page import Table

COLUMNS = {
    "discriminative": ("discriminative", 3),
    "predictive": ("predictive", 3),
    "predictive_multichannel": ("predictive, all channels", 3),
    "frechet": ("Fréchet distance", 2),
    "marginal": ("marginals", 3),
    "autocorrelation": ("autocorrelation", 3),
    "cross_correlation": ("correlation of channels", 3),
    "nearest": ("distance to training", 2),
    "close": ("closer than 5 %", 3),
    "fit": ("fit [s]", 0),
}


def sections(records: Sequence[Record], names: Mapping[str, str]) -> str:
    """Give a table for each set, share dropped and protocol that has results, in the order in which they came."""
    parts: dict[tuple, dict[str, list[Record]]] = {}
    for each in records:
        part = parts.setdefault((each["set"], each["rate"], each["protocol"]), {})
        part.setdefault(each["row"], []).append(each)
    out = []
    for (name, rate, protocol), rows in parts.items():
        seeds = {each["seed"] for found in rows.values() for each in found}
        title = f"{name}, {rate:.0%} of the rows dropped, {protocol} windows, {len(seeds)} seeds"
        columns = {
            key: column
            for key, column in COLUMNS.items()
            if all(key in each for found in rows.values() for each in found)
        }
        lines = [
            (names[row], *(spread([each[key] for each in rows[row]], digits) for key, (_, digits) in columns.items()))
            for row in names
            if row in rows
        ]
        out.append(f"{title}\n\n{Table(('series', *(label for label, _ in columns.values())), lines).to_markdown()}")
    return "\n\n".join(out) + "\n" if out else "Nothing is stored yet.\n"
