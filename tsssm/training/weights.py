"""Weights: the parameters of a model as an optimizer sees them, and their average over the last steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from tsssm.layers.base import Layer
from tsssm.models.base import Model


def parameter_groups(model: Model, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices with weight decay; biases and norms without; time scales at their own rate without (S5, S4D)."""
    slow = set()
    for module in model.modules():
        if isinstance(module, Layer):
            slow.update(id(getattr(module, name)) for name in module.slow)
    groups: dict[str, list] = {"slow": [], "free": [], "decayed": []}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        kind = "slow" if id(parameter) in slow else "decayed" if parameter.dim() > 1 else "free"
        groups[kind].append(parameter)
    settings = {"slow": (min(lr, 0.003), 0.0), "free": (lr, 0.0), "decayed": (lr, weight_decay)}
    return [
        {"params": groups[kind], "lr": rate, "weight_decay": decay}
        for kind, (rate, decay) in settings.items()
        if groups[kind]
    ]


class Weights:
    """The parameters of each group end to end in one tensor, which is what the optimizer steps on.

    On a CPU a small model's step costs as much as the number of its tensors, not of its weights. The model keeps its own
    tensors; a copy each way costs less than one of the optimizer's operations.

    Parameters
    ----------
    groups : list of dict
        Of `parameter_groups`; parameters that a loss does not reach have a gradient of zero.
    """

    def __init__(self, groups: list[dict[str, Any]]):
        self.parameters = [group["params"] for group in groups]
        self.flat = [nn.Parameter(nn.utils.parameters_to_vector(each).detach()) for each in self.parameters]
        self.groups = [{**group, "params": [flat]} for group, flat in zip(groups, self.flat, strict=True)]
        # detached views share the memory of the weights, and cost nothing at each step
        self.live = [p.detach() for each in self.parameters for p in each]
        parts = [
            part
            for flat, each in zip(self.flat, self.parameters, strict=True)
            for part in flat.detach().split([p.numel() for p in each])
        ]
        self.parts = [part.view_as(p) for part, p in zip(parts, self.live, strict=True)]

    def gather(self, largest: float) -> float:
        """Take the gradients from the model, scaled down to this norm where theirs is larger; returns theirs."""
        for flat, each in zip(self.flat, self.parameters, strict=True):
            flat.grad = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in each])
            for p in each:
                p.grad = None
        gradients = [flat.grad for flat in self.flat]
        norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))))
        if norm > largest:
            torch._foreach_mul_(gradients, largest / norm)
        return norm

    def scatter(self) -> None:
        """Give the weights to the model."""
        torch._foreach_copy_(self.live, self.parts)


def snapshot(model: nn.Module) -> dict:
    """A copy of all weights."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


class Average:
    """Exponential average of a model's weights over its last steps, shorter at the start of training."""

    decay = 0.99

    def __init__(self, weights: Weights):
        self.weights = weights
        self.live = [flat.detach() for flat in weights.flat]
        self.average = [flat.clone() for flat in self.live]

    def update(self, step: int) -> None:
        """Take in the weights after a step."""
        keep = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.average, self.live, 1 - keep)

    def store(self) -> None:
        """Write the average into the model."""
        torch._foreach_copy_(self.live, self.average)
        self.weights.scatter()

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """A context in which the model has the averaged weights."""
        own = [flat.clone() for flat in self.live]
        self.store()
        try:
            yield
        finally:
            torch._foreach_copy_(self.live, own)
            self.weights.scatter()
