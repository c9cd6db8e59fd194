"""Models: what is trained."""

from tsssm.models.base import Model
from tsssm.models.embed import Embed, FullRows, PartialRows
from tsssm.models.latent_sde import LatentSDE
from tsssm.models.relative import Ahead, Between
from tsssm.models.sequence import SequenceModel
from tsssm.models.structural import Structural

__all__ = ["Ahead", "Between", "Embed", "FullRows", "LatentSDE", "Model", "PartialRows", "SequenceModel", "Structural"]
