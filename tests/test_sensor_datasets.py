"""Loaders of sensor streams: what comes with the package, and small made files of the form that others have."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from tsssm import datasets
from tsssm.data.rotations import RotationForm


def test_tanks_have_the_published_sizes():
    for split in ("train", "test"):
        X, y = datasets.load_cascaded_tanks(split)
        assert (X.channels, y.channels, X.n_rows) == (("u",), ("y",), 1024)
        np.testing.assert_array_equal(X.times, 4.0 * np.arange(1024))
    assert y.values.std() == pytest.approx(2.1, abs=1e-3)
    # the lower tank's sensor has a ceiling of 10 V
    assert y.values.max() <= 10.0


def test_silverbox_is_one_record_in_two():
    X, y = datasets.load_silverbox("train")
    Z, z = datasets.load_silverbox("test")
    assert X.n_rows + Z.n_rows == 131072
    assert np.diff(Z.times) == pytest.approx(1 / 610.3515625)
    # noise that grows: beyond the rms of all that is fitted to at its end
    rms = np.sqrt(np.mean(z.values.reshape(10, -1) ** 2, 1))
    assert (np.diff(rms[1:]) > 0).all() and rms[-1] > 1.4 * np.sqrt(np.mean(y.values**2))


@pytest.fixture
def broad(tmp_path: Path) -> Path:
    rng, rows = np.random.default_rng(0), []
    scales = {"imu_acc": 200, "imu_gyr": 900, "imu_mag": 200, "opt_quat": 32000, "opt_pos": 10000}
    for i, (split, length) in enumerate((("train", 5), ("test", 7), ("train", 4))):
        quaternion = Rotation.random(length, rng=i).as_quat(scalar_first=True)
        numbers = {f"imu_{s}_{a}": rng.integers(-900, 900, length) for s in ("acc", "gyr", "mag") for a in "xyz"}
        numbers |= {f"opt_quat_{a}": np.rint(32000 * quaternion[:, j]) for j, a in enumerate("wxyz")}
        numbers |= {f"opt_pos_{a}": rng.integers(-900, 900, length) for a in "xyz"}
        numbers["movement"] = np.arange(length) % 2
        lists = {name: column.astype(np.int16) for name, column in numbers.items()}
        rows.append({"trial": f"{i}_slow", "split": split, "rate_hz": 50.0, **lists})
    rows[0]["opt_quat_w"][2] = -32768
    pd.DataFrame(rows).to_parquet(tmp_path / "broad_71hz.parquet")
    (tmp_path / "scales.json").write_text(json.dumps(scales))
    return tmp_path


def test_broad_gives_units_and_rotations(broad: Path):
    X, y = datasets.load_broad("train", path=broad)
    table = pd.read_parquet(broad / "broad_71hz.parquet")
    assert X.ids.tolist() == ["0_slow", "2_slow"] and X.lengths.tolist() == [5, 4]
    np.testing.assert_allclose(X.times, np.r_[np.arange(5), np.arange(4)] / 50)
    np.testing.assert_allclose(X.select(["gyr_y"]).values[:5, 0], table["imu_gyr_y"][0] / 900)
    names = ["q_w", "q_x", "q_y", "q_z"]
    assert np.isnan(y.select(names).values[2, 0]) and y.channels[-1] == "movement"
    matrices = RotationForm.of(names).matrices(y.select(names).values)
    np.testing.assert_allclose(
        np.delete(matrices[:5], 2, 0), np.delete(Rotation.random(5, rng=0).as_matrix(), 2, 0), atol=1e-4
    )
    assert len(datasets.load_broad("test", path=broad)[0]) == 1


def test_waveforms_are_in_physical_units(tmp_path: Path):
    rows = [
        {
            "record": "a",
            "signal": "II",
            "fs_hz": 250.0,
            "gain": 200.0,
            "baseline": 10,
            "units": "mV",
            "adc": [10, 210, -190],
        },
        {"record": "a", "signal": "RESP", "fs_hz": 250.0, "gain": 2.0, "baseline": 0, "units": "NU", "adc": [0, 1, 2]},
        {"record": "b", "signal": "II", "fs_hz": 125.0, "gain": 1.0, "baseline": 0, "units": "mV", "adc": [7]},
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "waveforms.parquet")
    panel = datasets.load_waveforms("a", path=tmp_path)
    assert panel.channels == ("II", "RESP")
    np.testing.assert_allclose(panel.values, [[0, 0], [1, 0.5], [-1, 1]])
    np.testing.assert_allclose(panel.times, [0, 0.004, 0.008])
    with pytest.raises(ValueError, match="`record` must be one of 'a', 'b'; got 'c'"):
        datasets.load_waveforms("c", path=tmp_path)


def write(file: Path, times: np.ndarray, **numbers: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as stored:
        stored["timestamps"] = times
        for name, values in numbers.items():
            stored[name] = values


@pytest.mark.parametrize("task", ["marker_writing", "intrinsic_slip"])
def test_csp_bench_keeps_both_clocks(tmp_path: Path, task: str):
    rng = np.random.default_rng(0)
    for i in (1, 2):
        # the slip set has a folder for each object above the demonstrations
        folder = tmp_path / ("box" if task == "intrinsic_slip" else "") / f"demonstration_{i}"
        touch = np.cumsum(rng.exponential(0.01, 30)) + 1e9
        # a time that came twice, and one sample more than times
        touch[7] = touch[6]
        write(folder / "reskin_sensor_values.h5", touch, sensor_values=rng.normal(size=(31, 15)))
        poses = {"positions": rng.normal(size=(9, 3)), "orientations": Rotation.random(9, rng=i).as_quat()}
        write(folder / "kinova_cartesian_states.h5", touch[0] + 0.05 * np.arange(9), **poses)
    X, y = datasets.load_csp_bench(task, path=tmp_path)
    assert (X.shape, y.shape) == ((2, 15), (2, 7)) and X.lengths.tolist() == [29, 29] and y.lengths.tolist() == [9, 9]
    assert X.times[0] == 0 and np.diff(y.times[:9]) == pytest.approx(0.05, abs=1e-6)
    assert X.ids.tolist() == y.ids.tolist() and X.ids[0].endswith("demonstration_1")
    assert np.linalg.norm(y.select(["q_x", "q_y", "q_z", "q_w"]).values, axis=1) == pytest.approx(1)


def test_csp_bench_reads_taxels_of_a_hand(tmp_path: Path):
    rng, folder = np.random.default_rng(0), tmp_path / "demonstration_0"
    shapes = {
        "finger_sensor_values": (6, 2, 4, 3),
        "fingertip_sensor_values": (6, 2, 3),
        "palm_sensor_values": (6, 5, 3),
    }
    parts = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    write(folder / "touch_sensor_values.h5", np.arange(6.0), **parts)
    write(folder / "extreme3d_values.h5", np.arange(6.0) / 2, axes=rng.normal(size=(6, 3)))
    X, y = datasets.load_csp_bench("joystick_control", path=tmp_path)
    assert (X.shape, y.channels) == ((1, 24 + 6 + 15), ("x", "y", "twist"))
    np.testing.assert_array_equal(X.values[:, 24:30], parts["fingertip_sensor_values"].reshape(6, 6))


def test_missing_copies_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"has no broad_71hz.parquet\. Give the folder"):
        datasets.load_broad("train")
    with pytest.raises(FileNotFoundError, match="no `path` came"):
        datasets.load_csp_bench("marker_writing")
    (tmp_path / "demonstration_0").mkdir()
    with pytest.raises(FileNotFoundError, match="no reskin_sensor_values.h5"):
        datasets.load_csp_bench("marker_writing", path=tmp_path)
