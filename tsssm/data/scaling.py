"""Scaling of channels and encoding of static features, learned from training data alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tsssm.data.frames import as_pandas
from tsssm.data.numeric import column_floats
from tsssm.data.panel import Panel
from tsssm.errors import explain

# Within float32 (largest 3.4e38), with room for what a first layer makes of it.
LARGEST = 1e37
# exp(700) is the last power that float64 holds with room for a scale.
STEEPEST = 700.0
# The interquartile range of a standard normal.
IQR = 1.349
# With more ties than this at the median, the interquartile range tells of the ties and not of the spread.
TIES = 0.25


@dataclass(frozen=True, eq=False)
class Scaling:
    """A robust standardisation of each channel: z = (x - center) / scale, then a soft limit g(z).

    With k the soft limit, g(z) = z for abs(z) <= k and sign(z) (k + log(1 + abs(z) - k)) beyond: smooth, increasing and
    invertible, so that a rare huge value can neither swamp the training nor be lost.

    Parameters
    ----------
    center, scale : (c,) float64
        In the units of the channels; scale > 0.
    seen : (c,) bool
        Whether the channel was ever observed in training.
    soft_limit : float
        k, in scales; infinity for none.

    Examples
    --------
    >>> from tsssm.data.panel import Panel
    >>> scaling = Scaling.fit(Panel.from_array([[1.0, 2.0, 3.0, 4.0, 5.0]]))
    >>> scaling.center
    array([3.])
    """

    center: np.ndarray
    scale: np.ndarray
    seen: np.ndarray
    soft_limit: float = 3.0

    @classmethod
    def fit(cls, panel: Panel, soft_limit: float = 3.0) -> Scaling:
        """Take median and interquartile range / 1.349 of each channel.

        Where a channel is tied at its median or nearly constant, the standard deviation serves, and then 1. O(rows c).
        """
        if not soft_limit > 0:
            raise ValueError(explain("`soft_limit` must be positive", f"got {soft_limit}", "Use 3.0, or inf for none"))
        columns = [robust(column[~np.isnan(column)]) for column in panel.values.T]
        center, scale = np.array(columns, dtype=np.float64).reshape(-1, 2).T
        seen = ~np.isnan(panel.values).all(axis=0)
        return cls(center.copy(), scale.copy(), seen, float(soft_limit))

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Give g((x - center) / scale), (rows, c) float64, in the range of float32; NaN in channels never seen."""
        with np.errstate(over="ignore"):
            z = (np.asarray(values, dtype=np.float64) - self.center) / self.scale
        size = np.minimum(np.abs(z), LARGEST)
        beyond = np.maximum(size - self.soft_limit, 0.0)
        limited = np.copysign(np.minimum(size, self.soft_limit) + np.log1p(beyond), z)
        return np.where(self.seen, limited, np.nan)

    def inverse(self, z: np.ndarray, channel_index: Any = None) -> np.ndarray:
        """Give x from g(z), never infinite; NaN in channels never seen.

        Parameters
        ----------
        z : (..., c) ndarray
            Scaled values; with `channel_index` an int any shape, with k indices (..., k).
        channel_index : int or (k,) int array, optional
            Which channels the last axis of z holds; by default all.
        """
        at = slice(None) if channel_index is None else channel_index
        z = np.asarray(z, dtype=np.float64)
        size = np.abs(z)
        beyond = np.clip(size - self.soft_limit, 0.0, STEEPEST)
        with np.errstate(over="ignore"):
            x = np.copysign(np.minimum(size, self.soft_limit) + np.expm1(beyond), z) * self.scale[at] + self.center[at]
        top = np.finfo(np.float64).max
        return np.where(self.seen[at], np.clip(x, -top, top), np.nan)


def robust(x: np.ndarray) -> tuple[float, float]:
    """Give a center and a positive scale of the finite numbers x; (0, 1) for none."""
    if x.size == 0:
        return 0.0, 1.0
    size = float(np.abs(x).max())
    if size == 0.0:
        return 0.0, 1.0
    # In units of the largest value nothing can overflow, neither a difference nor a square.
    tiny = 16 * np.finfo(x.dtype).eps
    x = x.astype(np.float64) / size
    low, center, high = np.percentile(x, [25, 50, 75])
    scale = (high - low) / IQR
    if scale <= tiny or np.mean(x == center) > TIES:
        scale = float(x.std())
    scale = min(scale * size, np.finfo(np.float64).max / 4) if scale > tiny else 1.0
    return float(center * size), float(scale) if scale >= np.finfo(np.float64).tiny else 1.0


@dataclass(frozen=True)
class StaticColumn:
    """How one static feature becomes numbers: standardised, or one column for each category met in training."""

    name: str
    center: float = 0.0
    scale: float = 1.0
    missing: bool = False
    categories: tuple | None = None

    @property
    def n_features(self) -> int:
        """Number of columns it gives."""
        return (1 if self.categories is None else len(self.categories)) + self.missing

    def transform(self, column: pd.Series) -> np.ndarray:
        """Give (n, n_features) float64."""
        if self.categories is None:
            x = _numbers(column, self.name)
            with np.errstate(over="ignore"):
                parts = [np.clip((x - self.center) / self.scale, -LARGEST, LARGEST)]
        else:
            codes = pd.Index(self.categories, dtype=object).get_indexer(pd.Index(column.astype(object)))
            parts = [codes == j for j in range(len(self.categories))]
        if self.missing:
            parts.append(column.isna().to_numpy())
        return np.nan_to_num(np.column_stack(parts).astype(np.float64)) if parts else np.empty((len(column), 0))


@dataclass(frozen=True)
class StaticEncoder:
    """Static features of series as numbers.

    Numeric columns are standardised robustly, with 0 for missing ones; text, categories and booleans become one column
    for each category of training, all 0 for an unknown one. Columns with gaps in training get a flag column more.

    Examples
    --------
    >>> import pandas as pd
    >>> encoder = StaticEncoder.fit(pd.DataFrame({"sex": ["f", "m", "f"]}))
    >>> encoder.transform(pd.DataFrame({"sex": ["m", "x"]}), 2)
    array([[0., 1.],
           [0., 0.]])
    """

    columns: tuple[StaticColumn, ...] = ()

    @classmethod
    def fit(cls, frame: pd.DataFrame | None) -> StaticEncoder:
        """Learn from the static table of the training panel, or from None."""
        if frame is None:
            return cls()
        frame = as_pandas(frame)
        if frame.columns.has_duplicates:
            raise ValueError(explain("static features must have different names", "one comes twice", "Rename them"))
        return cls(tuple(_learn(frame[name], name) for name in frame.columns))

    @property
    def n_features(self) -> int:
        """Number of columns that `transform` gives."""
        return sum(column.n_features for column in self.columns)

    def transform(self, frame: pd.DataFrame | None, n: int) -> np.ndarray:
        """Give (n, n_features) float64 for n series.

        Raises
        ------
        ValueError
            If the table has other columns or another number of rows, or a number is infinite.
        """
        names = [column.name for column in self.columns]
        given = [] if frame is None else list(frame.columns)
        if set(given) != set(names):
            came = f"fitted with {names}, got {given}"
            raise ValueError(explain("static features must be those of training", came, "Add or drop columns"))
        if frame is None or not names:
            return np.empty((n, 0))
        if len(frame) != n:
            raise ValueError(explain("`static` must have one row a series", f"{len(frame)} rows for {n}", "Mend it"))
        return np.column_stack([column.transform(frame[column.name]) for column in self.columns])


def _learn(column: pd.Series, name: str) -> StaticColumn:
    missing = bool(column.isna().any())
    if pd.api.types.is_bool_dtype(column.dtype) or not pd.api.types.is_numeric_dtype(column.dtype):
        if column.dtype.kind in "mM":
            do = "Turn them into numbers, for example days since a date"
            raise ValueError(explain("static features must be numbers or categories", f"{name!r} holds dates", do))
        found = list(pd.unique(column.dropna().astype(object)))
        return StaticColumn(name, missing=missing, categories=tuple(sorted(found, key=lambda v: (str(type(v)), v))))
    x = _numbers(column, name)
    center, scale = robust(x[~np.isnan(x)])
    return StaticColumn(name, center, scale, missing)


def _numbers(column: pd.Series, name: str) -> np.ndarray:
    if column.dtype.kind in "mMO" or not pd.api.types.is_numeric_dtype(column.dtype):
        came = f"static feature {name!r} is {column.dtype}"
        raise ValueError(explain("static features must be of the kind of training", came, "Convert the column"))
    x = column_floats(column, str(name)).astype(np.float64)
    if np.isinf(x).any():
        raise ValueError(explain("static features must be finite", f"{name!r} holds infinity", "Replace it by NaN"))
    return x
