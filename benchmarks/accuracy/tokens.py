"""Tasks of recall: a token at some rows, from tokens before. One layer in each row, and nothing that mixes rows else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.accuracy.recall import Tokens, induction_heads, selective_copying
from benchmarks.accuracy.task import LAYERS, Fit, Task
from tsssm.data import Batch, Panel, Scaling, Source
from tsssm.data.tasks import ask_target
from tsssm.estimators.recipes import as_recipe
from tsssm.heads import Head
from tsssm.layers import Stack
from tsssm.models import FullRows, SequenceModel
from tsssm.training import Training

SERIES = 10_000
SERIES_TO_JUDGE = 2_000
# Seed of the series to judge by; those to train on follow the seed of the fit.
JUDGE = 10_000
PLAIN = {"guess": "one token for all"}


@dataclass(frozen=True)
class Setting:
    """A task of recall at some length, and the model for it."""

    draw: Callable[..., Tokens]
    kinds: int
    inputs: int
    epochs: int
    d_model: int = 64
    depth: int = 2
    lr: float = 0.004
    batch_size: int = 64


# A single block, and noise that is long beside what its layer resolves: two blocks whose layers keep their pace can count
# tokens in the first one, and a short series lies open to a convolution of its length.
COPYING = {
    True: Setting(
        partial(selective_copying, noise=256, count=4, kinds=16),
        kinds=16,
        inputs=18,
        epochs=12,
        depth=1,
        lr=0.01,
        batch_size=16,
    ),
    False: Setting(partial(selective_copying, noise=4096, count=16, kinds=16), kinds=16, inputs=18, epochs=100),
}
HEADS = {
    True: Setting(partial(induction_heads, length=64, kinds=16), kinds=16, inputs=17, epochs=6),
    False: Setting(partial(induction_heads, length=256, kinds=16), kinds=16, inputs=17, epochs=100),
}


class Token(Head):
    """Scores of each kind of token at each row, with cross-entropy at the rows asked."""

    def __init__(self, d_model: int, kinds: int):
        super().__init__()
        self.read = nn.Linear(d_model, kinds)

    def loss(self, features: Tensor, batch: Batch) -> Tensor:
        asked = batch.wanted.any(-1)
        return nn.functional.cross_entropy(self.read(features[asked]), batch.target[asked].argmax(-1))

    def predict(self, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"token": self.read(features).argmax(-1)}


def source(tokens: Tokens, setting: Setting) -> Source:
    """Give the tokens as channels of which one is 1, and so the answers."""
    n, length = tokens.given.shape
    panel = Panel.from_array(np.eye(setting.inputs)[tokens.given])
    plain = Scaling(np.zeros(setting.inputs), np.ones(setting.inputs), np.ones(setting.inputs, bool))
    asked = tokens.asked.reshape(n * length)
    target = np.where(asked[:, None] >= 0, np.eye(setting.kinds)[asked], np.nan)
    return Source(panel, plain, 1.0, target=target)


def share_right(model: SequenceModel, data: Source) -> float:
    """Share of the tokens asked that are right."""
    right = count = 0
    for series in np.array_split(np.arange(len(data)), 20):
        batch = data.batch(ask_target(data, series))
        asked = batch.wanted.any(-1)
        with torch.no_grad():
            token = model.predict(batch)["token"]
        right += int((token == batch.target.argmax(-1))[asked].sum())
        count += int(asked.sum())
    return right / count


def measure(settings: dict[bool, Setting], fit: Fit) -> dict[str, float]:
    """Train on series of the seed, judge on other ones, the same for all."""
    setting = settings[fit.small]
    test = setting.draw(SERIES_TO_JUDGE, rng=np.random.default_rng(JUDGE))
    start = time.process_time()
    if fit.row == "guess":
        train = setting.draw(SERIES, rng=np.random.default_rng(fit.seed)).asked
        guess = np.bincount(train[train >= 0]).argmax()
        accuracy = float((test.asked[test.asked >= 0] == guess).mean())
        return {"accuracy": accuracy, "fit": time.process_time() - start, "predict": 0.0}
    train_on = source(setting.draw(SERIES, rng=np.random.default_rng(fit.seed)), setting)
    torch.manual_seed(fit.seed)
    stack = Stack(setting.d_model, as_recipe(fit.row), setting.depth, dropout=0.0)
    model = SequenceModel(FullRows(setting.inputs, setting.d_model), stack, Token(setting.d_model, setting.kinds))
    training = Training(setting.epochs, lr=setting.lr, batch_size=setting.batch_size, random_state=fit.seed)
    training.run(model, ask_target, (train_on, np.arange(SERIES)), (train_on, np.arange(0)))
    fitted = time.process_time()
    accuracy = share_right(model, source(test, setting))
    return {"accuracy": accuracy, "fit": fitted - start, "predict": time.process_time() - fitted}


def said(setting: Setting) -> str:
    """Give settings in words."""
    blocks = f"{setting.depth} block{'s' * (setting.depth > 1)} of width {setting.d_model}, dropout 0"
    steps = f"top learning rate {setting.lr}, batches of {setting.batch_size}"
    return f"{blocks}, {steps}, {setting.epochs} epochs of {SERIES:,} series"


def task(title: str, settings: dict[bool, Setting]) -> Task:
    """Give the task of these settings."""
    words = {small: said(setting) for small, setting in settings.items()}
    return Task(title, {"accuracy": 4}, PLAIN, tuple(LAYERS), partial(measure, settings), words)


TASKS = {
    "copying": task("Selective copying: small, 4 tokens of 16 kinds among 256 rows; full, 16 among 4,096", COPYING),
    "heads": task("Induction heads: the token after the cue, of 16 kinds; small, 64 rows; full, 256", HEADS),
}
