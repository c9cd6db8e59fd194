"""Classifiers beside each other on the sets of the study of stable neural SDEs, whole and with values dropped.

python -m benchmarks.robustness --data FOLDER

Results are kept in a file, so that a run that was stopped goes on where it was; `--table` prints what is there.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import archive
from benchmarks.report import made_with
from benchmarks.resume import Run, read
from benchmarks.robustness.fits import KEY, SETTINGS, Cell, measure, summary, warm, work
from benchmarks.robustness.rows import ROWS, make
from benchmarks.robustness.sets import MULTIVARIATE, UNIVARIATE
from benchmarks.robustness.tables import sections
from tsssm.data import Panel
from tsssm.errors import explain

RATES = (0.0, 0.3, 0.5, 0.7)
RESULTS = Path("benchmarks/results/robustness.jsonl")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.robustness", description=__doc__, formatter_class=text)
    parser.add_argument("--data", type=Path, help="folder with ucr/*.parquet and uea/*.parquet; not needed to print")
    parser.add_argument("--setting", choices=list(SETTINGS), default="small", help="amount of work (%(default)s)")
    parser.add_argument("--sets", nargs="+", default=[*UNIVARIATE, *MULTIVARIATE], help="names of sets (all)")
    parser.add_argument("--rates", nargs="+", type=float, default=RATES, help="shares dropped (0 0.3 0.5 0.7)")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), help="models (all)")
    parser.add_argument("--seeds", type=int, help="splits, draws and models (that of the setting)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of results (%(default)s)")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what is stored")
    options = parser.parse_args()
    if options.data is None and not options.table:
        parser.error("--data is needed to measure; --table prints stored results")
    return options


def plan(options: argparse.Namespace) -> list[Cell]:
    """Give the cells that are asked for and not stored: seed after seed, rate after rate as given, small sets first."""
    stored, files = read(options.results, KEY), archive.find(options.data)
    unknown = sorted(set(options.sets) - set(files))
    if unknown:
        raise ValueError(
            explain("`--sets` must name sets of the folder", f"it has no {', '.join(unknown)}", "See --data")
        )
    seeds = range(SETTINGS[options.setting].seeds if options.seeds is None else options.seeds)
    paths = [path for name, path in files.items() if name in options.sets]
    cells = [
        Cell(options.setting, path, rate, seed, row)
        for seed in seeds
        for rate in options.rates
        for path in paths
        for row in options.rows
    ]
    return [cell for cell in cells if cell.key not in stored]


def main() -> None:
    """Measure what is not stored, print."""
    options = arguments()
    panel = Panel.from_array(np.zeros((2, 20)))
    options.rows = [row for row in options.rows if make(row, panel, 0, 1) is not None]
    if not options.table:
        run = Run(measure, lambda cell: cell.title, summary, partial(warm, options.rows))
        run.fill({cell: work(cell) for cell in plan(options)}, options.jobs, options.results)
    records = [
        each
        for each in read(options.results, KEY).values()
        if each["setting"] == options.setting and each["set"] in options.sets and each["row"] in options.rows
    ]
    print(sections(records, options.rates, {row: ROWS[row] for row in options.rows}))
    print(made_with("benchmarks.robustness"))


if __name__ == "__main__":
    main()
