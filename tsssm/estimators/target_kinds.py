"""TargetKind: what the numbers of a target mean - how they are learned, which head answers, how answers are judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from torch import Tensor

from tsssm.data.rotations import RotationForm, rotation_errors
from tsssm.heads import Gaussian, Head, Orientation, RowOrientation, Value


class TargetKind(ABC):
    """Targets of regressors in the user's numbers (m, t) and as what a head answers (m, k), averaged over members."""

    answer: ClassVar[tuple[str, str]]
    """Names of the answer of heads for series and for rows."""

    @abstractmethod
    def encode(self, values: np.ndarray) -> np.ndarray:
        """What a head learns, (m, k), NaN where a target is missing."""

    @abstractmethod
    def decode(self, answers: np.ndarray) -> np.ndarray:
        """The user's numbers (..., t) of mean answers (..., k)."""

    @abstractmethod
    def series_head(self, d_model: int, n_static: int, dropout: float) -> Head:
        """A head for one target a series."""

    @abstractmethod
    def row_head(self, d_model: int) -> Head:
        """A head for a target at each row."""

    @abstractmethod
    def read_rows(self, head: Head, features: Tensor) -> Tensor:
        """What the head for rows answers from features (..., d) alone, (..., k)."""

    @abstractmethod
    def errors(self, found: np.ndarray, truth: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
        """Errors of the user's numbers (m, t) in their units, where the truth is known."""

    @abstractmethod
    def score(self, errors: pd.DataFrame) -> float:
        """One number of these errors, greater for better ones."""


@dataclass(frozen=True, eq=False)
class Numbers(TargetKind):
    """Numbers without any bond, each standardised.

    Parameters
    ----------
    center, scale : ndarray, (t,)
    """

    center: np.ndarray
    scale: np.ndarray

    answer: ClassVar[tuple[str, str]] = ("value", "mean")

    def encode(self, values: np.ndarray) -> np.ndarray:
        return (values - self.center) / self.scale

    def decode(self, answers: np.ndarray) -> np.ndarray:
        return answers * self.scale + self.center

    def series_head(self, d_model: int, n_static: int, dropout: float) -> Head:
        return Value(d_model, len(self.center), n_static, dropout)

    def row_head(self, d_model: int) -> Head:
        return Gaussian(d_model, len(self.center))

    def read_rows(self, head: Gaussian, features: Tensor) -> Tensor:
        return head.moments(features)[0]

    def errors(self, found: np.ndarray, truth: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
        off, spread = found - truth, truth - np.nanmean(truth, axis=0)
        rmse, mae = np.sqrt(np.nanmean(off**2, axis=0)), np.nanmean(np.abs(off), axis=0)
        r2 = 1 - np.nansum(off**2, axis=0) / np.nansum(spread**2, axis=0)
        table = {"rmse": rmse, "mae": mae, "r2": r2, "count": np.isfinite(truth).sum(0)}
        return pd.DataFrame(table, index=pd.Index(names, name="target"))

    def score(self, errors: pd.DataFrame) -> float:
        return float(errors["r2"].mean())


@dataclass(frozen=True)
class Rotations(TargetKind):
    """One rotation; members are averaged as matrices, of which the nearest rotation is the answer.

    Parameters
    ----------
    form : RotationForm
        How the user writes it.
    representation : str
        What a head makes it of, "6d" or "9d".
    """

    form: RotationForm
    representation: str

    answer: ClassVar[tuple[str, str]] = ("rotation", "rotation")

    def encode(self, values: np.ndarray) -> np.ndarray:
        return self.form.matrices(values).reshape(-1, 9)

    def decode(self, answers: np.ndarray) -> np.ndarray:
        columns = self.form.columns(answers.reshape(-1, 3, 3))
        return columns.reshape(*answers.shape[:-1], -1)

    def series_head(self, d_model: int, n_static: int, dropout: float) -> Head:
        return Orientation(d_model, self.representation, n_static, dropout)

    def row_head(self, d_model: int) -> Head:
        return RowOrientation(d_model, self.representation)

    def read_rows(self, head: RowOrientation, features: Tensor) -> Tensor:
        return head.rotation(features).flatten(-2)

    def errors(self, found: np.ndarray, truth: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
        known = np.isfinite(truth).all(1)
        degrees = pd.DataFrame(rotation_errors(*(self.form.matrices(part[known]) for part in (found, truth))))
        table = {"mean": degrees.mean(), "median": degrees.median(), "p95": degrees.quantile(0.95)}
        table |= {"rmse": (degrees**2).mean() ** 0.5, "count": degrees.count()}
        return pd.DataFrame(table).rename_axis("error [deg]")

    def score(self, errors: pd.DataFrame) -> float:
        return -float(errors.loc["rotation", "mean"])
