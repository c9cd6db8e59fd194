"""Layers by short name, class and recipe, and their arguments in a search."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from tests.conformance.estimators import QUICK, ragged
from tsssm import Panel, Recipe, SSMClassifier, SSMSequenceRegressor
from tsssm.estimators.recipes import as_recipe, short_names
from tsssm.layers import (
    GRU,
    LRU,
    LSSL,
    S4,
    S4D,
    S5,
    BoundedSDE,
    GeometricSDE,
    HiSS,
    LangevinSDE,
    LinearGaussian,
    LinearNoiseSDE,
    NaiveSDE,
    NeuralCDE,
    NeuralODE,
    Selective,
    Stack,
)

LABELS = ["a", "b"] * 12


def test_short_names_cover_the_public_layers():
    assert short_names() == {
        "boundedsde": BoundedSDE,
        "geometricsde": GeometricSDE,
        "gru": GRU,
        "langevinsde": LangevinSDE,
        "lineargaussian": LinearGaussian,
        "linearnoisesde": LinearNoiseSDE,
        "lru": LRU,
        "lssl": LSSL,
        "naivesde": NaiveSDE,
        "neuralcde": NeuralCDE,
        "neuralode": NeuralODE,
        "s4": S4,
        "s4d": S4D,
        "s5": S5,
        "selective": Selective,
    }


@pytest.mark.parametrize("layer", ["S5", S5, Recipe(S5)])
def test_three_ways_to_say_the_same(layer):
    assert as_recipe(layer) == Recipe(S5)


@pytest.mark.parametrize("name", ["s4d-legs", "s4d-lin", "s4d-inv", "dss"])
def test_presets_are_recipes_of_their_own(name: str):
    assert as_recipe(name).kind is S4D
    as_recipe(name).set_params(d_state=2)
    assert as_recipe(name).get_params()["d_state"] == 32


def test_dss_starts_from_hippo():
    assert as_recipe("DSS") == as_recipe("s4d-legs") == Recipe(S4D, init="legs")


@pytest.mark.parametrize("layer", ["s4", "lssl", "lru", "dss"])
def test_an_estimator_takes_the_name(layer: str):
    est = SSMClassifier(layer=layer, **{**QUICK, "epochs": 1}).fit(ragged(), LABELS)
    assert est.predict(ragged()).shape == (len(LABELS),)


@pytest.mark.parametrize("layer", ["mamba", "stack"])
def test_unknown_name(layer):
    with pytest.raises(ValueError, match="'s5'.*came.*Check the spelling"):
        as_recipe(layer)


def test_what_is_no_layer():
    with pytest.raises(TypeError, match="Layer class"):
        as_recipe(dict)


def test_unknown_argument():
    with pytest.raises(TypeError, match="d_states"):
        Recipe(S5, d_states=3)


def test_recipe_builds_with_its_arguments():
    assert Recipe(S5, d_state=16).build(8).d_state == 16
    assert Recipe(Stack, layer=Recipe(GRU), depth=3).build(8).blocks[2].layer.cell.hidden_size == 8


@pytest.mark.parametrize("layer", ["s5", S5, Recipe(S5, blocks=2)])
def test_nested_parameters(layer):
    est = SSMClassifier(layer=layer)
    assert est.get_params()["layer__d_state"] == 64
    est.set_params(layer__d_state=16)
    assert est.layer.build(4).d_state == 16
    assert est.get_params()["layer__d_state"] == 16
    assert clone(est).layer == est.layer


def test_setting_an_argument_does_not_change_a_shared_recipe():
    recipe = Recipe(S5, d_state=32)
    SSMClassifier(layer=recipe).set_params(layer__d_state=16)
    assert recipe.arguments == {"d_state": 32}


def test_unknown_nested_parameter():
    with pytest.raises(TypeError, match="d_states"):
        SSMClassifier().set_params(layer__d_states=16)


def test_layer_and_argument_set_together():
    est = SSMClassifier().set_params(layer__d_state=8, layer=S4D)
    assert est.layer == Recipe(S4D, d_state=8)


def test_searched():
    settings = {**QUICK, "epochs": 1}
    search = GridSearchCV(SSMClassifier(**settings), {"layer__d_state": [8, 16]}, cv=2).fit(ragged(), LABELS)
    assert search.best_estimator_.models_[0].layer.blocks[0].layer.d_state in (8, 16)


def test_windows_of_a_hierarchy_are_durations_of_the_users_clock():
    stamps = pd.Timestamp("2024-05-01") + pd.to_timedelta(np.arange(60) * 20, unit="ms")
    values = np.random.default_rng(0).normal(size=(4, 60, 1))
    levels = [("100ms", S4D), (None, S5)]
    model = SSMSequenceRegressor(layer=Recipe(HiSS, levels=levels), depth=1, epochs=1, random_state=0)
    panel = Panel.from_array(values, times=stamps)
    model.fit(panel, values[..., 0])
    assert model.models_[0].layer.blocks[0].layer.chunk == pytest.approx(5)
    assert model.layer.arguments["levels"] == levels
    stream = model.stream().update(stamps[:33], values[0, :33])
    assert stream.predict() == pytest.approx(model.predict(panel[:1]).values[32], abs=1e-6)


def test_a_window_that_is_no_duration_of_the_clock_is_refused():
    stamps = pd.Timestamp("2024-05-01") + pd.to_timedelta(np.arange(60) * 20, unit="ms")
    panel = Panel.from_array(np.zeros((4, 60, 1)), times=stamps)
    model = SSMSequenceRegressor(layer=Recipe(HiSS, levels=[(0.1, S4D), (None, S5)]), epochs=1)
    with pytest.raises(ValueError, match="duration"):
        model.fit(panel, np.zeros((4, 60)))
