"""Pictures of stochastic layers show their paths, noise and drift."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.conformance.estimators import ragged
from tsssm import LatentSDEForecaster
from tsssm.diagnostics import state_paths
from tsssm.plots import plot_paths


@pytest.fixture(scope="module")
def model() -> LatentSDEForecaster:
    return LatentSDEForecaster(2, d_state=3, width=8, epochs=1, folds=0, random_state=0).fit(ragged(8))


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_paths_noise_and_field_are_those_of_the_model(model):
    panel = ragged(8)
    paths, noise, field = plot_paths(model, panel, series=1, states=(0, 2), n=5)
    found = state_paths(model, panel, 1, 5)
    # five paths and their mean for each of the two states
    assert len(paths.lines) == 12
    np.testing.assert_allclose(paths.lines[3].get_ydata(), found.states[3, :, 0])
    np.testing.assert_allclose(paths.lines[11].get_ydata(), found.states[..., 2].mean(0))
    np.testing.assert_allclose(noise.lines[1].get_ydata(), found.noise[:, 2])
    arrows = field.collections[0]
    x = np.repeat(found.states[:, -1].mean(0)[None], arrows.N, 0)
    x[:, [0, 2]] = arrows.get_offsets()
    np.testing.assert_allclose(arrows.U, found.drift(x)[:, 0])
    np.testing.assert_allclose(arrows.V, found.drift(x)[:, 2])


def test_one_state_has_a_curve_and_axes_may_be_given(model):
    axes = Figure().subplots(3)
    drawn = plot_paths(model, ragged(8), states=(1,), axes=axes)
    assert all(one is other for one, other in zip(drawn, axes, strict=True))
    assert drawn[2].get_ylabel() == "drift" and len(drawn[2].lines) == 2


@pytest.mark.parametrize("states", [(), (0, 3), (-1,)])
def test_states_that_are_not_there_are_refused(model, states):
    with pytest.raises(ValueError, match="`states` must be numbers from 0 to 2"):
        plot_paths(model, ragged(8), states=states)
