"""Forecasters and classifiers of sktime beside ours, on competitions, irregular series and labelled sets.

python -m benchmarks.sktime_benchmark --data FOLDER --seeds 3

Results are kept in a file, so that a run that was stopped goes on where it was; `--table` prints what is there, and
`--picture` draws the ranks. AutoETS, which takes hours on the competitions, is fitted where `--models` names it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import tsssm
from benchmarks.ranks import mean_ranks
from benchmarks.report import made_with, table
from benchmarks.resume import Record, Run, read
from benchmarks.sktime_benchmark import classifiers, forecasters
from benchmarks.sktime_benchmark.fits import KEY, Cell, measure, warm
from benchmarks.sktime_benchmark.picture import rank_picture
from benchmarks.sktime_benchmark.scores import COLUMNS
from benchmarks.sktime_benchmark.tasks import FORECASTS, M3
from tsssm.errors import explain

RESULTS = Path("benchmarks/results/sktime_benchmark.jsonl")
# the same fit whatever the seed
FIXED = {"NaiveForecaster, last", "NaiveForecaster, last season", "ThetaForecaster", "AutoETS", "class prior"}
SLOW = {"AutoETS"}
TASKS = (*FORECASTS, *classifiers.SETS)
MODELS = (*forecasters.MODELS, *classifiers.MODELS)
# score by which models are ranked, and whether more of it is better
RANKED = {"forecasts": ("MASE", -1), "classes": ("accuracy", 1)}


def plan(options: argparse.Namespace) -> list[Cell]:
    """All cells that are wanted."""
    cells = []
    for task in options.tasks:
        models = forecasters.MODELS if task in FORECASTS else classifiers.MODELS
        for model in models:
            if model not in options.models:
                continue
            seeds = 1 if model in FIXED else options.seeds
            cells += [Cell(options.data, task, model, seed) for seed in range(seeds)]
    return cells


def show(records: list[Record]) -> str:
    """Tables of forecasts, task by task, one of accuracies, and the mean ranks of each."""
    parts = []
    for task in dict.fromkeys(record["task"] for record in records if record["task"] in FORECASTS):
        rows: dict[str, list] = {}
        for record in records:
            if record["task"] == task:
                values = [record["scores"].get(name, np.nan) for name in COLUMNS]
                rows.setdefault(record["model"], []).append([*values, record["seconds"]])
        parts.append(f"**{task}**\n\n{table(rows, (*COLUMNS, 'CPU [s]'), (3, 2, 3, 3, 0))}")
    if whole := m3_whole(records):
        parts.append(f"**m3, all forecasts**\n\n{table(whole, ('sMAPE',), (2,))}")
    for name, (scores, models) in ranked(records).items():
        rows = {model: [[rank]] for model, rank in zip(models, mean_ranks(scores), strict=True)}
        if name == "classes":
            rows = {model: [[rows[model][0][0], scores[:, k].mean()]] for k, model in enumerate(models)}
        columns = ("mean rank", "mean accuracy") if name == "classes" else ("mean rank",)
        parts.append(
            f"**{name}**: {len(scores)} tasks that all have done\n\n{table(rows, columns, (2, 3)[: len(columns)])}"
        )
    return "\n\n".join(parts)


def m3_whole(records: list[Record]) -> dict[str, list[list[float]]]:
    """The sMAPE of all forecasts of M3, which the competition reports, by model and seed, of what has all four parts."""
    parts: dict[tuple[str, int], dict[str, float]] = {}
    for record in records:
        if record["task"] in M3:
            parts.setdefault((record["model"], record["seed"]), {})[record["task"]] = record["scores"]["sMAPE"]
    rows: dict[str, list[list[float]]] = {}
    for (model, _), found in sorted(parts.items()):
        if len(found) == len(M3):
            mean = sum(M3[task] * score for task, score in found.items()) / sum(M3.values())
            rows.setdefault(model, []).append([mean])
    return rows


def ranked(records: list[Record]) -> dict[str, tuple[np.ndarray, list[str]]]:
    """Scores (tasks, models), averaged over seeds, higher is better, of the tasks that all models have done."""
    found = {}
    for name, (column, sign) in RANKED.items():
        cells: dict[str, dict[str, list[float]]] = {}
        for record in records:
            if column in record["scores"]:
                own = cells.setdefault(record["task"], {}).setdefault(record["model"], [])
                own.append(sign * record["scores"][column])
        models = sorted({model for task in cells.values() for model in task})
        done = [[np.mean(task[model]) for model in models] for task in cells.values() if len(task) == len(models)]
        if done and len(models) > 1:
            found[name] = (np.array(done), models)
    return found


def draw(records: list[Record], file: Path) -> None:
    """Draw the ranks of forecasts and of classes below each other."""
    from matplotlib.figure import Figure

    parts = ranked(records)
    figure = Figure(figsize=(9, 2.6 * len(parts)), layout="constrained")
    for ax, (name, (scores, models)) in zip(
        figure.subplots(len(parts), squeeze=False)[:, 0], parts.items(), strict=True
    ):
        rank_picture(scores, models, ax)
        ax.set_title(f"{name}, by {RANKED[name][0]}", loc="left", fontweight="bold")
    figure.savefig(file, dpi=110)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sktime_benchmark", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with tourism/, m3/, m4/, ..., ucr/, uea/")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS, metavar="TASK")
    usual = [model for model in MODELS if model not in SLOW]
    parser.add_argument("--models", nargs="+", default=usual, choices=MODELS, metavar="MODEL")
    parser.add_argument("--seeds", type=int, default=3, help="fits of what has a seed (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="fits at once (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of results (%(default)s)")
    parser.add_argument("--table", action="store_true", help="fit nothing, print what is there")
    parser.add_argument("--picture", type=Path, help="file to draw the ranks into, .png or .svg")
    options = parser.parse_args()
    if not options.data.is_dir():
        raise SystemExit(explain("`--data` must be a folder", f"{options.data} is none", "See benchmarks/README.md"))
    return options


def main() -> None:
    """Fit what is missing, print, draw."""
    options = arguments()
    cells = plan(options)
    if not options.table:
        done = read(options.results, KEY)
        work = {cell: 1.0 for cell in cells if (*cell[1:], tsssm.__version__) not in done}
        run = Run(
            measure,
            lambda cell: f"{cell.task}, {cell.model}, seed {cell.seed}",
            lambda record: ", ".join(f"{name} {value:.3f}" for name, value in record["scores"].items()),
            warm,
        )
        run.fill(work, options.jobs, options.results)
    wanted = {(*cell[1:], tsssm.__version__) for cell in cells}
    records = [record for key, record in read(options.results, KEY).items() if key in wanted]
    print(f"\n{show(records)}\n\n{made_with('benchmarks.sktime_benchmark')}")
    if options.picture:
        draw(records, options.picture)


if __name__ == "__main__":
    main()
