"""What all benchmarks print: a table of means and spreads over seeds, and what it was made with."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np

import tsssm
from tsssm.demo.page import Table

PACKAGES = ("torch", "scikit-learn", "numpy", "sktime", "aeon")


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean, and standard deviation where there are several values."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def table(results: Mapping[str, Sequence[Sequence[float]]], columns: Sequence[str], digits: Sequence[int]) -> str:
    """Give a markdown table from the scores of each model: one sequence of scores a seed."""
    rows = [
        (name, *(spread(scores, each) for scores, each in zip(np.transpose(runs), digits, strict=True)))
        for name, runs in results.items()
    ]
    return Table(("model", *columns), rows).to_markdown()


def made_with(module: str) -> str:
    """Say which command made a table, with which versions, on how many cores."""
    command = " ".join(["python -m", module, *sys.argv[1:]])
    versions = ", ".join(f"{name} {found}" for name in PACKAGES if (found := installed(name)))
    return f"`{command}`; tsssm {tsssm.__version__}, {versions}, Python {platform.python_version()}, {os.cpu_count()} cores"


def installed(name: str) -> str:
    """Version of a package, empty where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
