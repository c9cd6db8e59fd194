"""Rows of the tables: implementations beside ours, with errors, times, memory and ratios."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from benchmarks.peers.measure import Effort, Measured, alone, measure
from benchmarks.peers.problem import Maker, Problem, Truth
from tsssm.demo.page import Table

# relative errors in single precision stay far below; what is above is another result, not rounding
WRONG = 1e-2

COLUMNS = (
    "implementation",
    "error of y",
    "worst gradient",
    "forward [ms]",
    "and backward [ms]",
    "peak [MB]",
    "ratio forward",
    "ratio and backward",
    "target",
    "note",
)


@dataclass(frozen=True)
class Candidate:
    """An implementation, the module it needs, and how many times slower than ours it should be at the least."""

    make: Maker
    needs: str = "torch"
    target: float | None = None


def compared(candidates: Mapping[str, Candidate], problem: Problem, truth: Truth, effort: Effort) -> str:
    """Measure each candidate in a process of its own; the first one is ours, and ratios are to it."""
    rows: list[tuple[str, ...]] = []
    first: Measured | None = None
    for name, candidate in candidates.items():
        found = measured(name, candidate, problem, truth, effort)
        if first is None and isinstance(found, Measured):
            first = found
        rows.append(row(name, candidate, found, first))
    return Table(COLUMNS, rows).to_markdown()


def measured(name: str, candidate: Candidate, problem: Problem, truth: Truth | None, effort: Effort) -> Measured | str:
    """What was measured, or why nothing was."""
    return run(name, candidate.needs, measure, candidate.make, problem, truth, effort)


def run(name: str, needs: str, work: Callable[..., Any], *arguments: Any) -> Any:
    """Give what a call gives in a process of its own, or why it gives nothing."""
    if find_spec(needs) is None:
        return "not installed"
    progress(name)
    return alone(work, *arguments)


def row(name: str, candidate: Candidate, found: Measured | str, ours: Measured | None) -> tuple[str, ...]:
    """One line of a table of comparisons."""
    target = f"{candidate.target:g}" if candidate.target else ""
    if isinstance(found, str):
        return (name, *[""] * (len(COLUMNS) - 3), target, found)
    ratios = ("", "")
    if ours is not None and found is not ours:
        ratios = (f"{found.forward / ours.forward:.1f}", f"{found.both / ours.both:.1f}")
    note = "" if found.series is None else f"scaled from {found.series} series"
    memory = digits(1000 * found.both_gb)
    return (name, *error_cells(found), ms(found.forward), ms(found.both), memory, *ratios, target, note)


def error_cells(found: Measured) -> tuple[str, str]:
    """Error of y, and that of the worst gradient with its name."""
    gradients = {name: error for name, error in found.errors.items() if name != "y"}
    if not gradients:
        return "", ""
    worst = max(gradients, key=gradients.__getitem__)
    return marked(found.errors["y"]), f"{marked(gradients[worst])} ({worst})"


def marked(error: float) -> str:
    """An error, with a word where it is none of rounding."""
    return f"{error:.0e}" if error < WRONG else f"WRONG {error:.0e}"


def ms(seconds: float) -> str:
    """Milliseconds in three digits."""
    return digits(1000 * seconds)


def digits(value: float) -> str:
    """A number in three digits, never as a power of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def progress(words: str) -> None:
    """Say on standard error what is running: tables come only when they are whole."""
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)
