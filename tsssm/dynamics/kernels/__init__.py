"""Fast forms of the modal scan, chosen by themselves."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from tsssm.dynamics.kernels.fused import modal_fused
from tsssm.dynamics.kernels.loop import Modal, in_units_of_rate, modal_loop
from tsssm.dynamics.kernels.native import library
from tsssm.dynamics.kernels.selective import modal_selective
from tsssm.dynamics.kernels.torch_form import modal_torch

__all__ = ["Modal", "library", "modal_loop", "modal_scan"]


def modal_scan(modal: Modal, held: bool = False) -> tuple[Tensor, Tensor]:
    """Run a modal scan in the form that is fastest where its numbers lie; see `modal_loop`."""
    plain = modal.B is None and modal.C is None and modal.gap.dim() == 2
    device, form = modal.gap.device.type, modal_torch
    if device == "cpu" and library() is not None:
        if plain:
            return modal_fused(modal, held)
        form = modal_selective
    elif device == "cuda" and modal.gap.dtype == torch.float32 and has_triton():
        # only now: importing triton takes longer than everything else here
        form = import_module("tsssm.dynamics.kernels.triton_scan").modal_triton
    return in_units_of_rate(form, modal) if held else form(modal)


@lru_cache(maxsize=1)
def has_triton() -> bool:
    """Whether the kernels for CUDA devices can be compiled."""
    return find_spec("triton") is not None
