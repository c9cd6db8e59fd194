"""Data: ragged panels, and the batches cut from them."""

from tsssm.data.batch import Batch, Question, Source
from tsssm.data.panel import Panel, as_panel
from tsssm.data.scaling import Scaling, StaticEncoder
from tsssm.data.tasks import HideLast, HidePoints, Task

__all__ = [
    "Batch",
    "HideLast",
    "HidePoints",
    "Panel",
    "Question",
    "Scaling",
    "Source",
    "StaticEncoder",
    "Task",
    "as_panel",
]
