"""The modal scan on a CUDA device: equal to the loop first, then times, memory, and what the device could do at best.

python -m benchmarks.gpu

Without a device, the kernels are checked by Triton's interpreter at a tiny size and nothing is timed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from benchmarks.report import installed, made_with
from tsssm.demo.page import Table
from tsssm.dynamics.functions import expm1
from tsssm.dynamics.kernels.loop import Modal, modal_loop
from tsssm.dynamics.scan import associative_scan

# batch entries, rows, channels, modes
SIZES = ((32, 1024, 64, 32), (16, 256, 64, 32), (4, 16384, 64, 32))
CHECKED = ((1, 1024, 64, 32), (3, 65, 7, 5), (1, 4096, 8, 32))
TINY = ((1, 3, 2, 2),)
TOLERANCE = 2e-5
REPETITIONS = 30
# float instructions a mode and row of the kernels compiled for capability 9.0, without the sums over the modes
FORWARD, BACKWARD = 45, 64
# rows between two states that the kernels keep
KEPT = 8

Step = Callable[[], object]
Run = Callable[[Modal], tuple[Tensor, Tensor]]


def held(b: int, l: int, h: int, n: int) -> Modal:
    """Held inputs of h channels with n complex modes each, and irregular gaps."""
    torch.manual_seed(0)
    rate = torch.complex(-torch.rand(h, n) - 0.1, 10 * torch.rand(h, n))
    gap, hold = 0.2 * torch.rand(b, l), torch.randn(b, l, h)
    return Modal(rate, torch.randn(h, n, dtype=torch.complex64) / n, gap, hold=hold)


def variants(b: int, l: int, h: int, n: int) -> dict[str, Modal]:
    """The forms that layers use, at one size."""
    modal = held(b, l, h, n)
    packed = modal._replace(
        push=torch.randn(b, l, h),
        start=torch.randn(b, h, n, dtype=torch.complex64),
        reset=torch.rand(b, l) < 0.01,
        active=torch.rand(b, l) < 0.8,
    )
    shared = modal._replace(rate=modal.rate[:, :1], weight=modal.weight[:, :1], hold=modal.inputs * (1 + 1j))
    own = {"gap": 0.2 * torch.rand(b, l, h), "B": torch.randn(b, l, n), "C": torch.randn(b, l, n)}
    real = {"rate": modal.rate.real.contiguous(), "weight": modal.weight.real.contiguous()}
    selective = modal._replace(**own, **real)
    return {"held": modal, "packed": packed, "bilinear": packed._replace(alpha=0.5), "shared": shared, "own": selective}


def moved(modal: Modal, device: str, double: bool = False) -> Modal:
    """Copies on a device that collect gradients."""

    def copy(part: object) -> object:
        if not isinstance(part, Tensor) or part.dtype == torch.bool:
            return part.to(device) if isinstance(part, Tensor) else part
        wide = torch.complex128 if part.is_complex() else torch.float64
        return part.detach().to(device, wide if double else part.dtype).contiguous().requires_grad_()

    return Modal(*(copy(part) for part in modal))


def leaves(modal: Modal) -> list[Tensor]:
    """The fields that collect gradients."""
    return [part for part in modal if isinstance(part, Tensor) and part.requires_grad]


def results(run: Run, modal: Modal) -> list[Tensor]:
    """y, the end, and gradients from fixed gradients of both."""
    y, end = run(modal)
    draw = torch.Generator().manual_seed(1)
    grads = [torch.randn(part.shape, generator=draw, dtype=torch.float64).to(part) for part in (y, end)]
    return [part.detach().cpu() for part in (y, end, *torch.autograd.grad([y, end], leaves(modal), grads))]


def largest_error(modal: Modal, device: str) -> float:
    """Of y, end and gradients against the loop in double precision, beside the largest number of each."""
    from tsssm.dynamics.kernels.triton_scan import modal_triton

    pairs = zip(
        results(modal_triton, moved(modal, device)), results(modal_loop, moved(modal, "cpu", True)), strict=True
    )
    return max(((value - truth).abs().max() / truth.abs().max().clamp_min(1e-30)).item() for value, truth in pairs)


def check(sizes: tuple[tuple[int, int, int, int], ...], device: str) -> None:
    """Print the largest error of each form, and stop where one is too large."""
    names = list(variants(*TINY[0]))
    rows = []
    for size in sizes:
        errors = [largest_error(modal, device) for modal in variants(*size).values()]
        rows.append(("x".join(map(str, size)), *(f"{error:.1e}" for error in errors)))
        if not max(errors) < TOLERANCE:
            raise SystemExit(f"The kernels and the loop differ at {size}: {dict(zip(names, errors, strict=True))}")
    print(Table(("largest error against the loop in float64", *names), rows).to_markdown(), end="\n\n")


def materialising(modal: Modal) -> tuple[Tensor, Tensor]:
    """The same scan with all states in memory, as a parallel prefix."""
    m = expm1(modal.rate * modal.gap[..., None, None])
    states = associative_scan(1 + m, m * modal.inputs.unsqueeze(-1))
    return (modal.weight * states).sum(-1).real, states[:, -1]


def mamba(modal: Modal) -> tuple[Tensor, Tensor]:
    """The scan of mamba_ssm, which has a rule of its own for the inputs: for its time only."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    u = modal.inputs.mT.contiguous()
    delta = modal.gap.unsqueeze(1).expand_as(u).contiguous()
    y = selective_scan_fn(u, delta, modal.rate, torch.ones_like(modal.rate), modal.weight)
    return y.mT, y


def forward(run: Run, modal: Modal) -> Step:
    """What computes y alone."""

    def step() -> object:
        with torch.no_grad():
            return run(modal)[0]

    return step


def training(run: Run, modal: Modal) -> Step:
    """What computes y and the gradients of all but the gaps."""
    modal = modal._replace(gap=modal.gap.detach())
    asked, grad = leaves(modal), torch.ones_like(modal.inputs)
    return lambda: torch.autograd.grad(run(modal)[0], asked, grad)


def recorded(step: Step) -> Step:
    """A step as a CUDA graph: launched at once, without Python in between."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def measure(step: Step) -> tuple[str, str]:
    """Median microseconds, and peak GB beyond what was there before."""
    try:
        step()
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        times = []
        for _ in range(REPETITIONS):
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            step()
            stop.record()
            torch.cuda.synchronize()
            times.append(1000 * start.elapsed_time(stop))
    except torch.OutOfMemoryError:
        return "out of memory", ""
    return f"{np.median(times):.0f}", f"{(torch.cuda.max_memory_allocated() - before) / 1e9:.3f}"


def floors(b: int, l: int, h: int, n: int) -> tuple[float, float]:
    """Microseconds of forward, and with backward, that the device needs for the arithmetic or the memory traffic."""
    device = torch.cuda.get_device_properties(0)
    # capability 7.x and 8.0 have 64 float lanes on a multiprocessor, all later ones 128
    lanes = 64 if (device.major, device.minor) <= (8, 0) else 128
    instructions = device.multi_processor_count * lanes * device.clock_rate * 1e-3
    # both edges of the memory clock carry a bit of each line; kHz and bits to bytes a microsecond
    traffic = 2 * device.memory_clock_rate * 1e-3 * device.memory_bus_width / 8
    work, rows, kept = b * l * h * n, 4 * b * l * h, 8 * b * l * h * n / KEPT
    ahead = max(work * FORWARD / instructions, 2 * rows / traffic)
    return ahead, max(work * (FORWARD + BACKWARD) / instructions, (5 * rows + 2 * kept) / traffic)


def time_all() -> list[tuple[str, ...]]:
    """Rows of the table of times."""
    from tsssm.dynamics.kernels.triton_scan import modal_triton

    runs = {"modal_triton": modal_triton, "all states in memory": materialising}
    if find_spec("mamba_ssm") is not None:
        runs["mamba_ssm selective_scan (other rule)"] = mamba
    rows: list[tuple[str, ...]] = []
    for size in SIZES:
        name, modal, (ahead, both) = "x".join(map(str, size)), moved(held(*size), "cuda"), floors(*size)
        rows.append((f"{name}: the device at best", f"{ahead:.0f}", "", f"{both:.0f}", ""))
        rows += [(what, *measure(forward(run, modal)), *measure(training(run, modal))) for what, run in runs.items()]
        if size == min(SIZES, key=np.prod):
            steps = recorded(forward(modal_triton, modal)), recorded(training(modal_triton, modal))
            # a graph brings its memory along
            rows.append(("modal_triton in a CUDA graph", measure(steps[0])[0], "", measure(steps[1])[0], ""))
    return rows


def main() -> None:
    """Check, then print the times."""
    if find_spec("triton") is None:
        print("Triton is not installed: nothing to check or to time.")
        return
    if not torch.cuda.is_available():
        # read by Triton when it is imported, which happens in the functions above
        os.environ["TRITON_INTERPRET"] = "1"
        check(TINY, "cpu")
        print("There is no CUDA device here: the kernels were only checked, by Triton's interpreter.")
        return
    check(CHECKED, "cuda")
    columns = ("b x l x h x n", "forward [us]", "peak [GB]", "forward and backward [us]", "peak [GB]")
    print(Table(columns, time_all()).to_markdown())
    versions = f"triton {installed('triton')}, CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}"
    print(f"\n{made_with('benchmarks.gpu')}, {versions}")


if __name__ == "__main__":
    main()
