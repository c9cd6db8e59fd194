"""Pictures of systems show what the diagnostics say."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy import signal

from tsssm.diagnostics import LinearSystem, linear_system
from tsssm.dynamics import Dense, Diagonal
from tsssm.layers import S4D, S5, Recipe, Selective, Stack
from tsssm.plots import plot_bode, plot_impulse_response, plot_poles


@pytest.fixture(autouse=True)
def close():
    torch.manual_seed(0)
    yield
    plt.close("all")


def one_mode(wrap=Diagonal) -> LinearSystem:
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    return LinearSystem(wrap(-0.5 * one[0] if wrap is Diagonal else -0.5 * one), one, one, 0 * one[0, 0])


def test_poles_in_the_users_unit():
    stack = Stack(4, Recipe(S5, d_state=8, blocks=1), depth=2)
    ax = plot_poles(stack, time_scale=60.0)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["blocks.0.layer", "blocks.1.layer"]
    assert ax.get_xlabel() == "decay" and ax.get_xscale() == "log"
    own = Figure().subplots()
    assert plot_poles(stack, ax=own) is own
    np.testing.assert_allclose(60 * own.lines[0].get_xdata(), ax.lines[0].get_xdata())


def test_modes_that_do_not_swing():
    ax = plot_poles(Selective(3, 2))
    assert [text.get_text() for text in ax.texts] == ["no swing "]


def test_impulse_response_and_its_memory():
    ax = plot_impulse_response(one_mode(), unit="hours")
    line = ax.lines[1]
    np.testing.assert_allclose(line.get_ydata(), np.exp(-0.5 * line.get_xdata()), rtol=1e-9)
    assert ax.get_xlabel() == "time [hours]"
    assert ax.patches[0].get_width() == pytest.approx(np.log(100))


@pytest.mark.parametrize("wrap", [Diagonal, Dense])
def test_bode_is_that_of_scipy(wrap):
    gain, phase = plot_bode(one_mode(wrap), unit="hours", gap=0.5)
    frequencies = gain.lines[0].get_xdata()
    truth = signal.bode(signal.TransferFunction([1.0], [1.0, 0.5]), 2 * np.pi * frequencies)
    np.testing.assert_allclose(gain.lines[0].get_ydata(), truth[1], rtol=1e-9)
    np.testing.assert_allclose(phase.lines[0].get_ydata(), truth[2], rtol=1e-9)
    assert phase.get_xlabel() == "frequency [1/hours]"


@pytest.mark.parametrize("kind", [S5, S4D], ids=lambda kind: kind.__name__)
def test_layers_of_many_features(kind):
    system = linear_system(kind(3, d_state=8))
    assert len(plot_bode(system, 2, 2, axes=Figure().subplots(2))) == 2
    line = plot_impulse_response(system, 1, 2).lines[1].get_ydata()
    assert np.any(line != 0) == (kind is S5)
