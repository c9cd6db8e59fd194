"""Benchmarks of system identification: what goes into a system and what comes out, to be simulated."""

from __future__ import annotations

import numpy as np

from tsssm.data.clock import Clock
from tsssm.data.panel import Panel
from tsssm.datasets.files import Folder, choose, find, read

SILVERBOX_GAP = 2**14 / 1e7
TEST_ROWS = 40_000


def load_cascaded_tanks(split: str = "train", path: Folder = None) -> tuple[Panel, Panel]:
    """Load the voltage of a pump and the water level of the lower of two tanks, which may overflow.

    Parameters
    ----------
    split : {"train", "test"}
        Two records of 1,024 samples each, 4 s apart.

    Returns
    -------
    X, y : Panel, (1, 1)
        Channels `u` (V) and `y` (V) at the same times in seconds.

    References
    ----------
    M. Schoukens, J. P. Noël, Three benchmarks addressing open challenges in nonlinear system identification, 2017.

    Examples
    --------
    >>> from tsssm.datasets import load_cascaded_tanks
    >>> X, y = load_cascaded_tanks("test")
    >>> X.n_rows, y.channels
    (1024, ('y',))
    """
    split = choose("split", split, ("train", "test"))
    data = read(find("cascaded_tanks", "tanks.npz", path))
    return _record(data[f"u_{split}"], data[f"y_{split}"], 4.0, split)


def load_silverbox(split: str = "train", path: Folder = None) -> tuple[Panel, Panel]:
    """Load the input and output of an electronic Duffing oscillator, a spring that hardens.

    Parameters
    ----------
    split : {"train", "test"}
        "test" is the first 40,000 samples, noise whose size grows beyond all that comes after; "train" is the rest, 91,072
        samples of ten random-phase multisines.

    Returns
    -------
    X, y : Panel, (1, 1)
        Channels `u` (V) and `y` (V) at the same times in seconds, 610.35 samples a second.

    References
    ----------
    T. Wigren, J. Schoukens, Three free data sets for development and benchmarking in nonlinear system identification, 2013.

    Examples
    --------
    >>> from tsssm.datasets import load_silverbox
    >>> [load_silverbox(split)[0].n_rows for split in ("train", "test")]
    [91072, 40000]
    """
    rows = slice(TEST_ROWS) if choose("split", split, ("train", "test")) == "test" else slice(TEST_ROWS, None)
    data = read(find("silverbox", "snls80mv.npz", path))
    return _record(data["u"][rows], data["y"][rows], SILVERBOX_GAP, split)


def _record(u: np.ndarray, y: np.ndarray, gap: float, name: str) -> tuple[Panel, Panel]:
    times, offsets = np.arange(len(u)) * gap, np.array([0, len(u)])
    X = Panel(times, u[:, None], offsets, np.array([name]), ("u",), clock=Clock("number"))
    return X, X.with_values(y[:, None], channels=("y",))
