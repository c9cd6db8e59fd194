"""Training: the one loop that fits every model."""

from tsssm.training.loop import History, Training

__all__ = ["History", "Training"]
