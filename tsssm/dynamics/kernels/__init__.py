"""Fast forms of the modal scan, chosen by themselves."""

from __future__ import annotations

from torch import Tensor

from tsssm.dynamics.kernels.fused import modal_fused
from tsssm.dynamics.kernels.loop import Modal, modal_loop
from tsssm.dynamics.kernels.native import library

__all__ = ["Modal", "library", "modal_loop", "modal_scan"]


def modal_scan(modal: Modal) -> tuple[Tensor, Tensor]:
    """Run a modal scan in the form that is fastest where its numbers lie; see `modal_loop`."""
    if modal.gap.device.type == "cpu" and modal.B is None and modal.C is None and library() is not None:
        return modal_fused(modal)
    return modal_loop(modal)
