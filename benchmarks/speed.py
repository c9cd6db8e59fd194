"""Speed of our scan beside that of other packages: results are compared first, then time and memory are measured.

python -m benchmarks.speed
python -m benchmarks.speed --quick
python -m benchmarks.speed --tables scan layer --threads 2

The whole takes about an hour on one quiet core, nearly all of it in the peers; `--quick` runs one small size of
everything in about a minute. Peers that are not installed are named in their rows:
`benchmarks/requirements-peers.txt` installs them. Targets are what our prototypes reached, forward and backward.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from benchmarks.peers import growth, jax_scans, ours, ragged, torch_scans
from benchmarks.peers.classifiers import CLASSIFIERS, fit_seconds
from benchmarks.peers.measure import Effort, Measured, alone
from benchmarks.peers.modules import LAYERS, s5_loop, s5_problem
from benchmarks.peers.problem import Size, python_loop, scan_problem, truth_of, with_autograd
from benchmarks.peers.tables import COLUMNS, Candidate, compared, measured, row, run
from benchmarks.report import installed, made_with
from tsssm.demo.page import Table

PEERS = ("jax", "s5-pytorch", "mambapy", "torchsde", "torchdiffeq", "torchcde")

SCANS = (Size(32, 1024, 64, 32), Size(16, 256, 64, 32), Size(4, 16384, 64, 32))
LAYER_SIZES = (Size(16, 256, 64, 64), Size(8, 1024, 128, 64), Size(32, 256, 128, 256))
EVEN = tuple(Size(16, l, 64, n) for l in (1024, 4096, 16384) for n in (4, 16, 32))
SMALL = Size(2, 64, 8, 4)


@dataclass(frozen=True)
class Plan:
    """What is run: everything, or one small size of it."""

    quick: bool
    effort: Effort


def scan(plan: Plan) -> None:
    """Irregular gaps, a state for each channel: the scan itself."""
    threads = plan.effort.threads
    candidates = {
        "tsssm.dynamics.evolve": Candidate(with_autograd(ours.scan)),
        "jax lax.scan": Candidate(jax_scans.with_jax(jax_scans.sequential, threads), "jax", 40),
        "python loop, complex": Candidate(with_autograd(python_loop), target=45),
        "s5-pytorch, associative scan": Candidate(with_autograd(torch_scans.s5_pytorch), "s5", 100),
        "mambapy, pscan": Candidate(with_autograd(torch_scans.mambapy), "mambapy", 100),
        "torch associative_scan, eager": Candidate(with_autograd(torch_scans.torch_associative_scan), target=120),
        "jax lax.associative_scan": Candidate(jax_scans.with_jax(jax_scans.associative, threads), "jax", 140),
    }
    for size in (SMALL,) if plan.quick else SCANS:
        heading(f"Scan, irregular gaps, {size} (series x rows x channels x states)")
        problem = scan_problem(size)
        truth = alone(truth_of, python_loop, problem, size.b)
        show(compared(candidates, problem, truth, plan.effort))


def even(plan: Plan) -> None:
    """An even grid, where a convolution is possible."""
    candidates = {
        "tsssm.dynamics.evolve": Candidate(with_autograd(ours.scan)),
        "S4D: Vandermonde kernel and FFT": Candidate(with_autograd(torch_scans.s4d_convolution), target=1),
    }
    for size in (SMALL,) if plan.quick else EVEN:
        heading(f"Scan, even gaps, {size}")
        problem = scan_problem(size, unique=1, fixed=frozenset({"dt"}))
        truth = alone(truth_of, python_loop, problem, 1)
        show(compared(candidates, problem, truth, plan.effort))


def lengths(plan: Plan) -> None:
    """Series of different lengths, packed and padded; the same kernel runs both."""
    cases = {
        "lognormal": ragged.lognormal_lengths(*((8, 20) if plan.quick else (64, 200))),
        "uniform": ragged.uniform_lengths(*((8, 10, 40) if plan.quick else (64, 50, 500))),
    }
    for name, each in cases.items():
        share = max(each) * len(each) / sum(each)
        heading(f"{len(each)} series of {min(each)} to {max(each)} rows, {name}, 64 channels x 32 states")
        packed = ragged.packed_problem(each, 64, 32)
        padded = ragged.padded_problem(packed, each)
        truths = alone(ragged.truths, packed, each)
        if isinstance(truths, str):
            show(truths)
            continue
        ends = Candidate(ragged.masked(ragged.OURS, each), target=round(share, 1))
        known = measured("packed", Candidate(ragged.OURS), packed, truths[1], plan.effort)
        other = measured("padded", ends, padded, truths[0], plan.effort)
        first = known if isinstance(known, Measured) else None
        rows = [row("packed", Candidate(ragged.OURS), known, first), row("padded", ends, other, first)]
        show(Table(COLUMNS, rows).to_markdown())


def layer(plan: Plan) -> None:
    """A whole S5 layer with the same weights on both sides."""
    needs = {"s5-pytorch, S5SSM with step_scale": "s5"}
    targets = {"s5-pytorch, S5SSM with step_scale": 80.0, "python loop, complex": 4.0}
    candidates = {name: Candidate(make, needs.get(name, "torch"), targets.get(name)) for name, make in LAYERS.items()}
    for size in (SMALL,) if plan.quick else LAYER_SIZES:
        heading(f"S5 layer, irregular gaps, {size.b}x{size.l}, width {size.h}, {size.n} conjugate pairs")
        problem = s5_problem(size)
        truth = alone(truth_of, s5_loop, problem, size.b)
        show(compared(candidates, problem, truth, plan.effort))


def classifiers(plan: Plan) -> None:
    """The fit of a classifier of evenly observed series, the only ones that the peers take."""
    size, epochs = ((24, 30), 2) if plan.quick else ((100, 100), 50)
    heading(f"Fit of {size[0]} series x {size[1]} rows, {epochs} epochs in batches of 16, float32")
    rows, first = [], None
    for name, make in CLASSIFIERS.items():
        needs = "sktime" if name.startswith("sktime") else "torch"
        found = run(name, needs, fit_seconds, make, epochs, size, plan.effort.threads)
        if isinstance(found, str):
            rows.append((name, "", "", "", found))
            continue
        first = first or found["seconds"]
        ratio = f"{found['seconds'] / first:.1f}"
        rows.append((name, f"{found['accuracy']:.2f}", f"{found['seconds']:.1f}", ratio, ""))
    show(Table(("classifier", "accuracy", "fit [s]", "ratio", "note"), rows).to_markdown())


def cost(plan: Plan) -> None:
    """How time and memory grow."""
    heading("One series, 16 channels x 4 states")
    lengths = (10**2, 10**3) if plan.quick else tuple(10**k for k in range(3, 7))
    show(growth.in_length(lengths, 16, 4, plan.effort))
    heading("Packed series of 50 rows, 16 channels x 4 states")
    numbers = (10, 100) if plan.quick else tuple(10**k for k in range(2, 6))
    show(growth.in_series(numbers, 50, 16, 4, plan.effort))


def gaps(plan: Plan) -> None:
    """What few different gaps save."""
    size = SMALL if plan.quick else SCANS[0]
    heading(f"Grids of few different gaps, {size}")
    show(growth.in_gaps(size, (1, 50, 500, None), plan.effort))


def tiny(plan: Plan) -> None:
    """Accuracy where gaps are small beside the time scales."""
    length = 256 if plan.quick else 4096
    heading(f"Errors at steps |rate gap| of 1e-6 to 1e-4, {length} rows, float32 against float64")
    show(growth.tiny_steps(length))


def trajectories(plan: Plan) -> None:
    """Solvers of differential equations: a command of their own."""
    if find_spec("benchmarks.trajectories") is None:
        return
    smaller = ["--steps", "16", "--repeats", "3"] if plan.quick else []
    heading("Trajectories of neural differential equations")
    command = [sys.executable, "-m", "benchmarks.trajectories", *smaller]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    show(done.stdout if done.returncode == 0 else "failed")


TABLES: dict[str, Callable[[Plan], None]] = {
    each.__name__: each for each in (scan, layer, even, gaps, lengths, cost, tiny, classifiers, trajectories)
}


def heading(words: str) -> None:
    """Name the table that follows."""
    print(f"**{words}**\n", flush=True)


def show(text: str) -> None:
    """Print a table."""
    print(f"{text}\n", flush=True)


def main() -> None:
    """Compare, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small size of everything")
    parser.add_argument("--threads", type=int, default=1, help="1 reads processor time, more the wall (%(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="most runs of a median (%(default)s)")
    parser.add_argument("--gigabytes", type=float, default=10.0, help="beyond which work is scaled (%(default)s)")
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES), help="which ones (all)")
    options = parser.parse_args()
    seconds = 0.3 if options.quick else 15.0
    plan = Plan(options.quick, Effort(options.repeats, seconds, options.gigabytes, options.threads))
    for name in options.tables:
        TABLES[name](plan)
    print(made_with("benchmarks.speed"))
    print("; ".join(f"{name} {found}" for name in PEERS if (found := installed(name))))


if __name__ == "__main__":
    main()
