"""The package as it is imported and installed: fast, lazy, and with names that exist."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tsssm

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "sktime", "pandas", "sklearn", "scipy", "matplotlib")


def run(code: str) -> str:
    """Run code in a fresh interpreter and give what it prints."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_import_loads_nothing_heavy():
    loaded = run("import sys, tsssm; dir(tsssm); print(*{name.split('.')[0] for name in sys.modules})").split()
    assert not set(HEAVY) & set(loaded)


def test_import_is_fast():
    code = "import time; start = time.perf_counter(); import tsssm; print(time.perf_counter() - start)"
    assert min(float(run(code)) for _ in range(3)) < 0.2


@pytest.mark.parametrize("name", tsssm.__all__)
def test_public_name_exists(name):
    value = getattr(tsssm, name)
    assert name in dir(tsssm)
    if name in tsssm._HOMES:
        assert value is getattr(importlib.import_module(tsssm._HOMES[name]), name)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Pannel'"):
        _ = tsssm.Pannel


def test_all_and_type_checkers_see_the_same_names():
    tree = ast.parse((ROOT / "tsssm/__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == tsssm._HOMES | dict.fromkeys(tsssm._SUBMODULES, "tsssm")
    assert sorted(tsssm.__all__) == sorted([*seen, "__version__"])


def test_constraints_pin_every_requirement():
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    pinned = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    lines = "\n".join([setup["options"]["install_requires"], *(extras[e] for e in ("test", "sktime", "plot", "data"))])
    names = re.findall(r"^[\w-]+", lines, flags=re.MULTILINE)
    assert {name for name in names if name not in pinned} == set()
    assert pinned["torch"] == "2.13.0"
    assert not any("+" in version for version in pinned.values())


def test_every_package_is_found_by_setuptools():
    folders = {path.parent for path in (ROOT / "tsssm").rglob("*.py")}
    assert {str(folder) for folder in folders if not (folder / "__init__.py").is_file()} == set()
