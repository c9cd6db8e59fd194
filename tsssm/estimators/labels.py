"""Labels and numbers that come with the series of a panel, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite, check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from tsssm.data import Panel
from tsssm.errors import explain


def class_numbers(panel: Panel, y: Any, known: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Classes in order, and the number of each label in them.

    Parameters
    ----------
    panel : Panel
        n series.
    y : array-like, (n,)
        Labels of any type.
    known : ndarray, optional
        Classes of an earlier fit, which then are the classes.
    """
    if y is None:
        raise ValueError(
            explain(
                "a classifier requires y to be passed, but the target y is None",
                "only X came",
                "Call fit(X, y) with a label for each series",
            )
        )
    y = column_or_1d(y, warn=True)
    check_consistent_length(panel, y)
    if y.dtype.kind == "f":
        assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    classes, number = np.unique(y, return_inverse=True)
    if known is not None:
        unknown = np.setdiff1d(classes, known)
        if len(unknown):
            raise ValueError(
                explain(
                    f"with warm_start the labels must be among {known.tolist()}",
                    f"{unknown.tolist()} came",
                    "Fit afresh with warm_start=False",
                )
            )
        return known, np.searchsorted(known, y)
    if len(classes) < 2:
        raise ValueError(
            explain(
                "a classifier needs at least two classes",
                f"all labels are one class, {classes[0]!r}",
                "Check the column of labels",
            )
        )
    return classes, number


def numbers(panel: Panel, y: Any) -> tuple[np.ndarray, bool]:
    """Targets as (n, t) float64, and whether they came as one column."""
    if y is None:
        raise ValueError(
            explain(
                "a regressor requires y to be passed, but the target y is None",
                "only X came",
                "Call fit(X, y) with a number for each series",
            )
        )
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    check_consistent_length(panel, y)
    return y.reshape(len(y), -1), y.ndim == 1


def centred(target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of targets (n, t) without NaN; 1 for the deviation of a constant."""
    spread = np.nanstd(target, axis=0)
    return np.nanmean(target, axis=0), np.where(spread > 0, spread, 1.0)


def geometric_mean(probability: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Geometric mean of probabilities (..., classes)."""
    least = np.finfo(np.float64).tiny
    mean = np.sqrt(np.maximum(probability, least)) * np.sqrt(np.maximum(other, least))
    return mean / mean.sum(-1, keepdims=True)


def some_of_each(y: np.ndarray, most: int, random: np.random.RandomState) -> np.ndarray:
    """Numbers of at most `most` of the labels, in order, drawn at random but for one of each class; all if so few."""
    if len(y) <= most:
        return np.arange(len(y))
    order = random.permutation(len(y))
    one_each = order[np.unique(y[order], return_index=True)[1]]
    return np.sort(
        np.append(one_each, np.setdiff1d(order, one_each, assume_unique=True)[: max(most - len(one_each), 0)])
    )
