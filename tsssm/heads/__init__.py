"""Heads: from features to a loss and to named outputs."""

from tsssm.heads.base import Head
from tsssm.heads.label import Label
from tsssm.heads.pooling import Pooling

__all__ = ["Head", "Label", "Pooling"]
