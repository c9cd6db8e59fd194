"""Generators beside real series, by the protocol of TimeGAN and by one whose windows do not overlap.

python -m benchmarks.generation --data FOLDER
python -m benchmarks.generation --data FOLDER --sets Sines Stocks --rates 0 --setting quick

Results are kept in a file, so that a run that was stopped goes on where it was; `--table` prints what is there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.generation.fits import KEY, ROWS, SETTINGS, Cell, measure, summary, warm, work
from benchmarks.generation.sets import FILES, NAMES
from benchmarks.generation.tables import sections
from benchmarks.report import made_with
from benchmarks.resume import Run, read

RATES = (0.0, 0.3, 0.5, 0.7)
PROTOCOLS = ("overlapping", "apart")
RESULTS = Path("benchmarks/results/generation.jsonl")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.generation", description=__doc__, formatter_class=text)
    files = ", ".join(FILES.values())
    parser.add_argument("--data", type=Path, help=f"folder with {files}; Sines needs none")
    parser.add_argument("--setting", choices=list(SETTINGS), default="full", help="amount of work (%(default)s)")
    parser.add_argument("--sets", nargs="+", choices=NAMES, default=NAMES, help="sets (all)")
    parser.add_argument("--rates", nargs="+", type=float, default=RATES, help="shares of rows dropped (0 0.3 0.5 0.7)")
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=PROTOCOLS, help="windows (both)")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=["real", "copies", "rows", "linear", "soft"])
    parser.add_argument("--seeds", type=int, help="of fits and draws (that of the setting)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of results (%(default)s)")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what is stored")
    options = parser.parse_args()
    if options.data is None and not options.table and set(options.sets) - {"Sines"}:
        parser.error("--data is needed for all sets but Sines")
    return options


def plan(options: argparse.Namespace) -> list[Cell]:
    """Give the cells that are asked for and not stored: seed after seed, rate after rate."""
    stored = read(options.results, KEY)
    seeds = range(SETTINGS[options.setting].seeds if options.seeds is None else options.seeds)
    cells = [
        Cell(options.setting, name, options.data, rate, protocol, seed, row)
        for seed in seeds
        for rate in options.rates
        for protocol in options.protocols
        for name in options.sets
        for row in options.rows
    ]
    return [cell for cell in cells if cell.key not in stored]


def main() -> None:
    """Measure what is not stored, print."""
    options = arguments()
    if not options.table:
        run = Run(measure, lambda cell: cell.title, summary, warm)
        run.fill({cell: work(cell) for cell in plan(options)}, options.jobs, options.results)
    records = [
        each
        for each in read(options.results, KEY).values()
        if each["setting"] == options.setting and each["set"] in options.sets and each["row"] in options.rows
    ]
    print(sections(records, ROWS))
    print(made_with("benchmarks.generation"))


if __name__ == "__main__":
    main()
