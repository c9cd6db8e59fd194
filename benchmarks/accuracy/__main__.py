"""Layers on standard tasks beside plain rows.

python -m benchmarks.accuracy --data FOLDER --tasks digits copying --seeds 3

Results are kept in a file, so that a run that was stopped goes on where it was; `--table` prints what is there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.accuracy.registry import TASKS
from benchmarks.accuracy.store import KEY, Cell, measure, summary, warm
from benchmarks.accuracy.tables import section
from benchmarks.accuracy.task import LAYERS, Fit
from benchmarks.report import made_with
from benchmarks.resume import Run, read

RESULTS = Path("benchmarks/results/accuracy.jsonl")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.accuracy", description=__doc__, formatter_class=text)
    parser.add_argument(
        "--data", type=Path, help="folder of mnist/*.parquet and fsdd/fsdd.parquet; without it, tasks that need none"
    )
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), help="tasks (all)")
    parser.add_argument("--layers", nargs="*", choices=list(LAYERS), help="layers (those that each task can afford)")
    parser.add_argument("--plain", nargs="*", help="plain rows (all of each task)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[3], help="how many, or several seeds themselves (3)")
    parser.add_argument("--setting", choices=("small", "full"), default="small", help="for a CPU or for a GPU (small)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of results (%(default)s)")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what is stored")
    options = parser.parse_args()
    if len(options.seeds) == 1:
        options.seeds = list(range(options.seeds[0]))
    if options.data is None and not options.table:
        options.tasks = [task for task in options.tasks if not TASKS[task].needs_data]
    return options


def rows_of(task: str, options: argparse.Namespace) -> list[str]:
    """Rows of a task that are asked for, plain ones first."""
    plain = [row for row in TASKS[task].plain if options.plain is None or row in options.plain]
    return plain + list(TASKS[task].layers if options.layers is None else options.layers)


def plan(options: argparse.Namespace) -> list[Cell]:
    """Give the fits that are asked for and not stored."""
    small, stored = options.setting == "small", read(options.results, KEY)
    cells = [
        Cell(task, Fit(row, seed, options.data or Path(), small))
        for task in options.tasks
        for row in rows_of(task, options)
        # plain rows draw little or nothing
        for seed in (options.seeds if row in LAYERS else options.seeds[:1])
    ]
    return [cell for cell in cells if cell.key not in stored]


def main() -> None:
    """Measure what is not stored, print."""
    options = arguments()
    if not options.table:
        run = Run(measure, lambda cell: cell.title, summary, warm)
        run.fill(dict.fromkeys(plan(options), 1.0), options.jobs, options.results)
    for task in options.tasks:
        kept = [
            each
            for each in read(options.results, KEY).values()
            if (each["task"], each["setting"]) == (task, options.setting)
        ]
        if kept:
            print(section(TASKS[task], list(TASKS[task].rows), kept) + "\n")
    print(made_with("benchmarks.accuracy"))


if __name__ == "__main__":
    main()
