"""All tasks by name."""

from __future__ import annotations

from benchmarks.accuracy import etth1, images, speech, tokens
from benchmarks.accuracy.task import Task

TASKS: dict[str, Task] = {**images.TASKS, **tokens.TASKS, **etth1.TASKS, **speech.TASKS}
