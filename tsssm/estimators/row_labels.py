"""Labels at rows: from panels, long tables and arrays of any labels to rows with a label each, and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets

from tsssm.data import Panel
from tsssm.data.frames import is_long
from tsssm.errors import explain
from tsssm.estimators.targets import aligned, by_row


class RowLabels(NamedTuple):
    """Rows, of the series of X, and their labels (m,) of any type; `known` (m,) is False where there is none."""

    rows: Panel
    labels: np.ndarray
    known: np.ndarray


def row_labels(panel: Panel, y: Any) -> RowLabels:
    """Read labels: a panel or long table of one column on rows of its own, or an array for the rows of `panel`.

    An array (n,) holds the label of all rows of each series, (n, l) one for each row.
    """
    if y is None:
        raise ValueError(
            explain(
                "a sequence classifier requires y to be passed, but the target y is None",
                "only X came",
                "Call fit(X, y) with a label for each row, or a Panel or long table with rows of its own",
            )
        )
    if is_long(y):
        return _of_table(panel, y)
    if isinstance(y, Panel):
        rows = aligned(y, panel)
        _refuse_many(rows.channels)
        values = rows.values[:, 0]
        known = np.isfinite(values)
        whole = (values[known] == np.rint(values[known])).all()
        return RowLabels(rows, np.where(known, values, 0).astype(np.int64) if whole else values, known)
    y = check_array(y, ensure_2d=False, dtype=None, ensure_all_finite="allow-nan", input_name="y")
    labels = by_row(panel, y).reshape(panel.n_rows)
    return RowLabels(panel.with_values(np.zeros(panel.n_rows), ["label"]), labels, ~pd.isna(labels))


def _of_table(panel: Panel, table: Any) -> RowLabels:
    """Labels of a long table: the order of its rows is that of a panel made from their numbers."""
    frame = pd.DataFrame(table) if isinstance(table, pd.DataFrame) else table.to_pandas()
    frame = frame.reset_index() if frame.index.nlevels > 1 else frame
    id, time = ("id", "time") if {"id", "time"} <= set(frame.columns) else frame.columns[:2]
    names = [name for name in frame.columns if name not in (id, time)]
    _refuse_many(names)
    number, classes = pd.factorize(frame[names[0]])
    frame = frame.assign(**{names[0]: np.where(number < 0, np.nan, number)})
    rows = aligned(Panel.from_frame(frame, id=id, time=time), panel)
    known = np.isfinite(rows.values[:, 0])
    place = np.where(known, rows.values[:, 0], 0).astype(np.int64)
    return RowLabels(rows, np.asarray(classes)[place] if len(classes) else place, known)


def _refuse_many(names: Any) -> None:
    if len(names) != 1:
        came = f"{len(names)} came: {', '.join(map(str, names))}"
        raise ValueError(explain("labels must be one column", came, "Fit a classifier for each"))


def numbered(labels: RowLabels, known: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Classes in order, or those `known` from an earlier fit, and the number of each row's class, NaN for none."""
    own = labels.labels[labels.known]
    if not len(own):
        raise ValueError(explain("rows must have labels", "none of them has one", "Check the join of X and y"))
    check_classification_targets(own)
    classes = np.unique(own)
    if known is not None:
        unknown = np.setdiff1d(classes, known)
        if len(unknown):
            must = f"with warm_start the labels must be among {known.tolist()}"
            raise ValueError(explain(must, f"{unknown.tolist()} came", "Fit afresh with warm_start=False"))
        classes = known
    if len(classes) < 2:
        came = f"all labels are one class, {classes[0]!r}"
        raise ValueError(explain("a classifier needs at least two classes", came, "Check the column of labels"))
    number = np.full(len(labels.labels), np.nan)
    number[labels.known] = np.searchsorted(classes, own)
    return classes, number
