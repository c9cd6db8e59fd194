"""Our scan alone: how its cost grows, what few different gaps save, and what is left of tiny steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from benchmarks.peers import ours
from benchmarks.peers.measure import Effort, Measured, alone, errors_of
from benchmarks.peers.problem import Problem, Size, python_loop, scan_problem, truth_of, with_autograd
from benchmarks.peers.ragged import packed_problem
from benchmarks.peers.tables import Candidate, digits, error_cells, measured, ms, run
from benchmarks.peers.torch_scans import s5_pytorch
from tsssm.demo.page import Table

OURS = Candidate(with_autograd(ours.scan))


def growth(problems: dict[str, Problem], steps: Sequence[int], states: int, effort: Effort) -> str:
    """Time and memory beside the number of rows; nanoseconds of one state at one row should not grow."""
    rows: list[tuple[str, ...]] = []
    for (name, problem), count in zip(problems.items(), steps, strict=True):
        found = measured(name, OURS, problem, None, effort)
        if isinstance(found, str):
            rows.append((name, "", "", "", "", found))
            continue
        each = [f"{1e9 * seconds / (count * states):.2f}" for seconds in (found.forward, found.both)]
        rows.append((name, ms(found.forward), ms(found.both), *each, digits(1000 * found.both_gb)))
    columns = (
        "size",
        "forward [ms]",
        "and backward [ms]",
        "forward [ns/state]",
        "and backward [ns/state]",
        "peak [MB]",
    )
    return Table(columns, rows).to_markdown()


def in_length(lengths: Sequence[int], h: int, n: int, effort: Effort) -> str:
    """One series of more and more rows."""
    problems = {f"{length:,} rows": scan_problem(Size(1, length, h, n)) for length in lengths}
    return growth(problems, lengths, h * n, effort)


def in_series(numbers: Sequence[int], length: int, h: int, n: int, effort: Effort) -> str:
    """More and more series of the same length, packed."""
    problems = {f"{number:,} series": packed_problem([length] * number, h, n) for number in numbers}
    return growth(problems, [length * number for number in numbers], h * n, effort)


def in_gaps(size: Size, uniques: Sequence[int | None], effort: Effort) -> str:
    """The same rows on grids of few different gaps and of all different ones."""
    rows = []
    for unique in uniques:
        problem = scan_problem(size, unique)
        truth = alone(truth_of, python_loop, problem, 1)
        name = {None: "all different", 1: "one"}.get(unique, f"{unique}")
        found = measured(f"{name} gaps", OURS, problem, truth, effort)
        if isinstance(found, Measured):
            cells = (*error_cells(found), ms(found.forward), ms(found.both), digits(1000 * found.both_gb))
        else:
            cells = ("", "", "", "", found)
        rows.append((name, *cells))
    columns = ("different gaps", "error of y", "worst gradient", "forward [ms]", "and backward [ms]", "peak [MB]")
    return Table(columns, rows).to_markdown()


def tiny_problem(length: int) -> Problem:
    """Steps |rate gap| between 1e-6 and 1e-4 for every state."""
    draw = torch.Generator().manual_seed(0)
    plain = scan_problem(Size(1, length, 16, 8))
    angle = torch.empty(16, 8).uniform_(0.5, 1.0, generator=draw) * torch.pi
    dt = 10 ** torch.empty(1, length).uniform_(-6, -4, generator=draw)
    # of unit modulus and stable: the gaps alone say how large a step is
    rate = torch.polar(torch.ones(16, 8), angle)
    return Problem(plain.parts | {"rate": rate, "dt": dt}, plain.weight)


def tiny_steps(length: int) -> str:
    """Errors in float32 where exp(z) - 1 cancels."""
    problem = tiny_problem(length)
    truth = alone(truth_of, python_loop, problem, 1)
    forms = {
        "tsssm evolve": OURS,
        "(exp(z) - 1) / rate, complex64 loop": Candidate(with_autograd(python_loop)),
        "(exp(z) - 1) / rate, s5-pytorch scan": Candidate(with_autograd(s5_pytorch), "s5"),
    }
    names = ("y", "rate", "u", "dt", "C")
    rows = []
    for name, form in forms.items():
        found = run(name, form.needs, errors_of, form.make, problem, truth)
        cells = [f"{found[each]:.1e}" for each in names] if isinstance(found, dict) else [found, "", "", "", ""]
        rows.append((name, *cells))
    columns = ("form", "error of y", *(f"gradient by {name}" for name in names[1:]))
    return Table(columns, rows).to_markdown()
