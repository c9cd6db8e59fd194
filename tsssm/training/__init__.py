"""Training: the one loop that fits every model."""

from tsssm.training.loop import INTERRUPTED, History, Training

__all__ = ["INTERRUPTED", "History", "Training"]
