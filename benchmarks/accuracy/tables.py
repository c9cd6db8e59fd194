"""A table a task, from stored results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.accuracy.task import Task
from benchmarks.report import spread
from tsssm.demo.page import Table


def section(task: Task, rows: Sequence[str], records: Sequence[dict[str, Any]]) -> str:
    """Give title, settings and table of a task; `records` are those of the task and of one setting."""
    lines = []
    for row in rows:
        runs = [each for each in records if each["row"] == row]
        if runs:
            scores = [spread([each[name] for each in runs], digits) for name, digits in task.measures.items()]
            lines.append((task.rows[row], *scores, spread([each["fit"] for each in runs], 0), str(len(runs))))
    small = all(each["setting"] == "small" for each in records)
    heads = ("model", *task.measures, "fit [s]", "seeds")
    return f"**{task.title}**\n\nLayers: {task.settings[small]}.\n\n{Table(heads, lines).to_markdown()}"
