"""Records in, slower or equal clocks out: what is given to the models and how their answers are judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.signal import savgol_filter

from tsssm.data import Panel
from tsssm.data.synthetic import tactile
from tsssm.datasets import load_broad, load_cascaded_tanks, load_silverbox, load_waveforms

QUATERNION = ["q_w", "q_x", "q_y", "q_z"]


class Sides(NamedTuple):
    """Inputs and targets of one part of a task."""

    X: Panel
    y: Panel


class Problem(NamedTuple):
    """Records to fit to and to be judged by."""

    train: Sides
    test: Sides


class Task(NamedTuple):
    """A task of the table.

    Parameters
    ----------
    title : str
        What it is called.
    problem : callable
        From the folder of data, the amount of records ("small" or "full") and a seed to a `Problem`.
    chunk : float
        Length of a chunk of the hierarchical models, in the unit of the times.
    later : float or None
        How much later than its time a target is asked in the second alignment: to the end of its chunk. None where a
        simulation has no such thing.
    unit : str
        Of the errors, after `factor`.
    factor : float
        From the unit of the targets to that of the errors.
    rotation : str or None
        Representation, where the target is a rotation.
    needs : str or None
        File of the folder of data.
    context : int
        Rows of the pieces in which long records are trained on, several times the memory of the system.
    """

    title: str
    problem: Callable[[Path | None, str, int], Problem]
    chunk: float
    later: float | None
    unit: str
    factor: float = 1.0
    rotation: str | None = None
    needs: str | None = None
    context: int = 512


def touch(folder: Path | None, amount: str, seed: int) -> Problem:
    """Velocity of a body over a synthetic skin; series after `train` are the test."""
    train, test, seconds = (48, 24, 10.0) if amount == "small" else (160, 40, 20.0)
    X, y = tactile(train + test, seconds, random_state=seed)
    return Problem(Sides(X[:train], y[:train]), Sides(X[train:], y[train:]))


def tanks(folder: Path | None, amount: str, seed: int) -> Problem:
    """Simulation of the level in two tanks."""
    return Problem(Sides(*load_cascaded_tanks("train")), Sides(*load_cascaded_tanks("test")))


def silverbox(folder: Path | None, amount: str, seed: int) -> Problem:
    """Simulation of a Duffing oscillator."""
    return Problem(Sides(*load_silverbox("train")), Sides(*load_silverbox("test")))


def breathing(folder: Path | None, amount: str, seed: int) -> Problem:
    """Breathing from ECG and pulse of one person, five times a second; the last two fifths are the test."""
    record = load_waveforms("v102s", path=folder)
    X, times = record.select(["II", "PLETH"]), record.times
    rate = round(1 / (times[1] - times[0]))
    # 250 Hz says no more of breathing than 50 Hz; means of the samples up to each row, none of what follows
    step = rate // 50
    kept = (len(times) // step) * step
    means = X.values[:kept].reshape(-1, step, 2).mean(1)
    X = Panel.from_series([(times[step - 1 : kept : step], means)], channels=X.channels)
    slow = X.rows(np.arange(X.n_rows) % 10 == 9)
    values = np.interp(slow.times, times, record.select(["RESP"]).values[:, 0])
    y = slow.with_values((values - values.mean()) / values.std(), channels=["breath"])
    cut = times[-1] * 0.6
    return Problem(
        *(Sides(X.rows(side(X.times)), y.rows(side(y.times))) for side in (lambda t: t < cut, lambda t: t >= cut))
    )


def orientation(folder: Path | None, amount: str, seed: int) -> Problem:
    """Rotation of a hand-moved inertial sensor, seven times a second, while it moves."""
    return Problem(*(_every_tenth(*load_broad(split, path=folder), QUATERNION, amount) for split in ("train", "test")))


def velocity(folder: Path | None, amount: str, seed: int) -> Problem:
    """Velocity (m/s) of the same sensor in the frame of the earth, from smoothed positions."""
    parts = []
    for split in ("train", "test"):
        X, y = load_broad(split, path=folder)
        speed = np.full((y.n_rows, 3), np.nan)
        positions = y.select(["p_x", "p_y", "p_z"]).values
        for start, stop in zip(y.offsets[:-1], y.offsets[1:], strict=True):
            gap = y.times[start + 1] - y.times[start]
            # a parabola over 0.15 s; NaN stays within its reach
            speed[start:stop] = savgol_filter(positions[start:stop], 11, 2, deriv=1, delta=gap, axis=0)
        moves = y.select(["movement"]).values
        y = y.with_values(np.concatenate([speed, moves], 1), channels=["v_x", "v_y", "v_z", "movement"])
        parts.append(_every_tenth(X, y, ["v_x", "v_y", "v_z"], amount))
    return Problem(*parts)


def _every_tenth(X: Panel, y: Panel, channels: list[str], amount: str) -> Sides:
    """Targets at every tenth row of what moves and is known; of the small amount the first minute of each trial."""
    row = np.arange(y.n_rows) - np.repeat(y.offsets[:-1], y.lengths)
    early = y.times < (60.0 if amount == "small" else np.inf)
    known = np.isfinite(y.select(channels).values).all(1) & (y.select(["movement"]).values[:, 0] == 1)
    return Sides(X.rows(early), y.select(channels).rows(known & early & (row % 10 == 0)))


TASKS = {
    "touch": Task("velocity from a synthetic skin, 50 to 5 Hz", touch, 0.2, 0.18, ""),
    "tanks": Task("cascaded tanks", tanks, 32.0, None, "V", context=256),
    "silverbox": Task("Silverbox", silverbox, 10 * 2**14 / 1e7, None, "mV", 1e3),
    "breathing": Task(
        "breathing from ECG and pulse, 50 to 5 Hz", breathing, 0.2, 0.18, "std", needs="waveforms.parquet"
    ),
    "orientation": Task(
        "orientation, 71 to 7 Hz", orientation, 0.14, 0.126, "deg", rotation="6d", needs="broad_71hz.parquet"
    ),
    "velocity": Task(
        "velocity of an inertial sensor, 71 to 7 Hz", velocity, 0.14, 0.126, "m/s", needs="broad_71hz.parquet"
    ),
}
