"""Models: what is trained."""

from tsssm.models.base import Model
from tsssm.models.embed import Embed
from tsssm.models.sequence import SequenceModel

__all__ = ["Embed", "Model", "SequenceModel"]
