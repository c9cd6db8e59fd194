"""Training: the one loop."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from tsssm.data.batch import Batch, Source
from tsssm.data.tasks import Task
from tsssm.errors import NonFiniteLossError, explain
from tsssm.models.base import Model
from tsssm.training.progress import Progress
from tsssm.training.weights import Average, Weights, parameter_groups, snapshot

INTERRUPTED = "interrupted"


@dataclass
class History:
    """What happened in a fit: mean losses per epoch, the epoch whose weights were kept, and why it stopped.

    `terms` are means per epoch of the named parts of the training loss, where a model has some.
    """

    train: list[float] = field(default_factory=list)
    valid: list[float] = field(default_factory=list)
    best: int = -1
    stopped: str = "all epochs run"
    terms: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """Run epochs of AdamW with warm-up and cosine decay, and keep the best weights.

    Parameters
    ----------
    epochs : int
        Passes over the training series.
    lr : float
        Top learning rate; parameters that set time scales use at most 0.003, without weight decay.
    batch_size : int
        Most series in a batch.
    batch_rows : int
        Most rows in a batch, so that long series come in smaller batches.
    weight_decay : float
        Of matrices; biases, norms and time scales have none.
    patience : int
        Epochs without a better validation loss before the fit stops.
    clip : float
        Largest norm of a gradient.
    device : str
    random_state : int
        Seed of batches and tasks; dropout and first weights follow torch's seed. With both set two fits on a CPU are
        equal to the bit.
    verbose : int
        0 shows nothing, 1 a bar on a terminal, 2 a line an epoch.
    title : str
        What the bar says first.

    Notes
    -----
    The weights that are validated and kept are an exponential average over the last steps, which costs one pass over
    the parameters and evens out the noise of small batches.
    """

    epochs: int
    lr: float = 0.004
    batch_size: int = 32
    batch_rows: int = 20_000
    weight_decay: float = 0.02
    patience: int = 10
    clip: float = 1.0
    device: str = "cpu"
    random_state: int = 0
    verbose: int = 0
    title: str = ""

    def run(
        self, model: Model, task: Task, train: tuple[Source, np.ndarray], valid: tuple[Source, np.ndarray]
    ) -> History:
        """Train `model` in place on the series `train`, judged on the series `valid` (may be none of them).

        Raises
        ------
        NonFiniteLossError
            Where the loss is not finite; the model is left with its last good weights.
        """
        rng = np.random.default_rng(self.random_state)
        model.to(self.device).zero_grad(set_to_none=True)
        weights = Weights(parameter_groups(model, self.lr, self.weight_decay))
        average = Average(weights)
        optimizer = torch.optim.AdamW(weights.groups, fused=True)
        tops = [group["lr"] for group in optimizer.param_groups]
        history, best = History(), None
        steps = max(1, self.epochs * len(list(self._batches(train, np.random.default_rng(0)))))
        done = 0
        progress = Progress(self.epochs, self.verbose, self.title)
        try:
            for epoch in range(self.epochs):
                model.train()
                losses: list[float] = []
                terms: dict[str, list[float]] = {}
                for series in self._batches(train, rng):
                    for group, top in zip(optimizer.param_groups, tops, strict=True):
                        group["lr"] = top * schedule(min(1.0, done / steps))
                    losses.append(self._step(model, weights, optimizer, train[0].batch(task(train[0], series, rng))))
                    for name, part in model.terms.items():
                        terms.setdefault(name, []).append(float(part))
                    average.update(done)
                    done += 1
                history.train.append(float(np.mean(losses)) if losses else math.nan)
                for name, parts in terms.items():
                    history.terms.setdefault(name, []).append(float(np.mean(parts)))
                if len(valid[1]):
                    with average.swapped():
                        history.valid.append(self.score(model, task, valid))
                        if history.valid[-1] <= np.nanmin(history.valid):
                            history.best, best = epoch, snapshot(model)
                progress.epoch(epoch, history.train[-1], history.valid[-1] if history.valid else None)
                if history.valid and epoch - history.best >= self.patience:
                    history.stopped = f"no better validation loss for {self.patience} epochs"
                    break
        except KeyboardInterrupt:
            history.stopped = INTERRUPTED
            warnings.warn(
                "Training was interrupted; the best weights so far are kept.", ConvergenceWarning, stacklevel=2
            )
        finally:
            progress.close()
            if best is not None:
                model.load_state_dict(best)
            elif done:
                average.store()
            model.eval()
        return history

    def _step(self, model: Model, weights: Weights, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
        with precision(self.device):
            loss = model.loss(batch.to(self.device) if self.device != "cpu" else batch)
        loss.backward()
        value = float(loss.detach())
        norm = weights.gather(self.clip)
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise NonFiniteLossError(
                explain(
                    "the loss and its gradient must be finite",
                    f"a loss of {value} with a gradient norm of {norm} came",
                    "Lower `lr`, or look for extreme values in the data",
                )
            )
        optimizer.step()
        weights.scatter()
        return value

    @torch.no_grad()
    def score(self, model: Model, task: Task, data: tuple[Source, np.ndarray]) -> float:
        """Mean loss of the model on some series, with questions that are the same each time."""
        model.eval()
        rng, total, count = np.random.default_rng(12345), 0.0, 0
        for series in self._batches(data, np.random.default_rng(0)):
            loss = model.loss(data[0].batch(task(data[0], series, rng)).to(self.device))
            total, count = total + float(loss) * len(series), count + len(series)
        return total / max(1, count)

    def _batches(self, data: tuple[Source, np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
        source, series = data
        yield from bucketed(source.lengths, rng.permutation(series), self.batch_size, self.batch_rows, rng)


def bucketed(
    lengths: np.ndarray, series: np.ndarray, size: int, rows: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Cut series into batches of similar length: at most `size` series and about `rows` rows each, in random order."""
    batches: list[np.ndarray] = []
    for start in range(0, len(series), 8 * size):
        block = series[start : start + 8 * size]
        block = block[np.argsort(lengths[block], kind="stable")]
        filled = np.cumsum(lengths[block])
        first = 0
        while first < len(block):
            before = filled[first - 1] if first else 0
            last = max(first + 1, min(first + size, int(np.searchsorted(filled, before + rows, side="right"))))
            batches.append(block[first:last])
            first = last
    return [batches[i] for i in rng.permutation(len(batches))]


def schedule(done: float) -> float:
    """Share of the top learning rate when a share `done` of all steps is behind: 5 % warm-up, then a cosine."""
    warm = 0.05
    if done < warm:
        return (done + 0.002) / (warm + 0.002)
    return 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm))) * 0.99 + 0.01


def precision(device: str):
    """bfloat16 for the matrix products on CUDA; the dynamics stay in float32."""
    return torch.autocast("cuda", torch.bfloat16) if device.startswith("cuda") else nullcontext()
