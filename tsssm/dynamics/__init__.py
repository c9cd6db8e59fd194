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
from tsssm.dynamics.paths import ControlPath, Hermite, Hold, Interpolation, Linear, check_causal
from tsssm.dynamics.rows import State
from tsssm.dynamics.scan import associative_scan, chunked_scan, scan, sequential_scan
from tsssm.dynamics.selective import evolve_selective, selective_loop
from tsssm.dynamics.splines import NaturalCubic, Rectilinear
from tsssm.dynamics.stochastic_fields import GeometricField, LinearSDE, SemilinearField, as_ito, as_stratonovich

__all__ = [
    "DPLR",
    "BackwardEuler",
    "Belief",
    "Bilinear",
    "ControlPath",
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
    "GeometricField",
    "Hermite",
    "Hold",
    "Interpolation",
    "LeftHold",
    "Linear",
    "LinearDiscretization",
    "LinearSDE",
    "NaturalCubic",
    "Paired",
    "Rectilinear",
    "SemilinearField",
    "State",
    "StateMatrix",
    "Step",
    "StochasticField",
    "ZeroOrderHold",
    "as_ito",
    "as_stratonovich",
    "associative_scan",
    "check_causal",
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
