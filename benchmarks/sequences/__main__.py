"""Flat and hierarchical models of equal size on streams of sensors, with classical rows beside them.

python -m benchmarks.sequences
python -m benchmarks.sequences --data FOLDER --tasks orientation velocity breathing --setting full

Results are kept in a file, so that a run that was stopped goes on where it was; `--table` prints what is there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.report import made_with
from benchmarks.resume import Run, read
from benchmarks.sequences.classical import CLASSICAL, apply
from benchmarks.sequences.fits import KEY, SETTINGS, TITLES, Cell, measure, summary, warm
from benchmarks.sequences.tables import gains, section
from benchmarks.sequences.tasks import TASKS
from tsssm.errors import explain

RESULTS = Path("benchmarks/results/sequences.jsonl")
AT_HAND = [name for name, task in TASKS.items() if task.needs is None]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.sequences", description=__doc__, formatter_class=text)
    parser.add_argument("--data", type=Path, help="folder with files that do not come with tsssm, see --tasks")
    tasks = f"which tasks ({' '.join(AT_HAND)}; others need files: "
    tasks += ", ".join(f"{name} {task.needs}" for name, task in TASKS.items() if task.needs) + ")"
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=AT_HAND, help=tasks)
    parser.add_argument("--rows", nargs="+", choices=list(TITLES), default=list(TITLES), help="models (all)")
    parser.add_argument("--setting", choices=list(SETTINGS), default="small", help="amount of work (%(default)s)")
    parser.add_argument("--seeds", type=int, help="draws and models (that of the setting)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of results (%(default)s)")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what is stored")
    return parser.parse_args()


def plan(options: argparse.Namespace) -> list[Cell]:
    """Give the cells that are asked for and not stored, seed after seed."""
    stored = read(options.results, KEY)
    missing = [name for name in options.tasks if TASKS[name].needs and not _has(options.data, TASKS[name].needs)]
    if missing:
        must = f"{missing[0]} needs a folder with {TASKS[missing[0]].needs}"
        raise ValueError(explain(must, f"--data {options.data} has none", "See datasets/README.md for the form"))
    seeds = range(SETTINGS[options.setting].seeds if options.seeds is None else options.seeds)
    cells = [
        Cell(options.setting, name, alignment, row, seed, options.data)
        for seed in seeds
        for name in options.tasks
        for row in options.rows
        for alignment in (("time",) if row in CLASSICAL or TASKS[name].later is None else ("time", "end"))
        if row not in CLASSICAL or apply(row, name, TASKS[name])
    ]
    return [cell for cell in cells if cell.key not in stored]


def _has(folder: Path | None, file: str) -> bool:
    return folder is not None and (folder / file).is_file()


def main() -> None:
    """Measure what is not stored, print."""
    options = arguments()
    if not options.table:
        work = {cell: 0.05 if cell.row in CLASSICAL else 1.0 for cell in plan(options)}
        Run(measure, lambda cell: cell.title, summary, warm).fill(work, options.jobs, options.results)
    records = [each for each in read(options.results, KEY).values() if each["setting"] == options.setting]
    for task in options.tasks:
        if any(record["task"] == task for record in records):
            print(section(records, task))
    print(gains(records, options.tasks))
    print(made_with("benchmarks.sequences"))


if __name__ == "__main__":
    main()
