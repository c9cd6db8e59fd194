"""Real data sets that come with the package, as panels; the card of each is `CARD.md` in its folder.

Every loader takes `path`, a folder with your own copy of the same files; by default it reads the copy that comes with
tsssm, where there is one. It raises FileNotFoundError, naming the file, where the folder lacks it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tsssm.data.clock import Clock
from tsssm.data.panel import Panel
from tsssm.datasets.files import Folder, choose, find, read
from tsssm.datasets.motion import load_broad, load_csp_bench
from tsssm.datasets.systems import load_cascaded_tanks, load_silverbox
from tsssm.datasets.waveforms import load_waveforms

__all__ = [
    "load_basic_motions",
    "load_broad",
    "load_cascaded_tanks",
    "load_cgm",
    "load_csp_bench",
    "load_etth1",
    "load_gunpoint",
    "load_japanese_vowels",
    "load_pendulum",
    "load_physionet2012",
    "load_silverbox",
    "load_ushcn",
    "load_waveforms",
]

UNITS = ("coronary", "cardiac surgery", "medical", "surgical")


def load_physionet2012(subset: str = "a", path: Folder = None) -> tuple[Panel, np.ndarray]:
    """Load the ICU stays of the PhysioNet challenge 2012: 37 variables over 48 hours, and death in hospital.

    Parameters
    ----------
    subset : {"a", "b"}
        Set of the challenge, 4,000 stays each.

    Returns
    -------
    X : Panel, (4000, 37)
        Times in hours since admission. Statics: Age (years), Gender (1 male, 0 female), Height (cm), ICUType.
    y : (4000,) int
        1 if the patient died in hospital.

    Notes
    -----
    What the challenge marks as not known (-1) is NaN. Of several values of a variable in one minute the last one known
    is kept.

    Examples
    --------
    >>> from tsssm.datasets import load_physionet2012
    >>> X, y = load_physionet2012("a")
    >>> X.shape, int(y.sum())
    ((4000, 37), 554)
    """
    file = f"set_{choose('subset', subset, ('a', 'b'))}.npz"
    data = read(find("physionet2012", file, path))
    ids = data["record_id"]
    series = np.repeat(np.arange(len(ids)), np.diff(data["offsets"]))
    minute = data["minute"].astype(np.int64)
    new = np.append(True, (np.diff(series) != 0) | (np.diff(minute) != 0))
    row = np.cumsum(new) - 1
    values = np.full((row[-1] + 1, len(data["variables"])), np.nan, dtype=np.float32)
    known = data["value"] != -1
    # Repeated cells are assigned in file order, so the last one stays.
    values[row[known], data["variable"][known]] = data["value"][known]
    static = pd.DataFrame({name: _known(data[name]) for name in ("Age", "Gender", "Height")}, index=ids)
    static["ICUType"] = pd.Categorical.from_codes(data["ICUType"].astype(int) - 1, categories=list(UNITS))
    offsets = np.searchsorted(series[new], np.arange(len(ids) + 1)).astype(np.int64)
    channels = tuple(data["variables"].tolist())
    X = Panel(minute[new] / 60, values, offsets, ids, channels, static=static, clock=Clock("number"))
    return X, data["In_hospital_death"].astype(np.int64)


def load_japanese_vowels(split: str = "train", path: Folder = None) -> tuple[Panel, np.ndarray]:
    """Load utterances of two vowels by nine speakers: 12 cepstral coefficients, 7 to 29 frames, who speaks.

    Parameters
    ----------
    split : {"train", "test"}
        Split of the archive, 270 and 370 series.

    Returns
    -------
    X : Panel, (n, 12)
        Times are frame numbers.
    y : (n,) str
        The speaker, "1" to "9".

    Examples
    --------
    >>> from tsssm.datasets import load_japanese_vowels
    >>> X, y = load_japanese_vowels("train")
    >>> X.shape, len(set(y))
    ((270, 12), 9)
    """
    return _labelled("japanese_vowels", split, path)


def load_basic_motions(split: str = "train", path: Folder = None) -> tuple[Panel, np.ndarray]:
    """Load a smart watch's accelerometer and gyroscope over 10 s at 10 Hz, during one of four activities.

    Parameters
    ----------
    split : {"train", "test"}
        Split of the archive, 40 series each.

    Returns
    -------
    X : Panel, (40, 6)
        Times are sample numbers, 0.1 s apart.
    y : (40,) str
        "Standing", "Running", "Walking" or "Badminton".

    Examples
    --------
    >>> from tsssm.datasets import load_basic_motions
    >>> X, y = load_basic_motions("test")
    >>> X.shape, X.n_rows
    ((40, 6), 4000)
    """
    return _labelled("basic_motions", split, path)


def load_gunpoint(split: str = "train", path: Folder = None) -> tuple[Panel, np.ndarray]:
    """Load the hand's track of people who draw a gun ("1") or point a finger ("2"), 150 samples each.

    Parameters
    ----------
    split : {"train", "test"}
        Split of the archive, 50 and 150 series.

    Returns
    -------
    X : Panel, (n, 1)
        Times are sample numbers.
    y : (n,) str
        "1" or "2".

    Examples
    --------
    >>> from tsssm.datasets import load_gunpoint
    >>> X, y = load_gunpoint("train")
    >>> X.shape
    (50, 1)
    """
    return _labelled("gunpoint", split, path)


def load_etth1(path: Folder = None) -> Panel:
    """Load two years of hourly loads and oil temperature of a power transformer, as one series.

    Returns
    -------
    Panel, (1, 7)
        HUFL, HULL, MUFL, MULL, LUFL, LULL and OT (degC). Usual splits are rows 0-8640, 8640-11520 and 11520-14400.

    Examples
    --------
    >>> from tsssm.datasets import load_etth1
    >>> X = load_etth1()
    >>> X.shape, X.n_rows
    ((1, 7), 17420)
    """
    file = find("etth1", "ETTh1.csv.gz", path)
    # pandas' default parser is off by one unit in the last place for some numbers.
    frame = pd.read_csv(file, parse_dates=["date"], float_precision="round_trip")
    return Panel.from_frame(frame.assign(id="ETTh1"), id="id", time="date")


def load_ushcn(path: Folder = None) -> Panel:
    """Load daily weather of three stations from 1893 to 2014 with its true gaps; values flagged as suspect are left out.

    Returns
    -------
    Panel, (3, 5)
        PRCP (0.01 inch), SNOW (0.1 inch), SNWD (inch), TMAX and TMIN (degF).

    Examples
    --------
    >>> from tsssm.datasets import load_ushcn
    >>> load_ushcn().channels
    ('PRCP', 'SNOW', 'SNWD', 'TMAX', 'TMIN')
    """
    data = read(find("ushcn", "ushcn_daily_ri.npz", path))
    kept = data["qflag"] == b""
    station, day, element = (data[name][kept] for name in ("station", "day", "element"))
    rows, row = np.unique(np.stack([station, day], axis=1), axis=0, return_inverse=True)
    values = np.full((len(rows), len(data["elements"])), np.nan)
    values[row.reshape(-1), element] = data["value"][kept]
    frame = pd.DataFrame(values, columns=data["elements"].tolist())
    frame["station"] = data["stations"][rows[:, 0]]
    frame["date"] = rows[:, 1].astype("datetime64[D]").astype("datetime64[s]")
    return Panel.from_frame(frame, id="station", time="date")


def load_cgm(path: Folder = None) -> Panel:
    """Load glucose sensor readings of 19 people, about every 5 minutes with gaps, over some days.

    Returns
    -------
    Panel, (19, 1)
        Channel `glucose` (mg/dL). Static: diagnosis, "diabetic" or "pre-diabetic".

    Examples
    --------
    >>> from tsssm.datasets import load_cgm
    >>> X = load_cgm()
    >>> X.shape, X.n_rows
    ((19, 1), 34890)
    """
    frame = pd.read_csv(find("cgm", "glucose.csv.gz", path), parse_dates=["time"])
    frame = frame.rename(columns={"gl": "glucose"})
    static = frame.groupby("id", sort=False)[["diagnosis"]].first()
    return Panel.from_frame(frame, id="id", time="time", channels=["glucose"], static=static)


def load_pendulum(split: str = "train", random_state: int = 0, path: Folder = None) -> tuple[Panel, Panel]:
    """Load noisy pictures of a pendulum at 50 of 100 steps, and the sine and cosine of its angle at the same steps.

    A pixel is `v clean + (1 - v) noise` with the stored visibility v of its picture and noise uniform on [0, 255],
    cut to a whole number and divided by 255.

    Parameters
    ----------
    split : {"train", "valid", "test"}
        2,000, 1,000 and 1,000 sequences.
    random_state : int
        Seed of the noise; each split has its own stream.

    Returns
    -------
    X : Panel, (n, 576)
        24 x 24 pixels row by row in [0, 1]; times in steps of 0.01 s.
    target : Panel, (n, 2)
        Channels sin and cos on the same rows.

    References
    ----------
    M. Schirmer et al., Modeling irregular time series with continuous recurrent units, ICML 2022.

    Examples
    --------
    >>> from tsssm.datasets import load_pendulum
    >>> X, target = load_pendulum("test", random_state=0)
    >>> X.shape, target.channels
    ((1000, 576), ('sin', 'cos'))
    """
    splits = ("train", "valid", "test")
    data = read(find("pendulum", f"{choose('split', split, splits)}.npz", path))
    n, length = data["time_index"].shape
    offsets = np.arange(n + 1, dtype=np.int64) * length
    channels = tuple(f"pixel_{i}_{j}" for i in range(24) for j in range(24))
    pixels = _blur(data, np.random.default_rng([random_state, splits.index(split)]))
    times = data["time_index"].reshape(-1).astype(np.float64)
    X = Panel(times, pixels, offsets, data["id"], channels, clock=Clock("integer"))
    return X, X.with_values(data["target"].reshape(-1, 2), channels=("sin", "cos"))


def _blur(data: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Mix each picture with noise, sequence by sequence: all at once would take a gigabyte."""
    pixels = np.empty((*data["picture"].shape, data["pictures"].shape[1]), dtype=np.float32)
    for i, picture in enumerate(data["picture"]):
        clean = data["pictures"][picture].astype(np.float64)
        seen = data["visibility"][i][:, None].astype(np.float64)
        pixels[i] = (seen * clean + (1 - seen) * rng.uniform(0, 255, clean.shape)).astype(np.uint8)
    pixels /= 255
    return pixels.reshape(-1, pixels.shape[-1])


def _labelled(name: str, split: str, path: Folder) -> tuple[Panel, np.ndarray]:
    file = f"{choose('split', split, ('train', 'test'))}.npz"
    data = read(find(name, file, path))
    offsets, values = data["offsets"].astype(np.int64), data["values"]
    times = np.arange(len(values)) - np.repeat(offsets[:-1], np.diff(offsets))
    channels = tuple(f"dim_{j}" for j in range(values.shape[1]))
    X = Panel(times.astype(np.float64), values, offsets, data["id"], channels, clock=Clock("integer"))
    return X, data["label"]


def _known(values: np.ndarray) -> np.ndarray:
    return np.where(values == -1, np.nan, values.astype(np.float64))
