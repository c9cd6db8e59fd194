"""The Triton kernels, run by Triton's interpreter in a process of its own, against the loop and the real compiler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tsssm.dynamics.kernels.loop import Modal, modal_loop

ROOT = Path(__file__).parents[3]
# small tiles: the interpreter takes milliseconds a row
ROWS = 4
ANGLES = np.geomspace(1e-12, 3e4, 120)


def random_modal(b: int, l: int, h: int, n: int, *extra: str, complex_rate: bool = True, **fixed: float) -> Modal:
    """A scan of h channels with `extra` fields; an upper-case name, `push` and `hold` of a complex scan are complex."""
    torch.manual_seed(l + n)
    numbers = torch.complex64 if complex_rate else torch.float32
    inputs = numbers if "complex" in extra else torch.float32
    rate = torch.complex(-torch.rand(h, n), 4 * torch.randn(h, n)) if complex_rate else -2 * torch.rand(h, n)
    parts = {
        "push": torch.randn(b, l, h, dtype=inputs),
        "start": torch.randn(b, h, n, dtype=numbers),
        "reset": torch.rand(b, l) < 0.2,
        "active": torch.rand(b, l) < 0.7,
        "B": torch.randn(b, l, n),
        "C": torch.randn(b, l, n, dtype=numbers),
        "gap": torch.rand(b, l, h),
    }
    modal = Modal(rate, torch.randn(h, n, dtype=numbers), torch.rand(b, l), torch.randn(b, l, h, dtype=inputs))
    return modal._replace(**{name: parts[name] for name in extra if name != "complex"}, **fixed)


# scan, segments of time
CASES = {
    "one row": (random_modal(2, 1, 3, 5), 1),
    "tiles less one": (random_modal(1, 7, 2, 2, complex_rate=False), 1),
    "whole tiles": (random_modal(1, 8, 2, 2, complex_rate=False), 1),
    "tiles and one": (random_modal(1, 65, 2, 2, complex_rate=False), 1),
    "complex": (random_modal(1, 9, 5, 5, "start", "push"), 1),
    "packed": (random_modal(2, 9, 3, 4, "start", "push", "reset", "active"), 1),
    "rational": (random_modal(1, 9, 3, 4, "start", "push", "reset", "active", alpha=0.7), 1),
    "real rational": (random_modal(1, 9, 3, 4, "start", complex_rate=False, alpha=1.0), 1),
    "shared states": (random_modal(2, 6, 5, 1, "complex", "start", "push", "reset", "active"), 1),
    "own gaps": (random_modal(1, 9, 5, 3, "gap", "start"), 1),
    "selective": (random_modal(1, 9, 5, 3, "gap", "start", "B", "C", "push", "active"), 1),
    "real selective": (random_modal(1, 9, 5, 3, "gap", "B", "C", complex_rate=False), 1),
    "segments": (random_modal(1, 25, 3, 2, "start", "reset", "active"), 3),
    "real segments": (random_modal(2, 10, 2, 2, "push", complex_rate=False), 7),
}


def as_leaves(modal: Modal, double: bool) -> Modal:
    """Copies that collect gradients."""

    def leaf(part: object) -> object:
        if not isinstance(part, Tensor) or part.dtype == torch.bool:
            return part
        wide = torch.complex128 if part.is_complex() else torch.float64
        return part.detach().to(wide if double else part.dtype).requires_grad_()

    return Modal(*(leaf(part) for part in modal))


def leaves(modal: Modal) -> dict[str, Tensor]:
    return {name: part for name, part in modal._asdict().items() if isinstance(part, Tensor) and part.requires_grad}


def outcome(modal: Modal, y: Tensor, end: Tensor) -> dict[str, Tensor]:
    """y, end, and the gradients of all fields from fixed gradients of both."""
    draw = torch.Generator().manual_seed(1)
    grads = [torch.randn(part.shape, generator=draw, dtype=torch.float64).to(part.dtype) for part in (y, end)]
    found = torch.autograd.grad([y, end], list(leaves(modal).values()), grads)
    return {"y": y, "end": end, **dict(zip(leaves(modal), found, strict=True))}


def error(value: Tensor, truth: Tensor) -> float:
    """Largest error beside the largest number, 1 where all are zero; infinite for the wrong shape or no number."""
    if value.shape != truth.shape or not value.abs().isfinite().all():
        return float("inf")
    scale = truth.detach().abs().max().item()
    return (value - truth).detach().abs().max().item() / (scale or 1.0)


def check_case(modal: Modal, segments: int) -> dict[str, float]:
    from tsssm.dynamics.kernels import triton_scan

    slow, fast = as_leaves(modal, True), as_leaves(modal, False)
    plan = triton_scan.plan_for(fast)._replace(rows=ROWS)
    plan = plan._replace(channels=min(plan.channels, 4))
    truth = outcome(slow, *modal_loop(slow))
    return {
        name: error(value, truth[name])
        for name, value in outcome(fast, *triton_scan.run_plan(fast, plan, segments)).items()
    }


def check_growth() -> dict[str, float]:
    """Relative errors of exp(z) - 1 for z from tiny to many turns: of a row that begins at zero and is fed ones."""
    from tsssm.dynamics.kernels.triton_scan import modal_triton

    def grown(rate: Tensor, dtype: torch.dtype) -> np.ndarray:
        ones = torch.ones(1, 1, len(rate), dtype=dtype)
        rate = rate.to(dtype).unsqueeze(1)
        return modal_triton(Modal(rate, torch.ones_like(rate), torch.ones(1, 1), hold=ones))[0].flatten().numpy()

    errors = {}
    for turn in (1j, -1, 0.5, -0.01 + 1j, -1 - 0.1j):
        z = torch.tensor(turn * ANGLES[ANGLES < (60 if turn == 0.5 else 1e9)]).to(torch.complex64)
        truth = np.expm1(z.numpy().astype(complex))
        value = grown(z, torch.complex64)
        # an angle of many turns is only known to its own rounding
        errors[f"along {turn}"] = float((abs(value - truth) / (abs(truth) + 0.05 * abs(z.imag.numpy()))).max())
        if np.isreal(turn):
            errors[f"real along {turn}"] = float((abs(grown(z.real, torch.float32) / truth.real - 1)).max())
    wild = grown(torch.tensor([1e12j, 3e37j, -1e30 + 0j]), torch.complex64)
    errors["bounded"] = float(max(0.0, abs(wild).max() - 4.5))
    errors["not a number stays"] = 0.0 if np.isnan(grown(torch.tensor([np.nan]), torch.float32)).all() else 1.0
    return errors


def check_rest() -> dict[str, float]:
    """Second derivatives, inputs without rows, and gradients of y or end alone."""
    from tsssm.dynamics.kernels.triton_scan import modal_triton

    small = random_modal(1, 2, 1, 2, "start", "reset")
    second = []
    for run, modal in ((modal_loop, as_leaves(small, True)), (modal_triton, as_leaves(small, False))):
        y, _ = run(modal)
        first = torch.autograd.grad(y.square().sum(), [modal.rate, modal.gap], create_graph=True)
        total = first[0].abs().square().sum() + first[1].square().sum()
        second.append(torch.autograd.grad(total, [modal.rate, modal.hold, modal.start]))
    errors = {f"second {i}": error(*pair) for i, pair in enumerate(zip(second[1], second[0], strict=True))}
    y, end = modal_triton(random_modal(2, 0, 3, 2, "start"))
    errors["no rows"] = float(y.shape != (2, 0, 3) or end.shape != (2, 3, 2))
    alone = []
    for run, modal in ((modal_loop, as_leaves(small, True)), (modal_triton, as_leaves(small, False))):
        alone.append(torch.autograd.grad(run(modal)[1].abs().square().sum(), modal.hold)[0])
    return errors | {"of the end alone": error(alone[1], alone[0])}


def check_compiler() -> dict[str, float]:
    """Bytes of machine code of each kernel, compiled for a device of capability 8.0 and not run."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime.jit import JITFunction

    from tsssm.dynamics.kernels import triton_scan

    class Device:
        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int) -> int:
            return 0

        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", 80, 32)

    sizes = {}
    run = JITFunction.run

    def compile_only(kernel: JITFunction, *args: object, **kwargs: object) -> None:
        made = run(kernel, *args, **{**kwargs, "warmup": True})
        sizes[f"{kernel.__name__} {len(sizes)}"] = len(made.asm["cubin"])

    triton.runtime.driver.set_active(Device())
    JITFunction.run = compile_only
    for case in ("one row", "rational", "shared states", "selective", "segments"):
        modal, segments = CASES[case]
        leaves = as_leaves(modal, False)
        plan = triton_scan.plan_for(leaves)._replace(rows=2)
        y, end = triton_scan.run_plan(leaves, plan, segments)
        torch.autograd.backward([y, end], [torch.ones_like(y), torch.ones_like(end)])
    return sizes


def run_here(**environment: str) -> dict[str, dict[str, float]]:
    """Run this file in a fresh process: Triton reads its environment once, and other tests must not see it changed."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environ = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run([sys.executable, __file__], check=False, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def interpreted() -> Iterator[dict[str, dict[str, float]]]:
    yield run_here(TRITON_INTERPRET="1")


@pytest.mark.parametrize("case", CASES)
def test_equals_loop(case: str, interpreted: dict[str, dict[str, float]]):
    errors = interpreted[case]
    assert {"y", "end", "rate", "weight", "gap", "hold"} <= set(errors)
    assert max(errors.values()) < 2e-6, errors


def test_growth_is_exact_at_every_size(interpreted: dict[str, dict[str, float]]):
    assert max(interpreted["growth"].values()) < 5e-7, interpreted["growth"]


def test_second_derivatives_no_rows_and_end_alone(interpreted: dict[str, dict[str, float]]):
    assert max(interpreted["rest"].values()) < 2e-6, interpreted["rest"]


def test_compiler_takes_what_the_interpreter_takes(tmp_path: Path):
    sizes = run_here(TRITON_CACHE_DIR=str(tmp_path), TRITON_INTERPRET="0")["sizes"]
    assert len(sizes) == 4 * 2 + 6 and min(sizes.values()) > 0, sizes


def main() -> None:
    if os.environ["TRITON_INTERPRET"] == "0":
        results = {"sizes": check_compiler()}
    else:
        results = {name: check_case(*case) for name, case in CASES.items()}
        results |= {"growth": check_growth(), "rest": check_rest()}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
