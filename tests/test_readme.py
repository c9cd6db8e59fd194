"""The examples of the README run as they stand, and the files it names are there."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run(tmp_path, capsys):
    blocks = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        file = tmp_path / f"block_{number}.py"
        file.write_text(block, encoding="utf-8")
        runpy.run_path(str(file))
    printed = capsys.readouterr().out
    assert "Panel(40 series of 25 rows, 2 channels: pulse, temperature" in printed
    assert float(re.search(r"accuracy: ([\d.]+)", printed)[1]) >= 0.8
    assert "pulse[lower]" in printed


def test_linked_files_exist():
    for name in ("README.md", "benchmarks/README.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)#:]+)\)", text)
        assert [link for link in links if not (ROOT / name).parent.joinpath(link).exists()] == []
