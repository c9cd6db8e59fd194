"""State matrices: the linear part of x' = A x + v, in the structures the family uses."""

from __future__ import annotations

from tsssm.dynamics.dense import Dense
from tsssm.dynamics.diagonal import Diagonal, scaled_identity
from tsssm.dynamics.dplr import DPLR
from tsssm.dynamics.paired import Paired
from tsssm.dynamics.state_matrix import StateMatrix

__all__ = ["DPLR", "Dense", "Diagonal", "Paired", "StateMatrix", "scaled_identity"]
