"""Layers: one architecture a file, each of them dynamics on a grid."""

from tsssm.layers.base import Layer, Recipe
from tsssm.layers.beside import Beside
from tsssm.layers.bidirectional import Bidirectional
from tsssm.layers.bounded_sde import BoundedSDE
from tsssm.layers.gru import GRU
from tsssm.layers.hiss import HiSS
from tsssm.layers.linear_gaussian import LinearGaussian
from tsssm.layers.lru import LRU
from tsssm.layers.lssl import LSSL
from tsssm.layers.naive_sde import NaiveSDE
from tsssm.layers.neural_cde import NeuralCDE
from tsssm.layers.neural_ode import NeuralODE
from tsssm.layers.neural_sde import GeometricSDE, LangevinSDE, LinearNoiseSDE
from tsssm.layers.s4 import S4
from tsssm.layers.s4d import S4D
from tsssm.layers.s5 import S5
from tsssm.layers.selective import Selective
from tsssm.layers.stack import Stack

__all__ = [
    "GRU",
    "LRU",
    "LSSL",
    "S4",
    "S4D",
    "S5",
    "Beside",
    "Bidirectional",
    "BoundedSDE",
    "GeometricSDE",
    "HiSS",
    "LangevinSDE",
    "Layer",
    "LinearGaussian",
    "LinearNoiseSDE",
    "NaiveSDE",
    "NeuralCDE",
    "NeuralODE",
    "Recipe",
    "Selective",
    "Stack",
]
