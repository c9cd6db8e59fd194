"""Set-up shared by all tests."""

from __future__ import annotations

import os
from importlib.util import find_spec

# Workers share the machine; torch would otherwise start one thread a core in each of them.
if "PYTEST_XDIST_WORKER" in os.environ and find_spec("torch") is not None:
    import torch

    torch.set_num_threads(1)
