"""What every head keeps: finite losses, series apart, nothing asked is nothing lost."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from tests.conformance.kinds import HEADS, TARGETS, WIDTH, every_head, small_head
from tsssm.data.batch import Batch, Question, Source
from tsssm.data.panel import Panel
from tsssm.data.scaling import Scaling
from tsssm.data.tasks import ranges
from tsssm.heads import Head

OF_SERIES = {"Label", "Orientation", "Value"}
"""Heads whose answers are one row a series."""
OF_CLASSES = {"RowLabel"}
"""Heads whose targets at rows are numbers of classes."""
OF_ROTATIONS = {"Orientation", "RowOrientation"}
"""Heads whose labels or targets are rotation matrices, row by row."""

CLOSE = {"rtol": 1e-10, "atol": 1e-10}
LENGTHS = [4, 1, 6, 0, 3]


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def source_for(name: str) -> Source:
    """A small panel with an empty series, and labels of the sort that a head needs."""
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(LENGTHS)]).astype(np.int64)
    times = np.concatenate([np.sort(rng.random(length)) for length in LENGTHS])
    panel = Panel(times, rng.standard_normal((14, TARGETS)), offsets, np.arange(5), ("a", "b"))
    label = np.array([0, 2, 1, 0, 2]) if name == "Label" else rng.standard_normal((5, TARGETS)).astype(np.float32)
    static = rng.standard_normal((5, 2))
    target = rng.integers(0, 3, (14, 1)).astype(float) if name in OF_CLASSES else None
    if name in OF_ROTATIONS:
        label = Rotation.random(5, rng=1).as_matrix().reshape(5, 9).astype(np.float32)
        target = Rotation.random(14, rng=2).as_matrix().reshape(14, 9)
    return Source(panel, Scaling.fit(panel), 0.1, static, label if name in OF_SERIES else None, target)


def batch_of(name: str, series: list[int], share: float = 0.5) -> Batch:
    """Some series of the source, a share of the entries hidden and asked."""
    source, series = source_for(name), np.array(series)
    rows = ranges(source.offsets[series], source.lengths[series])
    hidden = np.random.default_rng(1).random((14, TARGETS))[rows] < share
    wanted = (hidden if source.asked.shape[1] == TARGETS else hidden[:, :1]) & source.asked[rows]
    return source.batch(Question(rows, source.lengths[series], series, hidden, wanted))


def features_of(batch: Batch) -> Tensor:
    return torch.randn(*batch.grid.dt.shape, WIDTH, dtype=torch.float64)


def in_double(batch: Batch) -> Batch:
    return batch.to("cpu", torch.float64)


@every_head
def test_loss_is_finite_and_every_parameter_learns(kind: type[Head]):
    head, batch = small_head(kind), in_double(batch_of(kind.__name__, [0, 1, 2, 3, 4]))
    x = features_of(batch).requires_grad_()
    loss = head.loss(x, batch)
    loss.backward()
    assert loss.shape == () and bool(torch.isfinite(loss))
    assert bool(torch.isfinite(x.grad).all()) and float(x.grad.abs().max()) > 0
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()), name
        assert float(parameter.grad.abs().max()) > 0, name


@every_head
def test_the_gradient_is_the_slope_of_the_loss(kind: type[Head]):
    head, batch = small_head(kind), in_double(batch_of(kind.__name__, [0, 2, 4]))
    x = features_of(batch)
    way = torch.randn_like(x)
    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(head.loss(x + step * way, batch), step)
    with torch.no_grad():
        # the step is wide, for a head may judge in single precision
        there, back = (head.loss(x + size * way, batch) for size in (1e-2, -1e-2))
    torch.testing.assert_close((there - back).double() / 2e-2, slope, rtol=2e-2, atol=1e-3)


@every_head
def test_loss_falls_under_training(kind: type[Head]):
    head, batch = small_head(kind), in_double(batch_of(kind.__name__, [0, 1, 2, 4]))
    x = features_of(batch)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    first = float(head.loss(x, batch).detach())
    for _ in range(30):
        optimizer.zero_grad()
        head.loss(x, batch).backward()
        optimizer.step()
    assert float(head.loss(x, batch).detach()) < first


@every_head
def test_answers_do_not_depend_on_what_a_series_is_packed_with(kind: type[Head]):
    head, many = small_head(kind), in_double(batch_of(kind.__name__, [0, 1, 2, 3, 4]))
    x = features_of(many)
    answers = head.predict(x, many)
    number = many.grid.segment()
    statics = [tuple(row.tolist()) for row in many.static]
    for i in range(5):
        one = in_double(batch_of(kind.__name__, [i]))
        j = statics.index(tuple(one.static[0].tolist()))
        alone = head.predict(x[number == j].unsqueeze(0), one)
        assert set(alone) == set(answers)
        for name, answer in alone.items():
            together = (
                answers[name][j : j + 1] if kind.__name__ in OF_SERIES else answers[name][number == j].unsqueeze(0)
            )
            torch.testing.assert_close(answer, together, **CLOSE)


@every_head
def test_features_at_padding_cannot_matter(kind: type[Head]):
    head, batch = small_head(kind), in_double(batch_of(kind.__name__, [0, 1, 2, 4]))
    assert batch.grid.padded
    x = features_of(batch)
    other = torch.where(batch.grid.valid.unsqueeze(-1), x, 1e3)
    torch.testing.assert_close(head.loss(other, batch), head.loss(x, batch), **CLOSE)
    for name, answer in head.predict(other, batch).items():
        same = head.predict(x, batch)[name]
        here = ... if kind.__name__ in OF_SERIES else batch.grid.valid
        torch.testing.assert_close(answer[here], same[here], **CLOSE)


@every_head
def test_loss_of_series_is_the_mean_over_what_is_asked(kind: type[Head]):
    head, many = small_head(kind), in_double(batch_of(kind.__name__, [0, 2, 4]))
    x = features_of(many)
    number, statics = many.grid.segment(), [tuple(row.tolist()) for row in many.static]
    total = weight = 0.0
    for i in (0, 2, 4):
        one = in_double(batch_of(kind.__name__, [i]))
        j = statics.index(tuple(one.static[0].tolist()))
        count = 1.0 if kind.__name__ in OF_SERIES else float(one.wanted.sum())
        total += count * float(head.loss(x[number == j].unsqueeze(0), one).detach())
        weight += count
    # a head may judge in single precision
    assert float(head.loss(x, many).detach()) == pytest.approx(total / weight, rel=1e-5)


@every_head
def test_nothing_asked_is_a_finite_loss(kind: type[Head]):
    head, batch = small_head(kind), in_double(batch_of(kind.__name__, [0, 1, 3], share=0.0))
    assert not bool(batch.wanted.any())
    x = features_of(batch).requires_grad_()
    loss = head.loss(x, batch)
    loss.backward()
    assert bool(torch.isfinite(loss)) and bool(torch.isfinite(x.grad).all())
    assert kind.__name__ in OF_SERIES or float(loss.detach()) == 0.0


@every_head
def test_single_precision_and_huge_features_stay_finite(kind: type[Head]):
    head, batch = small_head(kind).float(), batch_of(kind.__name__, [0, 1, 2, 4])
    for size in (0.0, 1.0, 1e3):
        x = (size * features_of(batch)).float().requires_grad_()
        loss = head.loss(x, batch)
        loss.backward()
        assert bool(torch.isfinite(loss)) and bool(torch.isfinite(x.grad).all())
        assert all(bool(torch.isfinite(answer).all()) for answer in head.predict(x, batch).values())


@every_head
def test_quantiles_increase_and_probabilities_sum_to_one(kind: type[Head]):
    head, batch = small_head(kind), in_double(batch_of(kind.__name__, [0, 2, 4]))
    answers = head.predict(5 * features_of(batch), batch)
    assert answers
    if "quantiles" in answers:
        assert answers["quantiles"].shape[:3] == (*batch.grid.dt.shape, TARGETS)
        assert bool((answers["quantiles"].diff(dim=-1) > 0).all())
    if "probability" in answers:
        total = answers["probability"].sum(-1)
        torch.testing.assert_close(total, torch.ones_like(total), **CLOSE)


@every_head
def test_losses_in_mixed_precision_are_close(kind: type[Head]):
    # as in training on an accelerator; answers are always given in full precision
    head, batch = small_head(kind).float(), batch_of(kind.__name__, [0, 1, 2, 4])
    x = features_of(batch).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = head.loss(x, batch)
    loss.backward()
    assert bool(torch.isfinite(x.grad).all())
    exact = head.loss(x.detach().float(), batch)
    torch.testing.assert_close(loss.float(), exact.float(), rtol=0.03, atol=0.03)


@every_head
def test_pickle_round_trip(kind: type[Head]):
    head, batch = small_head(kind), in_double(batch_of(kind.__name__, [0, 2]))
    x = features_of(batch)
    for name, answer in pickle.loads(pickle.dumps(head)).predict(x, batch).items():
        assert torch.equal(answer, head.predict(x, batch)[name])


def test_every_entry_of_the_table_is_a_head():
    assert set(HEADS) >= OF_SERIES
