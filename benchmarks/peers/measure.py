"""Time, peak memory and errors of one implementation, measured in a process of its own."""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, Self

import torch

from benchmarks.peers.problem import Maker, Problem, Truth, errors

GB = 1e9
# the sampler sees a peak only if the work lasts a while
SAMPLED_SECONDS = 0.1
# exit codes of a process that took too much memory: by its own guard, and by the system
OVER = 9
ENDS = {OVER: "out of memory", -9: "out of memory"}


@dataclass(frozen=True)
class Effort:
    """How long is measured, and on how much memory.

    Attributes
    ----------
    repeats : int
        Most runs of which the median is taken.
    seconds : float
        No further run is started after this time.
    gigabytes : float
        Work that would need more is done on fewer series, and its time and memory scaled up.
    threads : int
        With one thread the time is that of the processor, which other processes on the machine do not change; with
        more it is the time on the wall.
    """

    repeats: int = 7
    seconds: float = 15.0
    gigabytes: float = 10.0
    threads: int = 1

    @property
    def clock(self) -> Callable[[], float]:
        """The clock that is read."""
        return time.process_time if self.threads == 1 else time.perf_counter


@dataclass(frozen=True)
class Measured:
    """Seconds and gigabytes of a pass forward and of one forward and backward, and the errors of the results."""

    forward: float
    both: float
    forward_gb: float
    both_gb: float
    errors: dict[str, float] = field(default_factory=dict)
    series: int | None = None
    """Number of series of the run, where it was fewer than the problem has."""


class Peak:
    """Anonymous memory of this process above that at entry, sampled each millisecond; ends the process at a limit."""

    def __init__(self, limit_gb: float):
        self.limit = limit_gb * GB
        self.gb = 0.0

    def __enter__(self) -> Self:
        release()
        self.base = self.peak = resident()
        self.done = threading.Event()
        self.sampler = threading.Thread(target=self._sample, daemon=True)
        self.sampler.start()
        return self

    def _sample(self) -> None:
        while not self.done.wait(0.001):
            self.peak = max(self.peak, resident())
            if self.peak - self.base > self.limit:
                os._exit(OVER)

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.sampler.join()
        self.gb = (max(self.peak, resident()) - self.base) / GB


def resident() -> int:
    """Bytes of memory in use, without files that are mapped: a forked process meets those one by one."""
    _, total, shared, *_ = Path("/proc/self/statm").read_text().split()
    return (int(total) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def release() -> None:
    """Give freed memory back to the system, so that a peak does not hide in what an earlier one left behind."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def peak_of(work: Callable[[], Any], limit_gb: float) -> tuple[float, Any]:
    """Most gigabytes that the work holds, and what it gives."""
    with Peak(limit_gb) as peak:
        start = time.perf_counter()
        answer = work()
        while time.perf_counter() - start < SAMPLED_SECONDS:
            answer = None
            answer = work()
    return peak.gb, answer


def seconds_of(work: Callable[[], Any], effort: Effort) -> float:
    """Median time of some runs; the caller has done one before."""
    clock, start = effort.clock, time.perf_counter()
    times: list[float] = []
    while len(times) < effort.repeats and (not times or time.perf_counter() - start < effort.seconds):
        before = clock()
        work()
        times.append(clock() - before)
    return median(times)


def measure(make: Maker, problem: Problem, truth: Truth | None, effort: Effort) -> Measured:
    """Compare the results with the truth, then measure memory and time.

    Work that would exceed the memory of `effort` is measured on fewer series and scaled: it is linear in them.
    """
    torch.set_num_threads(effort.threads)
    b, limit = len(problem.weight), 1.5 * effort.gigabytes
    make(problem.head(8)).both()
    runner = make(problem.series(0, 1))
    both_gb, answer = peak_of(runner.both, limit)
    series = max(1, min(b, int(effort.gigabytes / max(both_gb, 1e-6))))
    if series > 1:
        runner, answer = make(problem.series(0, series)), None
        both_gb, answer = peak_of(runner.both, limit)
    found: dict[str, float] = {}
    if truth is not None and len(truth.each) < series:
        found = errors_of(make, problem, truth)
    elif truth is not None:
        found = errors(runner.results(answer), truth.first(series))
    del answer
    forward_gb, _ = peak_of(runner.forward, limit)
    forward, both = seconds_of(runner.forward, effort), seconds_of(runner.both, effort)
    times = b / series
    return Measured(
        forward * times, both * times, forward_gb * times, both_gb * times, found, series if series < b else None
    )


def errors_of(make: Maker, problem: Problem, truth: Truth) -> dict[str, float]:
    """Only the errors, on all series that the truth is known for."""
    runner = make(problem.series(0, len(truth.each)))
    return errors(runner.results(runner.both()), truth.first(len(truth.each)))


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """Give what a call gives in a forked process of its own, or a few words where it ends without an answer.

    This process must not have used threads before: a fork would lose them.
    """
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, work, arguments))
    process.start()
    sender.close()
    try:
        # as plain bytes, for tensors would otherwise be shared with a process that ends
        answer = pickle.loads(receiver.recv_bytes())
    except EOFError:
        answer = None
    process.join()
    return ENDS.get(process.exitcode, "failed") if process.exitcode else answer


def _send(sender: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    sender.send_bytes(pickle.dumps(work(*arguments)))
