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
from tsssm.dynamics.kalman import Belief, Filtered, GaussianSystem, kalman_filter, smooth
from tsssm.dynamics.matrices import DPLR, Dense, Diagonal, Paired, StateMatrix
from tsssm.dynamics.noise import process_noise, stationary_covariance
from tsssm.dynamics.rows import State
from tsssm.dynamics.scan import associative_scan, chunked_scan, scan, sequential_scan
from tsssm.dynamics.selective import evolve_selective, selective_loop

__all__ = [
    "DPLR",
    "BackwardEuler",
    "Belief",
    "Bilinear",
    "Dense",
    "Diagonal",
    "Dirac",
    "Discretization",
    "ExponentialEuler",
    "ExponentialTrapezoid",
    "Field",
    "Filtered",
    "FirstOrderHold",
    "ForwardEuler",
    "GaussianSystem",
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
    "kalman_filter",
    "process_noise",
    "scan",
    "selective_loop",
    "sequential_scan",
    "smooth",
    "stationary_covariance",
]
