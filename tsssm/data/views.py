"""A panel as text, as HTML and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from tsssm.data.panel import Panel


def describe(panel: Panel) -> str:
    """Say in one line what a panel holds."""
    lengths = panel.lengths
    rows = ""
    if len(panel):
        low, high = int(lengths.min()), int(lengths.max())
        rows = f" of {low} to {high} rows" if low < high else f" of {low} row{'s' * (low != 1)}"
    c = len(panel.channels)
    some = ", ".join(panel.channels[:6]) + (", ..." if c > 6 else "")
    span = "" if panel.n_rows == 0 else ", {} to {}".format(*_span(panel))
    return f"Panel({len(panel)} series{rows}, {c} channel{'s' * (c != 1)}: {some}; times {panel.clock.kind}{span})"


def describe_html(panel: Panel) -> str:
    """Give the line of `describe` and a table of the channels."""
    seen = ~np.isnan(panel.values[:, :50])
    rows = []
    for j, name in enumerate(panel.channels[:50]):
        known = panel.values[seen[:, j], j]
        low, mean, high = (known.min(), known.mean(), known.max()) if known.size else (np.nan,) * 3
        rows.append((name, f"{seen[:, j].mean() if panel.n_rows else 0.0:.1%}", low, mean, high))
    table = pd.DataFrame(rows, columns=["channel", "observed", "min", "mean", "max"])
    head = describe(panel).replace("&", "&amp;").replace("<", "&lt;")
    return f"<div><p>{head}</p>{table.to_html(index=False, border=0)}</div>"


def to_frame(panel: Panel) -> pd.DataFrame:
    """Give the long table of a panel."""
    keys = {panel.names[0]: np.repeat(panel.ids, panel.lengths), panel.names[1]: panel.stamps()}
    values = pd.DataFrame(panel.values, columns=list(panel.channels), copy=True)
    return pd.concat([pd.DataFrame(keys), values], axis=1)


def _span(panel: Panel) -> tuple[object, object]:
    ends = np.array([panel.times.argmin(), panel.times.argmax()])
    ticks = None if panel.ticks is None else panel.ticks[ends]
    first, last = panel.clock.stamps(panel.times[ends], ticks)
    return first, last
