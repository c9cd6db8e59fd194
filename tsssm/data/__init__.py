"""Data: ragged panels, and the batches cut from them."""

from tsssm.data.batch import Batch, Question, Source
from tsssm.data.encoders import Differences, RotationEncoder
from tsssm.data.panel import Panel, as_panel
from tsssm.data.scaling import Scaling, StaticEncoder
from tsssm.data.tasks import HideLast, HidePoints, Task

__all__ = [
    "Batch",
    "Differences",
    "HideLast",
    "HidePoints",
    "Panel",
    "Question",
    "RotationEncoder",
    "Scaling",
    "Source",
    "StaticEncoder",
    "Task",
    "as_panel",
]
