"""Free spoken digits as raw audio, judged at the recorded rate and, without another fit, at half of it."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.signal import decimate

from benchmarks.accuracy.labels import PLAIN, plain, share_right
from benchmarks.accuracy.task import LAYERS, Fit, Task
from tsssm.data import Panel, Scaling, Source
from tsssm.data.tasks import show_all
from tsssm.estimators.recipes import as_recipe
from tsssm.heads import Label
from tsssm.layers import Stack
from tsssm.models import FullRows, SequenceModel
from tsssm.training import Training

RATE = 8000
# Plain rows that need a common length get this many points, about the median of the clips.
POINTS = 3358
WORDS = 10
# Of the layers' first steps, in samples: the fastest mode of S4D then turns by 0.7 radians a sample, where half the rate can
# show pi / 2. From (0.001, 0.1), the layers' own, frequencies above are learned that are missing there.
TIMESCALE = (0.001, 0.015)
SETTINGS = {
    True: {"d_model": 64, "depth": 3, "dropout": 0.1, "epochs": 12, "lr": 0.004},
    False: {"d_model": 128, "depth": 6, "dropout": 0.1, "epochs": 100, "lr": 0.004},
}


@lru_cache(maxsize=1)
def read(file: Path) -> dict[str, tuple[list[np.ndarray], np.ndarray]]:
    """Give clips of unit power and their words, of recordings 5 to 49 ('train') and 0 to 4 ('test')."""
    frame = pd.read_parquet(file)
    clips = [np.asarray(clip, np.float64) for clip in frame["audio"]]
    clips = [clip / clip.std() for clip in clips]
    words, split = frame["label"].to_numpy(), frame["split"].to_numpy()
    return {
        name: ([clips[i] for i in np.flatnonzero(split == name)], words[split == name]) for name in ("train", "test")
    }


def at_rate(clips: list[np.ndarray], every: int = 1, smooth: bool = True) -> Panel:
    """Give clips on their times in seconds, of every sample or of every second one.

    Parameters
    ----------
    clips : list of ndarray, (l,)
    every : int
        Which samples are kept.
    smooth : bool
        Whether frequencies above half the new rate are taken out before, by a filter without delay; otherwise they
        come back as lower ones.
    """
    if every > 1:
        clips = [decimate(clip, every, ftype="fir") if smooth else clip[::every] for clip in clips]
    return Panel.from_series([(np.arange(len(clip)) * every / RATE, clip) for clip in clips])


class LayerModel:
    """One layer in each block, then the pooled features: nothing that counts rows, unlike the statistics of SSMClassifier.

    Parameters
    ----------
    row : str
        Short name of the layer.
    seed : int
    d_model, depth, dropout, epochs, lr
        As in SSMClassifier.
    verbose : int
    """

    def __init__(
        self, row: str, seed: int, d_model: int, depth: int, dropout: float, epochs: int, lr: float, verbose: int = 0
    ):
        torch.manual_seed(seed)
        stack = Stack(d_model, as_recipe(row).set_params(timescale=TIMESCALE), depth, dropout)
        head = Label(d_model, torch.ones(WORDS), dropout=dropout)
        self.model = SequenceModel(FullRows(1, d_model), stack, head)
        self.training = Training(epochs, lr=lr, random_state=seed, verbose=verbose)

    def source(self, panel: Panel, words: np.ndarray | None = None) -> Source:
        """Give the panel on the clock of the recordings."""
        unit = Scaling(np.zeros(1), np.ones(1), np.ones(1, bool), soft_limit=3.0)
        return Source(panel, unit, 1 / RATE, label=words)

    def fit(self, panel: Panel, words: np.ndarray) -> LayerModel:
        """Train on all clips to the last epoch."""
        data = self.source(panel, words.astype(np.int64))
        self.training.run(self.model, show_all, (data, np.arange(len(panel))), (data, np.arange(0)))
        return self

    def predict(self, panel: Panel) -> np.ndarray:
        """Give the most probable word of each clip."""
        data, words = self.source(panel), np.empty(len(panel), np.int64)
        for series in np.array_split(np.argsort(panel.lengths), max(1, panel.n_rows // 50_000)):
            batch = data.batch(show_all(data, series))
            with torch.no_grad():
                best = self.model.predict(batch)["probability"].argmax(-1)
            words[series[batch.order.numpy()]] = best.numpy()
        return words


def measure(fit: Fit) -> dict[str, float]:
    """Fit at the recorded rate; judge there, and at half the rate with and without a filter."""
    (clips, words), (others, truth) = read(fit.data / "fsdd" / "fsdd.parquet").values()
    if fit.row in LAYERS:
        model = LayerModel(fit.row, fit.seed, **SETTINGS[fit.small])
    else:
        model = plain(fit.row, len(words), POINTS, fit.seed)
    start = time.process_time()
    model.fit(at_rate(clips), words)
    fitted = time.process_time()
    return {
        "accuracy": share_right(model, at_rate(others), truth),
        "predict": time.process_time() - fitted,
        "half rate, filtered": share_right(model, at_rate(others, 2), truth),
        "half rate, every 2nd": share_right(model, at_rate(others, 2, smooth=False), truth),
        "fit": fitted - start,
    }


def said(settings: dict[str, float]) -> str:
    """Give settings as arguments."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())


TASKS = {
    "fsdd": Task(
        "Free spoken digits, raw audio of 8,000 samples a second, 2,700 clips to train on and 300 to judge by",
        {"accuracy": 3, "half rate, filtered": 3, "half rate, every 2nd": 3},
        {row: PLAIN[row] for row in ("prior", "summary", "minirocket", "ridge")},
        ("s4d", "s5"),
        measure,
        {small: said(settings) for small, settings in SETTINGS.items()},
        needs_data=True,
    )
}
