"""Draws: random groups of oscillators, and thresholds from what their outputs are in training."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from tsssm.dynamics.kernels import Modal, modal_scan
from tsssm.dynamics.kernels.bank import Bank, Rows
from tsssm.features.pace import Pace

MODES, READOUTS, SHARES = 4, 8, 4
POOLS = (*(f"share{i + 1}" for i in range(SHARES)), "rms", "max", "min", "longest", "crossings", "lean")
"""How an output is pooled, in the order of the kernel."""
PER_GROUP = READOUTS * len(POOLS)

# What follows was chosen on 28 of the data sets of the archive, between 0 and 70 % of values dropped; see benchmarks.
SHORTEST = 2.0  # windows from this many gaps on
DAMPING = (0.5, 2.5)  # windows fade by exp(-2 damping) over their length
MOST_CHANNELS = 9  # mixed in a group
LEVELS = 0.3  # share of the outputs that see the level of the series, not its changes alone
RAMP = 0.1  # width of a threshold, in standard deviations of the output
# for the thresholds: training series, points taken of each, and points of a series that are run through at most
SERIES, POINTS, LONGEST = 24, 100, 4096


class Groups(NamedTuple):
    """Random groups, of which each sees its own mixture of channels through its own window.

    Attributes
    ----------
    window : ndarray, (g,)
        Length of the window, in the unit of time.
    rate : ndarray, (k, g), complex
        In 1 / the unit of time: decay, and k + a random part whole turns a window.
    mix : ndarray, (c, g)
        -1, 0 or 1.
    readout : ndarray, (r, k, g), complex
    gain : ndarray, (r, g)
    """

    window: np.ndarray
    rate: np.ndarray
    mix: np.ndarray
    readout: np.ndarray
    gain: np.ndarray


def draw_groups(pace: Pace, n_groups: int, random: np.random.RandomState) -> Groups:
    """Draw groups whose windows spread evenly, on a log scale, from the gaps of their channels to the longest series.

    A readout has the impulse response Re sum_k c_k exp(rate_k t), a random pattern under a fading window, as S4D-Lin
    has at its start (Gu et al. 2022, eq. 8), and passes only changes, unless its gain lets the level in.
    """
    mix = _mixtures(pace, n_groups, random)
    gaps = np.where(np.isfinite(pace.gaps), pace.gaps, pace.step)
    low = SHORTEST * (gaps[:, None] * (mix != 0)).max(axis=0)
    high = np.maximum(pace.reach, 1.5 * low)
    place = random.permutation(n_groups) + random.uniform(size=n_groups)
    window = low * (high / low) ** (place / n_groups)
    damping = DAMPING[0] * (DAMPING[1] / DAMPING[0]) ** random.uniform(size=n_groups)
    turns = np.arange(MODES)[:, None] + random.uniform(size=n_groups)
    rate = (-2 * damping + 2j * np.pi * turns) / window
    real, imaginary = random.normal(size=(2, READOUTS, MODES, n_groups)) / np.sqrt(MODES)
    # sum_k Re c_k (x_k - v) is what the same oscillators give when the path drives them itself, not its slope
    gain = np.where(random.uniform(size=(READOUTS, n_groups)) < LEVELS, -real.sum(1), 0.0)
    return Groups(window, rate, mix, real + 1j * imaginary, gain)


def _mixtures(pace: Pace, n_groups: int, random: np.random.RandomState) -> np.ndarray:
    """Signs of the channels in each group: few more often than many, evenly on a log scale."""
    mix = np.zeros((len(pace.gaps), n_groups))
    known = np.flatnonzero(np.isfinite(pace.gaps))
    known = known if len(known) else np.arange(len(mix))
    if len(known) == 1:
        mix[known] = 1.0
        return mix
    most = min(len(known), MOST_CHANNELS)
    for group in range(n_groups):
        count = min(int((most + 1) ** random.uniform()), most)
        mix[random.choice(known, count, replace=False), group] = random.choice([-1.0, 1.0], count)
    return mix


def bank_of(groups: Groups, step: float, rows: Rows, random: np.random.RandomState) -> Bank:
    """Give the bank of the groups, with thresholds at random quantiles of their outputs along some training rows."""
    rate = torch.from_numpy(groups.rate * step)
    mix, gain = (torch.from_numpy(part).float() for part in (groups.mix, groups.gain))
    readout = torch.from_numpy(groups.readout).to(torch.complex64)
    y = np.sort(_sampled(rate, mix, readout, gain, rows, random), axis=0)
    steepness = np.divide(1.0, RAMP * y.std(0), out=np.zeros(y.shape[1:]), where=y.std(0) > 1e-6 * np.abs(y).max(0))
    share = (np.arange(SHARES)[:, None, None] + random.uniform(size=(SHARES, *y.shape[1:]))) / SHARES
    # the first threshold is also that of the longest stretch and the crossings: any of the quantiles
    share = np.take_along_axis(share, random.uniform(size=share.shape).argsort(0), 0)
    at = np.take_along_axis(y, np.minimum(share * len(y), len(y) - 1).astype(int), 0)
    threshold = torch.from_numpy(at * steepness - 0.5).float()
    return Bank(rate, mix, readout, gain, threshold, torch.from_numpy(steepness).float())


def sample_of(lengths: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Numbers of the training series whose outputs the thresholds are taken from."""
    full = np.flatnonzero(lengths)
    return np.sort(random.choice(full, min(len(full), SERIES), replace=False))


def _sampled(
    rate: torch.Tensor,
    mix: torch.Tensor,
    readout: torch.Tensor,
    gain: torch.Tensor,
    rows: Rows,
    random: np.random.RandomState,
) -> np.ndarray:
    """Outputs (points, r, g) at some random points of each series."""
    r, k, g = readout.shape
    flat_rate = rate.T.repeat(r, 1).to(torch.complex64)
    weight = readout.transpose(1, 2).reshape(r * g, k)
    outputs = []
    for start, stop in zip(rows.offsets[:-1].tolist(), rows.offsets[1:].tolist(), strict=True):
        gap, values = _points(rows.gap[start:stop], rows.values[start:stop], rows.parts[start:stop])
        path = values @ mix
        slope = torch.diff(path, dim=0, prepend=path[:1]) / torch.where(gap > 0, gap, 1.0)[:, None]
        y, _ = modal_scan(Modal(flat_rate, weight, gap[None], hold=slope.repeat(1, r)[None]), held=True)
        keep = torch.from_numpy(random.choice(len(gap), min(len(gap), POINTS), replace=False))
        outputs.append(y[0, keep].view(-1, r, g) + gain * path[keep, None])
    return torch.cat(outputs).double().numpy()


def _points(gap: torch.Tensor, values: torch.Tensor, parts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaps and values at the rows and at the points between them, of the first `LONGEST` points."""
    count = torch.where(torch.arange(len(parts)) > 0, parts, 1).long()
    row = torch.repeat_interleave(torch.arange(len(parts)), count)[:LONGEST]
    number = torch.arange(len(row)) - (torch.cumsum(count, 0) - count)[row] + 1
    share = (number / count[row]).to(values.dtype)[:, None]
    line = torch.lerp(values[(row - 1).clamp(min=0)], values[row], share)
    return (gap / parts)[row].float(), line
