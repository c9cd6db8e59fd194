"""Loaders against published counts and against sktime's own copies."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sktime

from tsssm import datasets

FILES = Path(__file__).parents[1] / "datasets"
ARCHIVE = {
    "BasicMotions": datasets.load_basic_motions,
    "GunPoint": datasets.load_gunpoint,
    "JapaneseVowels": datasets.load_japanese_vowels,
}


def read_ts(name: str, split: str) -> tuple[list[np.ndarray], list[str]]:
    """Read the archive's text file in sktime's wheel: dimensions between colons, then the label."""
    text = (Path(sktime.__file__).parent / f"datasets/data/{name}/{name}_{split.upper()}.ts").read_text()
    lines = [line.split(":") for line in text.lower().split("@data")[1].split()]
    series = [np.array([part.split(",") for part in line[:-1]], dtype=np.float64).T for line in lines]
    return series, [line[-1] for line in lines]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", ARCHIVE)
def test_archive_sets_equal_the_copies_in_sktime(name, split):
    X, y = ARCHIVE[name](split)
    series, labels = read_ts(name, split)
    assert [label.lower() for label in y] == labels
    assert X.values.dtype == np.float32
    for (times, values), expected in zip(X, series, strict=True):
        np.testing.assert_array_equal(times, np.arange(len(expected)))
        np.testing.assert_array_equal(values, expected.astype(np.float32))


@pytest.mark.parametrize("name", ARCHIVE)
def test_splits_share_no_id(name):
    ids = [ARCHIVE[name](split)[0].ids for split in ("train", "test")]
    np.testing.assert_array_equal(np.concatenate(ids), np.arange(len(ids[0]) + len(ids[1])))


@pytest.mark.parametrize(("subset", "deaths", "observations"), [("a", 554, 1737980), ("b", 568, 1742535)])
def test_physionet_has_the_published_counts(subset, deaths, observations):
    X, y = datasets.load_physionet2012(subset)
    assert X.shape == (4000, 37)
    assert y.dtype == np.int64
    assert y.sum() == deaths
    assert set(X.static["ICUType"]) == {"coronary", "cardiac surgery", "medical", "surgical"}
    assert X.times.max() <= 48.0
    with np.load(FILES / f"physionet2012/set_{subset}.npz") as stored:
        cells = {"stay": np.repeat(stored["record_id"], np.diff(stored["offsets"]))}
        cells |= {name: stored[name] for name in ("minute", "variable", "value")}
        names = stored["variables"]
    table = pd.DataFrame(cells)
    assert len(table) == observations
    last = table[table["value"] != -1].drop_duplicates(["stay", "minute", "variable"], keep="last")
    assert np.isfinite(X.values).sum() == len(last)
    row = pd.Series(np.arange(X.n_rows), [np.repeat(X.ids, X.lengths), np.rint(X.times * 60).astype(int)])
    rows = row.reindex(pd.MultiIndex.from_frame(last[["stay", "minute"]])).to_numpy()
    order = [X.channels.index(name) for name in names]
    np.testing.assert_array_equal(X.values[rows, np.array(order)[last["variable"]]], last["value"])


def test_physionet_first_stay():
    X, y = datasets.load_physionet2012("a")
    first = X.static.iloc[0]
    assert (X.ids[0], y[0], first["Age"], first["Gender"], first["ICUType"]) == (132539, 0, 54.0, 0.0, "surgical")
    assert np.isnan(first["Height"])
    times, values = next(iter(X))
    np.testing.assert_allclose(times[:3], [0.0, 7 / 60, 37 / 60])
    assert values[1, X.channels.index("GCS")] == 15.0
    assert np.isnan(values[0]).all(), "the only entry at admission is an unknown weight"


def test_etth1_is_the_original_file():
    original = gzip.decompress((FILES / "etth1/ETTh1.csv.gz").read_bytes())
    assert hashlib.sha256(original).hexdigest() == "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066"
    X = datasets.load_etth1()
    rows = [line.split(b",") for line in original.splitlines()[1:]]
    expected = np.array([[float(cell) for cell in row[1:]] for row in rows])
    np.testing.assert_array_equal(X.values, expected)
    assert X.channels == ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
    assert set(np.diff(X.times)) == {3600.0}
    assert X.stamps(X.times)[-1] == pd.Timestamp("2018-06-26 19:00")


def test_etth1_repeat_last_value_has_the_published_error():
    values = datasets.load_etth1().values
    train = values[:8640]
    scaled = (values - train.mean(axis=0)) / train.std(axis=0)
    test = scaled[11520 - 1 : 14400]
    windows = np.lib.stride_tricks.sliding_window_view(test, 97, axis=0)
    error = windows[..., 1:] - windows[..., :1]
    np.testing.assert_allclose([np.mean(error**2), np.mean(np.abs(error))], [1.294, 0.713], atol=6e-4)


def test_ushcn_drops_suspect_values_only():
    X = datasets.load_ushcn()
    assert list(X.ids) == ["370896", "374266", "376698"]
    assert np.isfinite(X.values).sum() == 383284 - 412
    assert np.nanmax(X.values[:, X.channels.index("TMAX")]) < 148
    assert not np.isnan(X.values).all(axis=1).any()
    np.testing.assert_array_equal(X.times % 86400, 0)
    assert min(X.stamps(X.times)) == pd.Timestamp("1893-01-01")
    assert max(X.stamps(X.times)) == pd.Timestamp("2014-12-31")


def test_cgm_has_the_published_people():
    X = datasets.load_cgm()
    assert (X.shape, X.n_rows, X.channels) == ((19, 1), 34890, ("glucose",))
    assert X.static["diagnosis"].value_counts().to_dict() == {"pre-diabetic": 14, "diabetic": 5}
    assert (np.nanmin(X.values), np.nanmax(X.values)) == (41, 303)
    assert np.median(np.concatenate([np.diff(times) for times, _ in X])) == 300.0


def test_pendulum_noise_follows_the_recipe():
    X, target = datasets.load_pendulum("test", random_state=3)
    assert X.shape == (1000, 576)
    assert target.channels == ("sin", "cos")
    np.testing.assert_allclose((target.values.astype(np.float64) ** 2).sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(X.times, target.times)
    with np.load(FILES / "pendulum/test.npz") as stored:
        clean = stored["pictures"][stored["picture"]].reshape(-1, 576).astype(np.float64)
        seen = stored["visibility"].reshape(-1, 1).astype(np.float64)
        np.testing.assert_array_equal(X.times, stored["time_index"].reshape(-1))
    X, clean, seen = X[:200], clean[:10000], seen[:10000]
    pixels = np.rint(X.values.astype(np.float64) * 255)
    np.testing.assert_allclose(X.values * 255, pixels, atol=1e-4)
    low, high = np.floor(seen * clean), np.floor(seen * clean + (1 - seen) * 255)
    assert ((pixels >= low) & (pixels <= high)).all()
    hidden = pixels[seen[:, 0] == 0]
    # Uniform on [0, 255) and cut to whole numbers: 0 to 254, mean 127.
    assert abs(hidden.mean() - 127.0) < 6 * 73.6 / np.sqrt(hidden.size)


def test_pendulum_noise_is_the_seed_s():
    first, same, other = (datasets.load_pendulum("valid", random_state=seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.values, same.values)
    assert np.mean(first.values != other.values) > 0.1


def test_path_reads_a_copy(tmp_path):
    shutil.copy(FILES / "gunpoint/test.npz", tmp_path)
    X, _ = datasets.load_gunpoint("test", path=str(tmp_path))
    assert len(X) == 150


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"files of cgm .* has no glucose.csv.gz\. Give the folder"):
        datasets.load_cgm(path=tmp_path)


def test_unknown_split_is_named():
    with pytest.raises(ValueError, match=r"`split` must be one of 'train', 'test'; got 'valid'"):
        datasets.load_gunpoint("valid")


@pytest.mark.parametrize("folder", sorted(path.name for path in FILES.iterdir() if path.is_dir()))
def test_every_data_set_has_a_card(folder):
    card = (FILES / folder / "CARD.md").read_text()
    for part in ("**What.**", "**Source.**", "**Licence.**", "**Changes.**", "**Citation.**"):
        assert part in card
    assert f"| {folder} |" in (FILES / "README.md").read_text()


def test_data_stay_small():
    assert sum(path.stat().st_size for path in FILES.rglob("*") if path.is_file()) < 20e6
