"""Network fields: what they compute, written out, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from tsssm.dynamics import Field, StochasticField
from tsssm.dynamics.mlp_fields import MLPField, NoisyMLP

DOUBLE = {"dtype": torch.float64}


@pytest.mark.parametrize("activation", ["tanh", "silu", "relu"])
def test_drift_is_the_network_of_state_input_and_clock(activation: str) -> None:
    field = MLPField(2, d_input=3, width=5, activation=activation, clock=True).double()
    t, x, u = torch.rand(4, **DOUBLE), torch.randn(4, 2, **DOUBLE), torch.randn(4, 3, **DOUBLE)
    a = {"tanh": torch.tanh, "silu": lambda z: z * torch.sigmoid(z), "relu": lambda z: z.clamp_min(0)}[activation]
    first, last = field.layers
    seen = torch.cat([x, u, torch.sin(t)[:, None], torch.cos(t)[:, None]], 1)
    expected = a(seen @ first.weight.T + first.bias) @ last.weight.T + last.bias
    torch.testing.assert_close(field(t, x, u), expected, rtol=1e-14, atol=1e-14)


def test_depth_zero_is_linear() -> None:
    field = MLPField(3, depth=0)
    x = torch.randn(5, 3)
    torch.testing.assert_close(field(torch.zeros(5), x, None), x @ field.layers[0].weight.T + field.layers[0].bias)


def test_kinds_say_what_noise_they_have() -> None:
    drift = MLPField(2)
    assert isinstance(drift, Field) and not isinstance(drift, StochasticField)
    assert NoisyMLP(drift).noise == "additive" and NoisyMLP(drift, "linear").noise == "diagonal"
    assert NoisyMLP(drift).calculus == "ito"


@pytest.mark.parametrize("clock", [False, True])
def test_noise_starts_at_its_size_and_is_learned(clock: bool) -> None:
    t, x = torch.linspace(0, 1, 4), torch.randn(4, 2)
    additive = NoisyMLP(MLPField(2), size=0.3, clock=clock).diffusion(t, x, None)
    linear = NoisyMLP(MLPField(2), "linear", size=0.3, clock=clock).diffusion(t, x, None)
    torch.testing.assert_close(additive, torch.full((4, 2), 0.3))
    torch.testing.assert_close(linear, 0.3 * x)
    assert additive.requires_grad and linear.requires_grad


def test_noise_with_a_clock_changes_in_time_only() -> None:
    torch.manual_seed(0)
    field = NoisyMLP(MLPField(2), clock=True)
    torch.nn.init.normal_(field.level[2].weight)
    t, x = torch.tensor([0.0, 0.0, 1.0]), torch.randn(3, 2)
    g = field.diffusion(t, x, None)
    torch.testing.assert_close(g[0], g[1])
    assert (g[0] - g[2]).abs().min() > 1e-3 and (g > 0).all()


@pytest.mark.parametrize(
    "arguments", [{"d_state": 0}, {"width": 0}, {"depth": -1}, {"d_input": -1}, {"activation": "gelu"}]
)
def test_wrong_arguments_of_the_network_are_named(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        MLPField(**{"d_state": 2} | arguments)


@pytest.mark.parametrize("arguments", [{"form": "general"}, {"size": 0.0}])
def test_wrong_arguments_of_the_noise_are_named(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        NoisyMLP(MLPField(2), **arguments)


def test_missing_input_is_named() -> None:
    with pytest.raises(ValueError, match="`u`"):
        MLPField(2, d_input=1)(torch.zeros(3), torch.zeros(3, 2), None)
