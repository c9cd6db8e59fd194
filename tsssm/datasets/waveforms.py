"""Physiological waveforms: several signals of one person at one rate."""

from __future__ import annotations

import numpy as np

from tsssm.data.clock import Clock
from tsssm.data.panel import Panel
from tsssm.datasets.files import Folder, choose, find, read_table


def load_waveforms(record: str, path: Folder = None) -> Panel:
    """Load one recording of ECG, pulse, pressure or breathing, from your own copy.

    Parameters
    ----------
    record : str
        Name of the record, such as "v102s" (ECG II and V, pulse PLETH, breathing RESP) or "03700181" (ECG, pressure,
        breathing).
    path : path
        Folder with `waveforms.parquet`, one row a channel: `record`, `signal`, `fs_hz`, `gain`, `baseline`, `units` and
        `adc`, a list of integers, of which (adc - baseline) / gain is in those units.

    Returns
    -------
    Panel, (1, c)
        A channel for each signal; times in seconds.

    References
    ----------
    A. Goldberger et al., PhysioBank, PhysioToolkit, and PhysioNet, Circulation 101 (23), 2000; data ODC-By 1.0.
    """
    table = read_table(find("waveforms", "waveforms.parquet", path))
    record = choose("record", record, tuple(table["record"].unique()))
    rows = table[table["record"] == record].to_dict("records")
    values = np.stack([(row["adc"] - row["baseline"]) / row["gain"] for row in rows], 1)
    times, offsets = np.arange(len(values)) / rows[0]["fs_hz"], np.array([0, len(values)])
    channels = tuple(row["signal"] for row in rows)
    return Panel(times, values, offsets, np.array([record]), channels, clock=Clock("number"))
