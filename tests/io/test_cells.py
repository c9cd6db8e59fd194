"""The plain graph of each layer, run row by row, says what the estimator says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.io.series import labels, ragged, spread, static_numbers
from tsssm import Recipe, SSMClassifier, SSMRegressor, SSMSequenceRegressor
from tsssm.dynamics import BackwardEuler, ExponentialEuler, GeneralizedBilinear
from tsssm.io.modes import expm1, growth
from tsssm.io.network import Network, Step
from tsssm.layers import GRU, LRU, S4D, S5, Selective

SMALL = {"d_model": 4, "members": 2, "epochs": 1, "random_state": 0}
FAST = {"timescale": (0.2, 1.0)}
RECIPES = [
    Recipe(S5, d_state=8, blocks=1, **FAST),
    Recipe(S5, d_state=8, blocks=1, rule=ExponentialEuler(), **FAST),
    Recipe(S5, d_state=8, blocks=1, rule=GeneralizedBilinear(0.5), **FAST),
    Recipe(S4D, d_state=4, **FAST),
    Recipe(S4D, d_state=4, init="real", rule=ExponentialEuler(), **FAST),
    Recipe(S4D, d_state=4, rule=BackwardEuler(), **FAST),
    Recipe(LRU, d_state=8),
    Recipe(GRU),
    Recipe(Selective, d_state=3, **FAST),
    Recipe(Selective, d_state=3, gaps="gate", positive=True, **FAST),
    Recipe(Selective, d_state=3, rule=ExponentialEuler(), **FAST),
    Recipe(Selective, d_state=3, rule=BackwardEuler(), **FAST),
]


def walked(model, panel, static=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Answers after each row, (rows, b, ...), of the plain graph, and the last state."""
    network = Network(model)
    step, (times, values) = Step(network), map(torch.from_numpy, spread(panel))
    state, answers = torch.zeros(len(panel), network.state_size, dtype=torch.float64), []
    with torch.no_grad():
        for k in range(times.shape[1]):
            answer, state = step(times[:, k], values[:, k], state, static)
            answers.append(answer)
    return torch.stack(answers), state


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("recipe", RECIPES, ids=repr)
def test_rows_one_by_one_say_what_the_classifier_says(recipe, depth):
    panel = ragged(12)
    model = SSMClassifier(layer=recipe, depth=depth, features=False, **SMALL).fit(panel, labels(12))
    answers, _ = walked(model, panel)
    assert answers[-1].numpy() == pytest.approx(model.predict_proba(panel), abs=1e-5)


def test_rows_observed_as_a_whole_and_a_channel_never_seen():
    panel = ragged(12, missing=0.0)
    values = panel.values.copy()
    values[:, 1] = np.nan
    for train in (panel, panel.with_values(values)):
        model = SSMClassifier(features=False, **SMALL).fit(train, labels(12))
        answers, _ = walked(model, panel)
        assert answers[-1].numpy() == pytest.approx(model.predict_proba(panel), abs=1e-5)


def test_statics_enter_as_numbers_and_places_of_categories():
    panel = ragged(12, static=True)
    model = SSMRegressor(**SMALL).fit(panel, np.arange(12.0) * 100)
    other = ragged(12, static=True)
    other.static.loc[0, "kind"] = "never met"
    other.static.loc[1, "age"] = np.nan
    answers, _ = walked(model, other, torch.from_numpy(static_numbers(other)))
    expected = model.predict(other)
    assert answers[-1, :, 0].numpy() == pytest.approx(expected, rel=1e-5)
    assert np.ptp(expected) > 1


def test_each_row_is_answered_and_rows_that_show_nothing_are_silent():
    panel = ragged(12)
    target = panel.with_values(np.cumsum(np.nan_to_num(panel.values[:, :2]), 0) * 10, channels=["a", "b"])
    model = SSMSequenceRegressor(layer=RECIPES[0], depth=1, epochs=1, d_model=4, random_state=0).fit(panel, target)
    assert np.isnan(panel.values).all(1).any()
    answers, _ = walked(model, panel)
    expected = model.predict(panel)
    for i, count in enumerate(panel.lengths):
        rows = expected.values[panel.offsets[i] : panel.offsets[i + 1]]
        assert answers[:count, i].numpy() == pytest.approx(rows, rel=1e-4, abs=1e-4)


def test_rows_that_fill_up_leave_no_trace():
    panel = ragged(6)
    model = SSMClassifier(features=False, **SMALL).fit(panel, labels(6))
    step, network = Step(Network(model)), Network(model)
    start = torch.zeros(6, network.state_size, dtype=torch.float64)
    nothing = torch.full((6, 3), torch.nan, dtype=torch.float64)
    _, state = step(torch.full((6,), 7.0, dtype=torch.float64), nothing, start)
    assert torch.equal(state, start)
    _, state = walked(model, panel)
    _, after = step(torch.zeros(6, dtype=torch.float64), nothing, state)
    assert torch.equal(after, state)


def test_units_of_time_far_from_their_origin_and_wild_gaps():
    panel = ragged(8)
    model = SSMClassifier(features=False, layer=RECIPES[6], **SMALL).fit(panel, labels(8))
    moved = panel.with_values(panel.values)
    gaps = np.where(np.arange(panel.n_rows) % 5 == 0, 3e4, 1.0)
    moved = type(panel).from_series(
        [
            (1.7e9 + np.cumsum(gaps[a:b]), panel.values[a:b])
            for a, b in zip(panel.offsets[:-1], panel.offsets[1:], strict=True)
        ]
    )
    answers, _ = walked(model, moved)
    assert answers[-1].numpy() == pytest.approx(model.predict_proba(moved), abs=1e-5)


def test_growth_of_short_gaps_and_many_turns_keeps_its_digits():
    decay, turns = torch.tensor([-1e-6, -0.5, -1e-7]), torch.tensor([1e-7, 3.0, 2.0], dtype=torch.float64)
    gap = torch.tensor([1.0, 2e-3, 12345.678], dtype=torch.float64)
    m, n = growth(decay, turns, gap, None)
    exact = torch.expm1(torch.complex(decay.double(), 2 * torch.pi * turns) * gap)
    assert torch.complex(m, n).to(exact.dtype).numpy() == pytest.approx(exact.numpy(), rel=2e-6)
    a = -torch.logspace(-8, 3, 50)
    assert expm1(a).numpy() == pytest.approx(torch.expm1(a).numpy(), rel=1e-6)
