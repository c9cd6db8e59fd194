"""Numerics: matrices and fields, rules that cross a gap, and `evolve`, which runs them along a grid."""

from tsssm.dynamics.convolution import convolve, impulse_response
from tsssm.dynamics.discretization import (
    BackwardEuler,
    Bilinear,
    Dirac,
    Discretization,
    ExponentialEuler,
    ExponentialTrapezoid,
    FirstOrderHold,
    ForwardEuler,
    GeneralizedBilinear,
    LeftHold,
    LinearDiscretization,
    Step,
    ZeroOrderHold,
)
from tsssm.dynamics.evolve import evolve, evolve_loop, evolve_scan
from tsssm.dynamics.fields import Field, StochasticField
from tsssm.dynamics.matrices import DPLR, Dense, Diagonal, Paired, StateMatrix
from tsssm.dynamics.rows import State
from tsssm.dynamics.scan import associative_scan, chunked_scan, scan, sequential_scan
from tsssm.dynamics.selective import evolve_selective, selective_loop

__all__ = [
    "DPLR",
    "BackwardEuler",
    "Bilinear",
    "Dense",
    "Diagonal",
    "Dirac",
    "Discretization",
    "ExponentialEuler",
    "ExponentialTrapezoid",
    "Field",
    "FirstOrderHold",
    "ForwardEuler",
    "GeneralizedBilinear",
    "LeftHold",
    "LinearDiscretization",
    "Paired",
    "State",
    "StateMatrix",
    "Step",
    "StochasticField",
    "ZeroOrderHold",
    "associative_scan",
    "chunked_scan",
    "convolve",
    "evolve",
    "evolve_loop",
    "evolve_scan",
    "evolve_selective",
    "impulse_response",
    "scan",
    "selective_loop",
    "sequential_scan",
]
