"""The one loop: equal runs from one seed, the best weights kept, and what happens when a fit goes wrong."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from tsssm.data.batch import Batch, Source
from tsssm.data.panel import Panel
from tsssm.data.scaling import Scaling
from tsssm.data.tasks import show_all
from tsssm.errors import NonFiniteLossError
from tsssm.heads import Label
from tsssm.layers import S5, Bidirectional, Recipe, Stack
from tsssm.models.base import Model
from tsssm.training import History, Training
from tsssm.training.loop import bucketed, schedule
from tsssm.training.weights import Average, Weights, parameter_groups

N = 24


def source_of(n: int = N) -> Source:
    """Rising and falling lines of 3 to 8 rows; the label says which."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 9, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    label = np.arange(n) % 2
    times = np.concatenate([np.sort(rng.uniform(0, 3, length)) for length in lengths])
    values = np.repeat(2.0 * label - 1, lengths) * times + 0.3 * rng.standard_normal(offsets[-1])
    panel = Panel(times, values[:, None], offsets, np.arange(n), ("x",))
    return Source(panel, Scaling.fit(panel), 0.4, label=label)


class Lines(Model):
    """The smallest model with all that the loop looks at: layers with slow parameters, dropout, a head."""

    def __init__(self, dropout: float = 0.2):
        super().__init__()
        self.lift = nn.Linear(1, 4)
        self.layer = Stack(4, Recipe(S5, d_state=4, blocks=1), depth=1, dropout=dropout)
        self.head = Label(4, torch.ones(2), dropout=dropout)

    def features(self, batch: Batch) -> Tensor:
        return self.layer(self.lift(batch.values), batch.grid)[0]

    def loss(self, batch: Batch) -> Tensor:
        return self.head.loss(self.features(batch), batch)

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        return self.head.predict(self.features(batch), batch)


def fitted(training: Training, source: Source | None = None, valid: int = 8, model: Model | None = None):
    source = source or source_of()
    torch.manual_seed(training.random_state)
    model = model or Lines()
    numbers = np.arange(len(source))
    history = training.run(model, show_all, (source, numbers[valid:]), (source, numbers[:valid]))
    return model, history


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same_weights(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize("valid", [0, 8])
def test_two_runs_from_one_seed_are_equal_to_the_bit(valid: int):
    (a, one), (b, two) = (fitted(Training(epochs=3, batch_size=5, random_state=4), valid=valid) for _ in range(2))
    assert same_weights(weights_of(a), weights_of(b))
    assert (one.train, one.valid, one.best) == (two.train, two.valid, two.best)
    c, _ = fitted(Training(epochs=3, batch_size=5, random_state=5), valid=valid)
    assert not same_weights(weights_of(a), weights_of(c))


def test_training_learns():
    model, history = fitted(Training(epochs=15, batch_size=8, lr=0.01))
    assert history.train[-1] < 0.7 * history.train[0]
    assert not model.training
    source = source_of()
    batch = source.batch(show_all(source, np.arange(N)))
    answer = model.predict(batch)["probability"].argmax(-1)
    assert float((answer == batch.label).double().mean()) > 0.8


def test_history_says_what_happened():
    _, history = fitted(Training(epochs=4, batch_size=8, patience=100))
    assert isinstance(history, History) and len(history.train) == len(history.valid) == 4
    assert history.stopped == "all epochs run"
    assert history.valid[history.best] == min(history.valid)
    _, alone = fitted(Training(epochs=2), valid=0)
    assert alone.valid == [] and alone.best == -1 and len(alone.train) == 2


def scripted(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> list[dict[str, Tensor]]:
    """Let validation find these losses, and note the weights it judged."""
    judged: list[dict[str, Tensor]] = []

    def score(self, model, task, data) -> float:
        judged.append(weights_of(model))
        return losses[len(judged) - 1]

    monkeypatch.setattr(Training, "score", score)
    return judged


def test_early_stopping_restores_the_best_weights(monkeypatch: pytest.MonkeyPatch):
    judged = scripted(monkeypatch, [3.0, 1.0, 2.0, 2.5, 2.2, 9.0, 9.0])
    model, history = fitted(Training(epochs=7, batch_size=8, patience=3))
    assert history.best == 1 and len(history.valid) == 5
    assert history.stopped == "no better validation loss for 3 epochs"
    assert same_weights(weights_of(model), judged[1]) and not same_weights(judged[1], judged[4])


def test_the_best_weights_are_kept_also_where_all_epochs_run(monkeypatch: pytest.MonkeyPatch):
    judged = scripted(monkeypatch, [3.0, 1.0, 2.0])
    model, history = fitted(Training(epochs=3, batch_size=8))
    assert history.best == 1 and same_weights(weights_of(model), judged[1])


def test_validation_scores_do_not_depend_on_training_mode_or_order():
    source, training = source_of(), Training(epochs=1, batch_size=5)
    torch.manual_seed(0)
    model = Lines(dropout=0.5)
    numbers = np.arange(N)
    scores = [training.score(model.train(), show_all, (source, numbers)) for _ in range(2)]
    whole = source.batch(show_all(source, numbers))
    assert scores[0] == scores[1]
    assert scores[0] == pytest.approx(float(model.eval().loss(whole).detach()), rel=1e-5)


class Sick(Lines):
    """A model whose loss turns bad at one step of training."""

    def __init__(self, at: int, how: str):
        super().__init__()
        self.at, self.how, self.steps = at, how, 0
        self.last: dict[str, Tensor] = {}

    def loss(self, batch: Batch) -> Tensor:
        loss = super().loss(batch)
        if not self.training:
            return loss
        self.steps += 1
        if self.steps != self.at:
            return loss
        if self.how == "interrupt":
            raise KeyboardInterrupt
        if self.how == "gradient":
            # finite itself, with the slope of a square root at 0
            return loss + (0 * self.lift.weight.sum()).sqrt()
        return loss * math.inf if self.how == "infinite" else loss * math.nan


@pytest.mark.parametrize("how", ["nan", "infinite", "gradient"])
@pytest.mark.parametrize("at", [1, 6])
def test_a_loss_that_is_not_finite_is_an_error_in_three_parts(how: str, at: int):
    torch.manual_seed(0)
    model = Sick(at, how)
    with pytest.raises(NonFiniteLossError) as caught:
        fitted(Training(epochs=3, batch_size=4, random_state=0), model=model)
    must, rest = str(caught.value).split("; ")
    came, do = rest.split(". ", 1)
    assert "finite" in must and "came" in came and do == "Lower `lr`, or look for extreme values in the data."
    assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())
    assert not model.training


@pytest.mark.parametrize("at", [1, 3, 9])
def test_an_interrupted_fit_keeps_a_usable_model(at: int):
    torch.manual_seed(0)
    model = Sick(at, "interrupt")
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        _, history = fitted(Training(epochs=5, batch_size=4), model=model)
    assert history.stopped == "interrupted" and not model.training
    source = source_of()
    answer = model.predict(source.batch(show_all(source, np.arange(N))))["probability"]
    assert bool(torch.isfinite(answer).all())


def test_an_interrupt_in_validation_keeps_the_best_weights(monkeypatch: pytest.MonkeyPatch):
    judged: list[dict[str, Tensor]] = []

    def score(self, model, task, data) -> float:
        judged.append(weights_of(model))
        if len(judged) == 3:
            raise KeyboardInterrupt
        return float(len(judged))

    monkeypatch.setattr(Training, "score", score)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model, history = fitted(Training(epochs=5, batch_size=8))
    assert history.best == 0 and same_weights(weights_of(model), judged[0])


def test_kept_weights_are_an_average_of_the_steps():
    weights: list[Tensor] = []

    class Watched(Lines):
        def loss(self, batch: Batch) -> Tensor:
            weights.append(self.lift.weight.detach().clone())
            return super().loss(batch)

    torch.manual_seed(0)
    model = Watched()
    fitted(Training(epochs=2, batch_size=6), valid=0, model=model)
    low, high = torch.stack(weights).amin(0), torch.stack(weights).amax(0)
    assert not torch.equal(model.lift.weight, weights[-1])
    # the last step is not among the watched, and moves by less than the ones before it together
    span = high - low
    assert bool(((model.lift.weight >= low - span) & (model.lift.weight <= high + span)).all())


def test_groups_hold_every_parameter_once_and_slow_ones_without_decay():
    torch.manual_seed(0)
    model = Lines()
    model.more = Bidirectional(4, Recipe(S5, d_state=4, blocks=1))
    groups = parameter_groups(model, lr=0.01, weight_decay=0.3)
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters())
    slow_names = set(S5.slow)
    settings = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        if name.rsplit(".", 1)[-1] in slow_names:
            assert settings[id(parameter)] == (0.003, 0.0), name
        elif parameter.dim() > 1:
            assert settings[id(parameter)] == (0.01, 0.3), name
        else:
            assert settings[id(parameter)] == (0.01, 0.0), name
    assert {group["lr"] for group in parameter_groups(model, 0.001, 0.3)} == {0.001}
    assert [len(group["params"]) for group in parameter_groups(nn.Linear(2, 2, bias=False), 0.1, 0.1)] == [1]


def test_schedule_warms_up_and_falls():
    shares = np.linspace(0, 1, 401)
    rates = np.array([schedule(share) for share in shares])
    top = int(rates.argmax())
    assert shares[top] == pytest.approx(0.05) and rates[top] == pytest.approx(1.0)
    assert bool((np.diff(rates[: top + 1]) > 0).all()) and bool((np.diff(rates[top:]) < 0).all())
    assert rates.min() > 0 and rates[-1] == pytest.approx(0.01)
    assert schedule(0.05 - 1e-9) == pytest.approx(schedule(0.05), abs=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_batches_cover_each_series_once(seed: int):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 50, 200)
    series = rng.permutation(200)[: rng.integers(0, 200)]
    size, rows = int(rng.integers(1, 20)), int(rng.integers(1, 300))
    batches = bucketed(lengths, series, size, rows, rng)
    assert sorted(np.concatenate(batches)) == sorted(series) if batches else len(series) == 0
    for batch in batches:
        assert 1 <= len(batch) <= size
        # a series longer than a batch may be still makes a batch of its own
        assert len(batch) == 1 or lengths[batch].sum() <= rows


def test_batches_hold_series_of_similar_length_in_random_order():
    lengths = np.random.default_rng(0).integers(1, 100, 64)
    batches = bucketed(lengths, np.arange(64), 8, 10_000, np.random.default_rng(1))
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert len(batches) == 8 and spread < 25
    again = bucketed(lengths, np.arange(64), 8, 10_000, np.random.default_rng(2))
    assert [batch.tolist() for batch in batches] != [batch.tolist() for batch in again]


def test_no_warning_and_no_output_in_a_quiet_fit(capsys: pytest.CaptureFixture[str]):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(Training(epochs=1, batch_size=8))
    assert capsys.readouterr() == ("", "")


def test_steps_on_weights_end_to_end_are_those_on_each_of_them() -> None:
    source, largest = source_of(), 0.05
    batch = source.batch(show_all(source, np.arange(N))).to("cpu", torch.float64)
    ends = []
    for together in (False, True):
        torch.manual_seed(0)
        model = Lines(dropout=0.0).double()
        model.lift.bias.requires_grad_(False)
        groups = parameter_groups(model, 0.01, 0.1)
        weights = Weights(groups)
        optimizer = torch.optim.AdamW(weights.groups if together else groups, fused=True)
        for _ in range(5):
            model.loss(batch).backward()
            if together:
                norm = weights.gather(largest)
            else:
                norm = float(nn.utils.clip_grad_norm_(model.parameters(), largest))
            optimizer.step()
            if together:
                weights.scatter()
            optimizer.zero_grad()
        ends.append((torch.tensor(norm), *(p.detach() for p in model.parameters())))
    for mine, theirs in zip(*ends, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_weights_that_no_loss_reaches_get_no_gradient() -> None:
    model = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)])
    weights = Weights(parameter_groups(model, 0.1, 0.0))
    model[0](torch.ones(1, 2)).sum().backward()
    assert weights.gather(100.0) == pytest.approx(2.0)
    assert weights.flat[0].grad.tolist() == [1.0] * 4 + [0.0] * 4
    assert all(p.grad is None for p in model.parameters())


def test_averages_are_swapped_in_and_out_of_the_model() -> None:
    model = nn.Linear(1, 1, bias=False)
    weights = Weights(parameter_groups(model, 0.1, 0.0))
    average, first = Average(weights), model.weight.item()
    with torch.no_grad():
        weights.flat[0] += 1.0
    weights.scatter()
    average.update(0)
    assert model.weight.item() == pytest.approx(first + 1.0)
    with average.swapped():
        assert model.weight.item() == pytest.approx(first + 0.9)
    assert model.weight.item() == pytest.approx(first + 1.0)
