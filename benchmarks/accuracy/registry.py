"""All tasks by name."""

from __future__ import annotations

from benchmarks.accuracy import images, tokens
from benchmarks.accuracy.task import Task

TASKS: dict[str, Task] = {**images.TASKS, **tokens.TASKS}
