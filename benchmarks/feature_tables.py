"""Tables of stored accuracies: means, mean ranks, wins and losses, seconds, each set."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.archive import DEVELOPMENT
from benchmarks.ranks import critical_difference, mean_ranks, wins_ties_losses
from tsssm.demo.page import Table

PEER = "minirocket"
MEASURES = ("accuracy", "fit", "predict")

Records = Sequence[Mapping[str, Any]]
Names = Mapping[str, str]


def collect(records: Records, rates: Sequence[float], rows: Collection[str]) -> tuple[list[str], np.ndarray]:
    """Give the sets that have all rows at all rates, and (sets, rates, rows, measures), averaged over seeds."""
    found: dict[tuple, list] = {}
    for each in records:
        found.setdefault((each["set"], each["rate"], each["row"]), []).append([each[name] for name in MEASURES])
    wanted = [(rate, row) for rate in rates for row in rows]
    sets = sorted({name for name, *_ in found}, key=str.lower)
    sets = [name for name in sets if all((name, *pair) in found for pair in wanted)]
    cells = [[np.mean(found[name, *pair], axis=0) for pair in wanted] for name in sets]
    return sets, np.reshape(cells, (len(sets), len(rates), len(rows), len(MEASURES)))


def sections(records: Records, rates: Sequence[float], names: Names) -> str:
    """Give the tables of all sets, of those that choices were made on, and of the others; then the seconds."""
    sets, results = collect(records, rates, names)
    known = np.array([name in DEVELOPMENT for name in sets], bool)
    groups = {"All": known | True, "Development": known, "Other": ~known}
    parts = [
        section(f"{title} sets", results[chosen][..., 0], rates, names)
        for title, chosen in groups.items()
        if any(chosen)
    ]
    without = sorted({each["set"] for each in records} - set(sets), key=str.lower)
    left_out = [f"Left out, since they lack a row or a rate: {', '.join(without)}."] if without else []
    return "\n\n".join([*parts, *([seconds(results, names)] if parts else []), *left_out]) + "\n"


def with_results(records: Records, names: Names) -> dict[str, str]:
    """Give the rows that have results, and say which have none."""
    present = {each["row"] for each in records}
    for row, name in names.items():
        if row not in present:
            print(f"{name} has no results.\n")
    return {row: name for row, name in names.items() if row in present}


def section(title: str, scores: np.ndarray, rates: Sequence[float], names: Names) -> str:
    """Give three tables of accuracies (sets, rates, rows): means, mean ranks, and wins, ties, losses."""
    n, _, k = scores.shape
    heads = tuple(f"{rate:g}" for rate in rates)
    columns = range(len(rates))
    means = {name: [f"{x:.4f}" for x in scores[:, :, j].mean(axis=0)] for j, name in enumerate(names.values())}
    tables = [titled("accuracy at a share dropped of", heads, means)]
    if k > 1:
        by_rate = [mean_ranks(scores[:, i]) for i in columns]
        ranks = {name: [f"{line[j]:.2f}" for line in by_rate] for j, name in enumerate(names.values())}
        ranks["critical difference, Nemenyi, 5 %"] = [f"{critical_difference(k, n):.2f}"] * len(rates)
        tables.append(titled("mean rank", heads, ranks))
    if k > 1 and PEER in names:
        peer = scores[..., list(names).index(PEER)]
        counts = {
            name: ["/".join(map(str, wins_ties_losses(scores[:, i, j], peer[:, i]))) for i in columns]
            for j, (row, name) in enumerate(names.items())
            if row != PEER
        }
        tables.append(titled("wins/ties/losses against MiniRocket", heads, counts))
    return "\n\n".join([f"**{title}**, {n} of them", *tables])


def titled(title: str, heads: Sequence[str], lines: Mapping[str, Sequence[str]]) -> str:
    """Give a table from the cells of each named line."""
    return Table((title, *heads), [(name, *cells) for name, cells in lines.items()]).to_markdown()


def seconds(results: np.ndarray, names: Names) -> str:
    """Give the seconds of all fits and predictions (sets, rates, rows, measures), and the ratio of fits to the peer's."""
    fit, predict = results[..., 1].sum(axis=(0, 1)), results[..., 2].sum(axis=(0, 1))
    ratio = fit / fit[list(names).index(PEER)] if PEER in names else np.full(len(fit), np.nan)
    lines = {name: (f"{fit[j]:.0f}", f"{predict[j]:.0f}", f"{ratio[j]:.2f}") for j, name in enumerate(names.values())}
    heads = ("fit", "predict", "fit / fit of MiniRocket")
    return f"**Seconds** of one thread, all sets and rates\n\n{titled('model', heads, lines)}"


def each_set(records: Records, rates: Sequence[float], names: Names) -> str:
    """Give the accuracies of every set, a table a rate; * marks sets that choices were made on."""
    sets, results = collect(records, rates, names)
    starred = [name + "*" * (name in DEVELOPMENT) for name in sets]
    parts = []
    for i, rate in enumerate(rates):
        lines = {name: [f"{x:.3f}" for x in results[s, i, :, 0]] for s, name in enumerate(starred)}
        parts.append(f"**Share dropped: {rate:g}**\n\n{titled('set', list(names.values()), lines)}\n")
    return "\n".join(parts)
