"""Runs of many fits that may be stopped: each result is a line of a file, and what the file has is not fitted again."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Generic, TypeVar

# A thread each: NumPy, numba and torch read these when they are imported.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

Record = dict[str, Any]
Cell = TypeVar("Cell")


def read(file: Path, key: Sequence[str]) -> dict[tuple, Record]:
    """Give the stored results by the values of their entries `key`; the last of several counts."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    found = [json.loads(line) for line in lines]
    return {tuple(each[name] for name in key): each for each in found}


class Run(Generic[Cell]):
    """Measures cells in processes of one thread each and appends their results to a file, saying how far it is.

    Parameters
    ----------
    measure : callable
        From a cell to its record; both are sent between processes. Like `warm` it must live in a module that a fresh
        process can import, which the `__main__` of a package is not.
    name, result : callable
        How a cell and a record are called in the line of progress.
    warm : callable
        Called first in each process, so that no time is one of compiling or importing.
    """

    def __init__(
        self,
        measure: Callable[[Cell], Record],
        name: Callable[[Cell], str],
        result: Callable[[Record], str],
        warm: Callable[[], None],
    ):
        self.measure, self.name, self.result, self.warm = measure, name, result, warm

    def fill(self, work: Mapping[Cell, float], jobs: int, file: Path) -> None:
        """Measure the cells of `work`, which says what each is expected to cost beside the others."""
        file.parent.mkdir(parents=True, exist_ok=True)
        start, done, total = time.monotonic(), 0.0, sum(work.values())
        with file.open("a", encoding="utf-8") as out:
            for count, (cell, record) in enumerate(self._records(list(work), jobs), start=1):
                done += work[cell]
                left = (time.monotonic() - start) * (total - done) / done / 60
                if isinstance(record, BaseException):
                    what = f"failed, {type(record).__name__}: {record}"
                else:
                    out.write(json.dumps(record) + "\n")
                    out.flush()
                    what = self.result(record)
                print(f"[{count}/{len(work)}] {self.name(cell)}: {what}; about {left:.0f} min left", flush=True)

    def _records(self, cells: list[Cell], jobs: int) -> Iterator[tuple[Cell, Record | BaseException]]:
        """Give what comes, and the error of what fails, as it comes."""
        os.environ.update(THREADS)
        fresh = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=fresh, initializer=self.warm) as pool:
            waiting = {pool.submit(self.measure, cell): cell for cell in cells}
            for future in as_completed(waiting):
                yield waiting[future], future.exception() or future.result()
