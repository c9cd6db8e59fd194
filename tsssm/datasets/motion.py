"""Moving bodies and hands: orientation from inertial sensors, motion from touch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tsssm.data.clock import Clock
from tsssm.data.panel import Panel
from tsssm.datasets.files import Folder, choose, find, needs, read_table
from tsssm.errors import explain

IMU = tuple(f"{sensor}_{axis}" for sensor in ("acc", "gyr", "mag") for axis in "xyz")
TRUTH = ("q_w", "q_x", "q_y", "q_z", "p_x", "p_y", "p_z", "movement")
MISSING = -32768


def load_broad(split: str = "train", path: Folder = None) -> tuple[Panel, Panel]:
    """Load a hand-moved inertial sensor and where it was by optical motion capture, from your own copy.

    Parameters
    ----------
    split : {"train", "test"}
        By the column of the table.
    path : path
        Folder with `broad_71hz.parquet`, one row a trial: `trial`, `split`, `rate_hz`, and lists of int16
        `imu_acc_x`, ..., `imu_gyr_x`, ..., `imu_mag_x`, ..., `opt_quat_w`, ..., `opt_pos_x`, ... and `movement`, where
        -32768 is missing; and `scales.json` with what to divide them by.

    Returns
    -------
    X : Panel, (n, 9)
        `acc_x` to `acc_z` (m/s²), `gyr_x` to `gyr_z` (rad/s), `mag_x` to `mag_z` (uT); times in seconds.
    y : Panel, (n, 8)
        At the same times: `q_w`, `q_x`, `q_y` and `q_z`, the rotation from the sensor to the earth, z up; `p_x`, `p_y` and
        `p_z` (m); `movement`, 1 in the samples that are judged.

    References
    ----------
    D. Laidig, M. Caruso, A. Cereatti, T. Seel, BROAD: A Benchmark for Robust Inertial Orientation Estimation, Data 6 (7),
    2021; CC BY 4.0.
    """
    split = choose("split", split, ("train", "test"))
    table = read_table(find("broad", "broad_71hz.parquet", path))
    scales = json.loads(find("broad", "scales.json", path).read_text())
    table = table[table["split"] == split]
    lengths = table["movement"].map(len)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    times = np.concatenate([np.arange(n) / rate for n, rate in zip(lengths, table["rate_hz"], strict=True)])

    def columns(stem: str, axes: str) -> np.ndarray:
        raw = np.stack([np.concatenate(table[f"{stem}_{axis}"].to_list()) for axis in axes], 1)
        return np.where(raw == MISSING, np.nan, raw / scales[stem])

    inputs = np.concatenate([columns(f"imu_{sensor}", "xyz") for sensor in ("acc", "gyr", "mag")], 1)
    moves = np.concatenate(table["movement"].to_list())[:, None]
    truth = np.concatenate([columns("opt_quat", "wxyz"), columns("opt_pos", "xyz"), moves], 1)
    X = Panel(times, inputs, offsets, table["trial"].to_numpy(object), IMU, clock=Clock("number"))
    return X, X.with_values(truth, channels=TRUTH)


class Recording(NamedTuple):
    """A file of a demonstration: what it is called, and the numbers (rows, c) it holds beside their times."""

    file: str
    numbers: Callable[[Mapping[str, Any]], np.ndarray]
    channels: tuple[str, ...] | None = None


def _taxels(file: Mapping[str, Any]) -> np.ndarray:
    parts = [np.asarray(file[f"{part}_sensor_values"]) for part in ("finger", "fingertip", "palm")]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], 1)


def _pose(file: Mapping[str, Any]) -> np.ndarray:
    return np.concatenate([np.asarray(file["positions"]), np.asarray(file["orientations"])], 1)


RESKIN = Recording("reskin_sensor_values.h5", lambda file: np.asarray(file["sensor_values"]))
ARM = Recording("kinova_cartesian_states.h5", _pose, ("p_x", "p_y", "p_z", "q_x", "q_y", "q_z", "q_w"))
TASKS = {
    "marker_writing": (RESKIN, ARM),
    "intrinsic_slip": (RESKIN, ARM),
    "joystick_control": (
        Recording("touch_sensor_values.h5", _taxels),
        Recording("extreme3d_values.h5", lambda file: np.asarray(file["axes"]), ("x", "y", "twist")),
    ),
}


def load_csp_bench(task: str, path: Folder = None) -> tuple[Panel, Panel]:
    """Load touch and what it tells of, as it was recorded, from your own copy of the collected sets of CSP-Bench.

    Parameters
    ----------
    task : {"marker_writing", "intrinsic_slip", "joystick_control"}
        Which of the three sets.
    path : path
        The folder of the set in its HiSS version, with a folder `demonstration_...` for each record, in any depth.

    Returns
    -------
    X : Panel, (n, c)
        Magnetic skin (15 channels) or the taxels of a hand, raw; times in seconds since the first sample.
    y : Panel, (n, t)
        On a clock of its own: position (m) and quaternion of the hand, or the axes of the joystick.

    Raises
    ------
    FileNotFoundError
        Where the folder has no demonstration, or one of them lacks a file.
    ImportError
        Without h5py.

    References
    ----------
    Bhirangi et al., 2024, Hierarchical state space models for continuous sequence-to-sequence modeling, section 3.
    """
    recordings = TASKS[choose("task", task, tuple(TASKS))]
    needs("h5py", "files of CSP-Bench")
    root = Path(path or ".")
    folders = sorted(folder for folder in root.rglob("demonstration_*") if folder.is_dir())
    if path is None or not folders:
        came = "no `path` came" if path is None else f"{str(root)!r} has none"
        do = "Give the folder of the downloaded set as `path`"
        raise FileNotFoundError(explain(f"{task} must have folders demonstration_...", came, do))
    names = [str(folder.relative_to(root)) for folder in folders]
    sides: list[list[tuple[np.ndarray, np.ndarray]]] = [[], []]
    for folder in folders:
        parts = [_samples(find(task, recording.file, folder), recording.numbers) for recording in recordings]
        start = parts[0][0][0]
        for side, (times, numbers) in zip(sides, parts, strict=True):
            side.append((times - start, numbers))
    X, y = (
        Panel.from_series(side, ids=names, channels=recording.channels or [f"s{j}" for j in range(side[0][1].shape[1])])
        for side, recording in zip(sides, recordings, strict=True)
    )
    return X, y


def _samples(file: Path, numbers: Callable[[Mapping[str, Any]], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Times and numbers of a file, as many as it has of both; of repeated times the first."""
    with import_module("h5py").File(file, "r") as stored:
        times, values = np.asarray(stored["timestamps"]), numbers(stored)
    length = min(len(times), len(values))
    times, first = np.unique(times[:length], return_index=True)
    return times.astype(np.float64), values[first].astype(np.float64)
