"""Gradients that can be differentiated again, for functions whose own backward pass cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def double_backward(
    run: Callable[..., tuple[Tensor, ...]], parts: Sequence[Any], wanted: Sequence[bool], grads: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Gradients of the outputs of ``run(*parts)`` by the `wanted` parts, from plain operations.

    The backward pass of a fast form hands over to this where torch builds a graph of that pass.
    """
    with torch.enable_grad():
        # views, for a part may be computed from another, whose gradient would then come twice
        parts = [part.view_as(part) if isinstance(part, Tensor) else part for part in parts]
        on_path = [(y, grad) for y, grad in zip(run(*parts), grads, strict=True) if y.requires_grad]
        inputs = [part for part, wants in zip(parts, wanted, strict=True) if wants]
        outputs, grads = zip(*on_path, strict=True)
        found = iter(torch.autograd.grad(outputs, inputs, grads, create_graph=True, materialize_grads=True))
    return tuple(next(found) if wants else None for wants in wanted)
