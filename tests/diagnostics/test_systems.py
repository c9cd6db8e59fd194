"""Linear layers as systems: scipy's signals, closed forms, the layer's own runs, and units that cannot matter."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import signal
from scipy.integrate import quad
from sklearn.exceptions import NotFittedError

from tests.conformance.kinds import small_layer
from tsssm import Panel, SSMForecaster
from tsssm.diagnostics import (
    LinearSystem,
    frequency_response,
    impulse_response,
    linear_system,
    memory_length,
    time_scales,
)
from tsssm.dynamics import Dense, Diagonal
from tsssm.grid import Grid
from tsssm.layers import GRU, LRU, LSSL, S4, S4D, S5, LinearGaussian, Recipe, Selective, Stack

LINEAR = (S5, S4D, S4, LSSL)
every_linear = pytest.mark.parametrize("kind", LINEAR, ids=lambda kind: kind.__name__)
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def scipy_system(system: LinearSystem, output: int, input: int) -> signal.StateSpace:
    """One output and one input as a real system of scipy."""
    apart = len(system.B) > 1
    k, i, j = (output, 0, 0) if apart else (0, output, input)
    A, B, C = system.A.dense()[k].numpy(), system.B[k, :, [j]].numpy(), system.C[k, [i]].numpy()
    if np.iscomplexobj(A):
        A = np.block([[A.real, -A.imag], [A.imag, A.real]])
        B, C = np.vstack([B.real, B.imag]), np.hstack([C.real, -C.imag])
    # one more than D: where the first coefficient of its fraction is 0, scipy warns
    return signal.StateSpace(A, B, C, [[1.0 + float(system.D[output]) * (output == input)]])


@every_linear
@pytest.mark.parametrize(("output", "input"), [(0, 0), (1, 2)])
def test_responses_are_those_of_scipy(kind, output, input):
    system = linear_system(small_layer(kind), time_scale=2.5)
    input = output if kind is not S5 else input
    truth = scipy_system(system, output, input)
    times = np.linspace(0, 20, 41)
    ours = impulse_response(system, torch.tensor(times))[:, output, input]
    np.testing.assert_allclose(ours, signal.impulse(truth, T=times)[1], **EXACT)
    frequencies = np.geomspace(1e-3, 10, 30)
    answer = frequency_response(system, torch.tensor(frequencies))[:, output, input].numpy()
    np.testing.assert_allclose(answer + 1, signal.freqresp(truth, 2 * np.pi * frequencies)[1], **EXACT)
    apart = (impulse_response(system, torch.tensor(times))[:, 0, 1] == 0).all()
    assert bool(apart) == (kind is not S5)


@every_linear
def test_the_integral_of_the_impulse_response_is_the_answer_to_a_step(kind):
    # which ties the system to what the layer itself does on a grid
    layer = small_layer(kind)
    system = linear_system(layer)
    x = torch.zeros(1, 6000, 3, dtype=torch.float64)
    x[..., 1] = 1.0
    with torch.no_grad():
        y, _ = layer(x, Grid.regular(1, 6000, 0.5, dtype=torch.float64))
    still = frequency_response(system, torch.zeros(1))[0, :, 1]
    torch.testing.assert_close(y[0, -1], still.real, rtol=1e-8, atol=1e-8)


@every_linear
def test_units_cannot_matter(kind):
    layer = small_layer(kind)
    own, hours = linear_system(layer), linear_system(layer, 3600.0)
    times, frequencies = torch.linspace(0, 9, 10).double(), torch.linspace(0.01, 1, 10).double()
    torch.testing.assert_close(impulse_response(hours, 3600 * times) * 3600, impulse_response(own, times))
    torch.testing.assert_close(frequency_response(hours, frequencies / 3600), frequency_response(own, frequencies))
    torch.testing.assert_close(memory_length(hours) / 3600, memory_length(own))


@pytest.mark.parametrize("share", [0.5, 0.99])
@pytest.mark.parametrize("wrap", [Diagonal, lambda rates: Dense(torch.diag_embed(rates))], ids=["diagonal", "dense"])
def test_memory_of_one_mode(share, wrap):
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    system = LinearSystem(wrap(-0.3 * one[0]), 5 * one, -2 * one, one[0, 0])
    np.testing.assert_allclose(memory_length(system, share), -np.log(1 - share) / 0.6, rtol=1e-12)


@every_linear
def test_memory_holds_the_share_of_the_energy(kind):
    system = linear_system(small_layer(kind))

    def power(t):
        return float(impulse_response(system, torch.tensor([t]))[0, 1].square().sum())

    (t,) = memory_length(system, 0.8)[1:2].tolist()
    inside, _ = quad(power, 0, t, limit=300)
    outside = sum(quad(power, a * t, 10 * a * t, limit=300)[0] for a in (1, 10, 100, 1000))
    assert inside / (inside + outside) == pytest.approx(0.8, abs=1e-5)


def test_memory_of_modes_that_are_next_to_parallel():
    torch.manual_seed(0)
    system = linear_system(S4(1, d_state=32, timescale=(0.1, 0.2)))
    times = torch.logspace(-5, 2.5, 1500, dtype=torch.float64)
    energy = impulse_response(system, times).flatten().square()
    energy = ((energy[1:] + energy[:-1]) * times.diff()).cumsum(0)
    truth = times[1:][energy > 0.9 * energy[-1]][0]
    assert float(memory_length(system, 0.9)) == pytest.approx(float(truth), rel=0.03)


def test_what_has_no_memory_and_what_has_no_end():
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    assert memory_length(LinearSystem(Diagonal(-one[0]), one, 0 * one, one[0, 0])).tolist() == [0.0]
    with pytest.raises(ValueError, match="must be stable"):
        memory_length(LinearSystem(Diagonal(0 * one[0]), one, one, one[0, 0]))
    with pytest.raises(ValueError, match="share=1"):
        memory_length(LinearSystem(Diagonal(-one[0]), one, one, one[0, 0]), share=1)


def test_what_is_no_fixed_system():
    with pytest.raises(TypeError, match="a GRU came"):
        linear_system(GRU(3))


@pytest.mark.parametrize("kind", [*LINEAR, LRU, LinearGaussian, Selective], ids=lambda kind: kind.__name__)
def test_modes_are_the_eigenvalues(kind):
    layer = small_layer(kind)
    table = time_scales(layer, time_scale=60.0)
    assert set(table["kind"]) == {kind.__name__}
    assert bool((table["decay"] > 0).all()) and bool((table["period"] > 0).all())
    if kind in LINEAR:
        A = linear_system(layer, 60.0).A.dense()
        for k, part in enumerate(A):
            rows = table if table["feature"].isna().all() else table[table["feature"] == k]
            rates = -1 / rows["decay"].to_numpy() + 2j * np.pi / rows["period"].to_numpy()
            truth = np.linalg.eigvals(part.numpy())
            for rate in rates:
                assert np.abs(truth - rate).min() < 1e-9


def test_modes_of_a_stack_and_of_a_layer_without_any():
    stack = Stack(4, Recipe(S5, d_state=8, blocks=1), depth=2)
    assert time_scales(stack)["layer"].unique().tolist() == ["blocks.0.layer", "blocks.1.layer"]
    assert len(time_scales(GRU(3))) == 0 and time_scales(GRU(3)).attrs["unit"] == ""


def waves(times) -> Panel:
    rng = np.random.default_rng(0)
    frames = [pd.DataFrame({"id": i, "t": times, "x": rng.normal(size=len(times))}) for i in range(6)]
    return Panel.from_frame(pd.concat(frames), id="id", time="t")


def test_an_estimator_answers_in_the_users_unit():
    args = {"horizon": 1, "layer": Recipe(S5, d_state=8), "d_model": 4, "depth": 1, "epochs": 1, "random_state": 0}
    steps = np.arange(30.0)
    plain = time_scales(SSMForecaster(**args).fit(waves(2 * steps)))
    stamped = time_scales(SSMForecaster(**args).fit(waves(pd.Timedelta("2h") * pd.Series(steps))))
    assert plain.attrs["unit"] == "" and stamped.attrs["unit"] == "hours"
    assert plain["layer"].iloc[0].startswith("models_.0.")
    np.testing.assert_allclose(plain["decay"], stamped["decay"], rtol=1e-5)


def test_an_estimator_that_is_not_fitted():
    with pytest.raises(NotFittedError):
        time_scales(SSMForecaster(horizon=1))
