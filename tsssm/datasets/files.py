"""Where the files of data sets are, and how they are read."""

from __future__ import annotations

from importlib.util import find_spec
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from tsssm.errors import explain

Folder = str | PathLike[str] | None


def find(name: str, file: str, path: Folder) -> Path:
    """Give the path of a data file: in the user's folder, in the installed package, or in the checkout."""
    installed = Path(__file__).parents[1] / "_datasets"
    home = installed if installed.is_dir() else Path(__file__).parents[2] / "datasets"
    folder = home / name if path is None else Path(path)
    if not (folder / file).is_file():
        came = f"{str(folder)!r} has no {file}"
        do = "Give the folder that holds it as `path`, or install tsssm again to have its own copy"
        raise FileNotFoundError(explain(f"the files of {name} must be in their folder", came, do))
    return folder / file


def read(file: Path) -> dict[str, np.ndarray]:
    """Give the arrays of a file of NumPy's."""
    with np.load(file) as stored:
        return dict(stored)


def read_table(file: Path) -> pd.DataFrame:
    """Give the table of a Parquet file."""
    needs("pyarrow", "Parquet files")
    return pd.read_parquet(file)


def needs(package: str, what: str) -> None:
    """Refuse to go on without a package that reads such files."""
    if find_spec(package) is None:
        came = f"{package} is not installed"
        raise ImportError(explain(f"{what} need {package}", came, f"Run pip install {package}"))


def choose(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Give the value of an argument, one of some words."""
    if value not in choices:
        some = ", ".join(repr(choice) for choice in choices)
        raise ValueError(explain(f"`{name}` must be one of {some}", f"got {value!r}", "Pass one of these"))
    return value
