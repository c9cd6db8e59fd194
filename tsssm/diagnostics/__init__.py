"""What fitted layers do to what passes through them."""

from tsssm.diagnostics.forms import DynamicalForm, attention_form, dynamical_form
from tsssm.diagnostics.scales import time_scales
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
    "TokenDynamics",
    "attention_form",
    "dynamical_form",
    "frequency_response",
    "impulse_response",
    "linear_system",
    "memory_length",
    "time_scales",
    "token_dynamics",
]
