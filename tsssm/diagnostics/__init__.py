"""What fitted layers do to what passes through them."""

from tsssm.diagnostics.forms import DynamicalForm, attention_form, dynamical_form
from tsssm.diagnostics.noise import noise_stability
from tsssm.diagnostics.scales import time_scales
from tsssm.diagnostics.state_paths import StatePaths, state_paths
from tsssm.diagnostics.systems import (
    LinearSystem,
    frequency_response,
    impulse_response,
    linear_system,
    memory_length,
)
from tsssm.diagnostics.tokens import TokenDynamics, token_dynamics

__all__ = [
    "DynamicalForm",
    "LinearSystem",
    "StatePaths",
    "TokenDynamics",
    "attention_form",
    "dynamical_form",
    "frequency_response",
    "impulse_response",
    "linear_system",
    "memory_length",
    "noise_stability",
    "state_paths",
    "time_scales",
    "token_dynamics",
]
