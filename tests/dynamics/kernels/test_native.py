"""The compiled library on different threads and machines."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.dynamics.kernels.test_fused import KINDS, everything, results
from tsssm.dynamics.kernels import native
from tsssm.dynamics.kernels.fused import modal_fused


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def test_threads_do_not_change_a_bit():
    modal = everything("complex", 20, 500, 40, 6)
    threads, runs = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            runs.append(results(modal_fused, modal))
    finally:
        torch.set_num_threads(threads)
    for run in runs[1:]:
        assert all(torch.equal(one, other) for one, other in zip(run, runs[0], strict=True))


def test_threads_of_python_run_at_once():
    scans = [everything(kind, 4, 200, 20, 4) for kind in KINDS for _ in range(4)]
    truth = [results(modal_fused, modal) for modal in scans]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda modal: results(modal_fused, modal), scans))
    for run, true in zip(found, truth, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(run, true, strict=True))


INSTRUCTIONS = """
import sys, torch
from tests.dynamics.kernels import test_fused as tests
from tsssm.dynamics.kernels.native import library
torch.manual_seed(0)
for kind in tests.KINDS:
    tests.equal(tests.everything(kind, 2, 70, 17, 3))
    tests.equal(tests.scan(kind, 2, 70, 17, 3))
    tests.equal(tests.scan(kind, 2, 70, 17, 3, alpha=0.5))
print(library().tsssm_lanes(4))
"""


@pytest.mark.parametrize("instructions", ["baseline", "avx2", "avx512"])
def test_every_set_of_instructions(instructions: str):
    environment = {**os.environ, "TSSSM_ISA": instructions, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", INSTRUCTIONS], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # a machine without a set runs the next smaller one
    assert int(done.stdout) <= {"baseline": 4, "avx2": 8, "avx512": 16}[instructions]


def test_without_a_compiler_it_says_so_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(native, "__file__", str(tmp_path / "native.py"))
    native.library.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, "tsssm"):
            assert native.library() is None
            assert native.library() is None
    finally:
        native.library.cache_clear()
    assert [record.message.split(",")[0] for record in caplog.records] == ["tsssm runs without its compiled kernels"]
