"""The compiled kernels under the sanitizers: every function, on random shapes, with buffers of exactly the size they need."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from shutil import which

import pytest

DRIVER = Path(__file__).parents[2] / "native" / "sanitize.c"
# without optimization this compiles in a quarter of a minute; `make sanitize` takes all instruction sets and more cases
FLAGS = [
    *("-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O0", "-g1", "-Wno-psabi", "-fopenmp", "-DTSSSM_BASELINE_ONLY"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
]


def test_no_wrong_access_and_nothing_read_that_was_not_written(tmp_path: Path):
    compiler = os.environ.get("CC") or which("gcc") or which("clang")
    if compiler is None:
        pytest.fail("no C compiler: this test needs gcc or clang on the PATH, with its sanitizers and OpenMP")
    program = tmp_path / "sanitize"
    built = subprocess.run([compiler, *FLAGS, DRIVER, "-o", program], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([program, "15"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "0 failures" in ran.stdout
