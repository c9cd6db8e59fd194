"""Tables of stored errors: a table a task, and what hierarchies gain over the best flat model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.report import spread
from benchmarks.resume import Record
from benchmarks.sequences.fits import TITLES
from benchmarks.sequences.rows import FLAT, PAIRS
from benchmarks.sequences.tasks import TASKS
from tsssm.demo.page import Table

WHEN = {"time": "asked at its time", "end": "at the end of its chunk"}

Found = Mapping[tuple[str, str], Sequence[Record]]
"""Records by row and alignment."""


def collect(records: Sequence[Record], task: str) -> dict[tuple[str, str], list[Record]]:
    """The records of a task by row and alignment, in the order of the rows."""
    found: dict[tuple[str, str], list[Record]] = {}
    for row in TITLES:
        for record in records:
            if (record["task"], record["row"]) == (task, row):
                found.setdefault((row, record["alignment"]), []).append(record)
    return found


def section(records: Sequence[Record], task: str) -> str:
    """The table of a task: errors in its unit in both alignments, parameters, seconds an epoch."""
    found, spec = collect(records, task), TASKS[task]
    alignments = [name for name in WHEN if any(key[1] == name for key in found)]
    lines = []
    for row in dict.fromkeys(key[0] for key in found):
        cells = [found.get((row, name), []) for name in alignments]
        # what does not depend on when it is asked stands once
        errors = [spread([record["rmse"] for record in cell], 3) if cell else "" for cell in cells]
        first = next(cell for cell in cells if cell)
        if spec.later is None:
            errors.append(spread([record["early"] for record in first], 3) if "early" in first[0] else "")
        trained = "parameters" in first[0]
        size = f"{first[0]['parameters']:,}" if trained else ""
        epoch = f"{np.mean([record['epoch'] for record in first]):.2f}" if trained else ""
        fit = f"{np.mean([record['fit'] for record in first]):.1f}"
        lines.append((TITLES[row], *errors, size, epoch, fit))
    unit = f" [{spec.unit}]" if spec.unit else ""
    heads = [f"RMSE{unit}, {WHEN[name]}" for name in alignments]
    if spec.later is None:
        heads = [f"RMSE{unit}", "first half"]
    columns = ("model", *heads, "parameters", "epoch [s]", "fit [s]")
    return f"**{spec.title}**\n\n{Table(columns, lines).to_markdown()}\n"


def gains(records: Sequence[Record], tasks: Sequence[str]) -> str:
    """By how much the best pair lowers the mean square error of the best flat model, in each alignment and as published."""
    lines = []
    for task in tasks:
        found = collect(records, task)
        cells = [gain(found, *pair) for pair in (("time", "time"), ("end", "end"), ("time", "end"))]
        if any(cells):
            lines.append((TASKS[task].title, *cells))
    columns = ("gain in MSE, best pair over best flat", *WHEN.values(), "pair at the end, flat at its time")
    return Table(columns, lines).to_markdown() + "\n"


def gain(found: Found, flat: str, pair: str) -> str:
    """Share of the mean square error that goes, empty where a side has no result."""
    flats, pairs = (
        [np.mean([record["rmse"] ** 2 for record in found[row, when]]) for row in rows if (row, when) in found]
        for rows, when in ((FLAT, flat), (PAIRS, pair))
    )
    return f"{1 - min(pairs) / min(flats):+.0%}" if flats and pairs else ""
