"""Diagnostics of stochastic layers: tables beside closed forms, and paths that are those of the fitted model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch import nn

from tests.conformance.estimators import ragged
from tsssm import LatentSDEForecaster, Panel, Recipe, SSMClassifier, SSMForecaster
from tsssm.diagnostics import noise_stability, state_paths, time_scales
from tsssm.grid import Grid
from tsssm.layers import S5, GeometricSDE, LangevinSDE, LinearNoiseSDE, NeuralODE

KINDS = (LangevinSDE, LinearNoiseSDE, GeometricSDE)
QUICK = {"d_model": 8, "depth": 1, "epochs": 1, "random_state": 0}


def constant(layer: nn.Module, force: float) -> nn.Module:
    """The layer with a drift that does not change."""
    nn.init.zeros_(layer.drift.layers[-1].weight)
    nn.init.constant_(layer.drift.layers[-1].bias, force)
    nn.init.zeros_(layer.size.out.weight)
    return layer.eval()


@pytest.mark.parametrize(("kind", "force"), [(LangevinSDE, 0.0), (GeometricSDE, 0.0), (LinearNoiseSDE, 0.5)])
def test_the_spread_is_that_of_settled_paths(kind, force: float):
    torch.manual_seed(0)
    layer = constant(kind(2, d_state=2, timescale=(0.3, 0.6), noise=0.3, paths=1500), force)
    grid = Grid.from_gaps(torch.full((1, 150), 0.1))
    x = torch.zeros(1, 150, 2)
    with torch.no_grad():
        layer.start.weight.zero_()
        settled = layer(x, grid)[1].x[0]
    spread = settled.std(0) / (settled.mean(0) if force else 1.0)
    # by chance off by 2 %
    np.testing.assert_allclose(noise_stability(layer)["spread"], spread, rtol=0.1)


def test_second_moments_fall_at_the_rate_of_the_margin():
    layer = constant(LinearNoiseSDE(2, d_state=3, noise=0.6), 0.0)
    table, gap, nodes = noise_stability(layer), 0.7, np.polynomial.hermite_e.hermegauss(60)
    noise, weights = torch.from_numpy(nodes[0]).view(-1, 1).float(), nodes[1] / nodes[1].sum()
    carry = layer.affine(torch.full((1, 1), gap), torch.zeros(1, 1), noise).carry.detach().numpy()
    left = -np.log(weights @ carry**2) / (2 * gap)
    np.testing.assert_allclose(left, table["margin"] / table["decay"], rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_tables_are_in_the_users_unit(kind):
    layer = kind(3, d_state=4)
    here, there = noise_stability(layer), noise_stability(layer, time_scale=60.0)
    np.testing.assert_allclose(there["decay"], 60 * here["decay"])
    np.testing.assert_allclose(there["noise"], here["noise"] / 60**0.5)
    pd.testing.assert_frame_equal(there[["spread", "margin"]], here[["spread", "margin"]])
    np.testing.assert_allclose(time_scales(layer, 60.0)["decay"], there["decay"], rtol=1e-6)


def test_layers_without_noise_have_no_rows():
    assert len(noise_stability(S5(3))) == 0 and len(time_scales(NeuralODE(3, d_state=5))) == 5
    with pytest.raises(NotFittedError):
        noise_stability(LatentSDEForecaster())


@pytest.mark.parametrize("kind", KINDS)
def test_paths_of_a_layer_are_those_of_the_answer(kind):
    panel = ragged(8)
    recipe = Recipe(kind, d_state=3, width=5, paths=8)
    model = SSMClassifier(layer=recipe, **QUICK).fit(panel, np.arange(8) % 2)
    found = state_paths(model, panel, series=2, n=8)
    times = panel[2].times
    np.testing.assert_allclose(found.times, times, atol=1e-5)
    assert found.states.shape == (8, len(times), 3) and found.noise.shape == (len(times), 3)
    assert found.layer == "models_.0.layer.blocks.0.layer"
    heard = []
    layer = model.models_[0].get_submodule(found.layer.removeprefix("models_.0."))
    hook = layer.register_forward_hook(lambda module, given, out: heard.append(out[1].x[0]))
    model.predict(panel[[2]])
    hook.remove()
    np.testing.assert_allclose(found.states[:, -1], heard[0].numpy(), rtol=1e-6)
    rate = found.drift(found.states[:, -1])
    assert rate.shape == (8, 3) and np.isfinite(rate).all()


def test_a_forecasts_paths_go_on_beyond_what_is_shown():
    panel = ragged(8)
    model = SSMForecaster(3, layer=Recipe(LangevinSDE, d_state=3), **QUICK).fit(panel)
    found = state_paths(model, panel, series=1, n=4)
    assert (found.times > panel[1].times[-1] + 1e-6).sum() == 3
    assert (np.diff(found.times) > 0).all()


def test_paths_of_a_latent_sde_spread_as_its_guess():
    panel = ragged(8)
    model = LatentSDEForecaster(2, d_state=2, width=8, epochs=1, folds=0, random_state=0).fit(panel)
    found = state_paths(model, panel, series=0, n=4000)
    shown = np.isfinite(panel[0].values).any(1)
    np.testing.assert_allclose(found.times, panel[0].times[shown], atol=1e-4)
    a = model.model_.decay.detach().numpy() / model.time_scale_
    x = np.zeros((1, 2))
    slope = (found.drift(x + [[1e-4, 0]]) - found.drift(x))[0, 0] / 1e-4
    assert slope == pytest.approx(-a[0], abs=0.2)
    assert len(noise_stability(model)) == 2


def test_what_has_no_noise_is_refused_in_words():
    panel = ragged(8)
    model = SSMClassifier(layer="gru", **QUICK).fit(panel, np.arange(8) % 2)
    with pytest.raises(ValueError, match="stochastic layer.*SSMClassifier has none.*LangevinSDE"):
        state_paths(model, panel)
    empty = Panel.from_series([(np.array([0.0, 1.0]), np.full((2, 2), np.nan))])
    latent = LatentSDEForecaster(2, d_state=2, width=8, epochs=1, folds=0).fit(panel)
    with pytest.raises(ValueError, match="must show something"):
        state_paths(latent, empty)
