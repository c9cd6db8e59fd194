"""The compiled kernels: found, loaded and described to Python."""

from __future__ import annotations

import ctypes
import logging
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

logger = logging.getLogger("tsssm")

_POINTERS = [
    "rate",
    "weight",
    "gap",
    "hold",
    "push",
    "start",
    "active",
    "offsets",
    "chunks",
    "source",
    "sink",
    "which",
    "unique_gaps",
    "table",
    "y",
    "end",
    "checkpoints",
    "g_y",
    "g_end",
    "g_rate",
    "g_weight",
    "g_gap",
    "g_hold",
    "g_push",
    "g_start",
    "sums",
    "gap_parts",
]
_NUMBERS = [
    "rows",
    "channels",
    "modes",
    "series",
    "unique",
    "groups",
    "threads",
    "complex_modes",
    "complex_rows",
    "rational",
    "held",
]


class Scan(ctypes.Structure):
    """Arguments of a scan, field by field those of tsssm.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in _POINTERS),
        *((name, ctypes.c_int64) for name in _NUMBERS),
        ("alpha", ctypes.c_double),
    ]


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled library, or None, said once, where the package was installed without a C compiler.

    Calls through it release the GIL, and it keeps no state between calls, so threads may call it at once. It is loaded
    after torch on purpose: both then share one pool of OpenMP threads.
    """
    path = Path(__file__).with_suffix(".lib")
    if path.exists():
        return _declared(ctypes.CDLL(str(path)))
    logger.warning(
        "tsssm runs without its compiled kernels, many times slower, for they were not built when it was installed. "
        "Install a C compiler (gcc or clang) and reinstall tsssm."
    )
    return None


def _declared(native: ctypes.CDLL) -> ctypes.CDLL:
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    for kind in ("float", "double"):
        scan, unique = getattr(native, f"tsssm_scan_{kind}"), getattr(native, f"tsssm_unique_{kind}")
        scan.argtypes, scan.restype = (pointer, ctypes.c_int), ctypes.c_int
        unique.argtypes, unique.restype = (pointer, number, number, pointer, pointer), number
    native.tsssm_series.argtypes, native.tsssm_series.restype = (pointer, number, number, *(pointer,) * 4), number
    native.tsssm_lanes.argtypes, native.tsssm_lanes.restype = (ctypes.c_int,), number
    return native


def address(tensor: Tensor | None) -> int | None:
    """Where the numbers of a contiguous tensor lie."""
    return None if tensor is None else tensor.data_ptr()


def kind_of(dtype: torch.dtype) -> str:
    """Suffix of the functions for a real or complex type."""
    return "float" if dtype.to_real() == torch.float32 else "double"
