"""Discriminative and predictive scores of generated series, by the protocol of TimeGAN."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from tsssm.metrics.networks import Draws, Recurrent, cross_entropy, logits, train
from tsssm.metrics.pairs import pair_of

BATCH = 128


class Score(NamedTuple):
    """A score repeated with fresh networks and batches: mean, standard deviation, and the values (r,)."""

    mean: float
    std: float
    values: np.ndarray


def discriminative_score(
    real: Any, generated: Any, repeats: int = 10, steps: int = 2000, random_state: int = 0
) -> Score:
    """How well a small GRU tells generated series from real ones: ``|1/2 - accuracy|`` on series held out, 0 at best.

    Parameters
    ----------
    real, generated : Panel or array (n, l, c)
        Series of equal length in the units of the protocol, each channel scaled to about [0, 1]; see `minmax`.
    repeats : int, default 10
        Networks, each with its own split of 80 % to train on.
    steps : int, default 2000
        Batches of 128 real and 128 generated series.
    random_state : int, default 0

    Returns
    -------
    Score

    Raises
    ------
    ValueError
        If the series differ in length or channels, have gaps, or are fewer than 10.

    Notes
    -----
    One layer of ``max(1, c // 2)`` units read at the last row. O(repeats steps l c^2); the repeats run side by side, the
    ten of 24 x 6 take about 30 s on one core. Source: Yoon, Jarrett and van der Schaar, 2019, Time-series generative
    adversarial networks, section 5, and the sizes of their code.

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm.metrics import discriminative_score
    >>> waves = np.sin(np.arange(12) + np.arange(60)[:, None])[..., None].repeat(2, 2) / 2 + 0.5
    >>> discriminative_score(waves, waves, repeats=2, steps=3).values.shape
    (2,)
    """
    x, y = (torch.from_numpy(part) for part in pair_of(real, generated))
    rng, generator = np.random.default_rng(random_state), torch.Generator().manual_seed(random_state)
    network = Recurrent(repeats, x.shape[2], max(1, x.shape[2] // 2), 1, generator)
    halves = [split(len(part), repeats, rng) for part in (x, y)]
    real_draws, fake_draws = (Draws(part, kept[0], BATCH, rng) for part, kept in zip((x, y), halves, strict=True))

    def loss() -> torch.Tensor:
        # one pass along the rows for both: its steps are too small to fill a processor
        drawn = [real_draws(), fake_draws()]
        return cross_entropy(*logits(network, torch.cat(drawn, 1)).split([each.shape[1] for each in drawn], 1))

    train(network, steps, loss)
    with torch.no_grad():
        found = [logits(network, part[torch.from_numpy(kept[1])]) for part, kept in zip((x, y), halves, strict=True)]
    # sigmoid(logit) > 1/2 is called real
    right = torch.cat([found[0] > 0, found[1] <= 0], 1).double().mean(1)
    return _score((right - 0.5).abs().numpy())


def split(n: int, repeats: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of n series in random order, cut at 80 %: (r, m) and (r, n - m)."""
    order = np.stack([rng.permutation(n) for _ in range(repeats)])
    return order[:, : int(0.8 * n)], order[:, int(0.8 * n) :]


def predictive_score(real: Any, generated: Any, repeats: int = 10, steps: int = 5000, random_state: int = 0) -> Score:
    """Error on real series of a small GRU that was trained on generated ones: train on synthetic, test on real.

    From all channels but the last at a row, the last channel at the next row is told; the score is the mean absolute
    error over all real series. The score of real series in the place of generated ones is what can be reached.

    Parameters
    ----------
    real, generated : Panel or array (n, l, c)
        As for `discriminative_score`, c >= 2.
    repeats : int, default 10
    steps : int, default 5000
        Batches of 128 series.
    random_state : int, default 0

    Returns
    -------
    Score

    Raises
    ------
    ValueError
        As for `discriminative_score`, and if there is a single channel.

    Notes
    -----
    One layer of ``max(1, c // 2)`` units and a sigmoid, trained by the mean absolute error. Papers that feed and ask all
    channels report another number under this name: that is `predictive_score_multichannel`.

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm.metrics import predictive_score
    >>> waves = np.sin(np.arange(12) + np.arange(60)[:, None])[..., None].repeat(2, 2) / 2 + 0.5
    >>> predictive_score(waves, waves, repeats=2, steps=3).values.shape
    (2,)
    """
    x, y = pair_of(real, generated, least_channels=2)
    return _predicted(x, y, x[..., :-1], y[..., :-1], slice(-1, None), (repeats, steps, random_state))


def predictive_score_multichannel(
    real: Any, generated: Any, repeats: int = 10, steps: int = 5000, random_state: int = 0
) -> Score:
    """As `predictive_score`, but from all channels at a row all channels at the next row are told.

    The variant of GT-GAN (Jeon et al., 2022); its numbers are not to be compared with those of `predictive_score`.
    Arguments and answer are those of `predictive_score`; a single channel will do.

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm.metrics import predictive_score_multichannel
    >>> waves = np.sin(np.arange(12) + np.arange(60)[:, None]) / 2 + 0.5
    >>> predictive_score_multichannel(waves, waves, repeats=2, steps=3).values.shape
    (2,)
    """
    x, y = pair_of(real, generated)
    return _predicted(x, y, x, y, slice(None), (repeats, steps, random_state))


def _predicted(
    real: np.ndarray, fake: np.ndarray, shown: np.ndarray, fake_shown: np.ndarray, asked: slice, how: tuple
) -> Score:
    repeats, steps, seed = how
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    inputs, outputs = shown.shape[2], real[..., asked].shape[2]
    network = Recurrent(repeats, inputs, max(1, real.shape[2] // 2), outputs, generator)
    pairs = torch.from_numpy(np.concatenate([fake_shown[:, :-1], fake[:, 1:, asked]], 2))
    draws = Draws(pairs, np.tile(np.arange(len(pairs)), (repeats, 1)), BATCH, rng)

    def error(both: torch.Tensor) -> torch.Tensor:
        told = torch.sigmoid(network.read(network(both[..., :inputs])))
        return (told - both[..., inputs:]).abs().mean((1, 2, 3))

    train(network, steps, lambda: error(draws()).sum())
    truth = torch.from_numpy(np.concatenate([shown[:, :-1], real[:, 1:, asked]], 2))
    with torch.no_grad():
        parts = [len(part) * error(part.expand(repeats, *part.shape)) for part in truth.split(1000)]
    return _score((torch.stack(parts).sum(0) / len(truth)).double().numpy())


def _score(values: np.ndarray) -> Score:
    return Score(float(values.mean()), float(values.std()), values)
