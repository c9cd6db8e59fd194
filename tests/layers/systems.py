"""Plain linear systems of one input and output: by SciPy, and in torch with dense matrices and autograd alone."""

from __future__ import annotations

import numpy as np
import torch
from scipy import signal
from torch import Tensor

from tsssm.dynamics import (
    BackwardEuler,
    Bilinear,
    FirstOrderHold,
    GeneralizedBilinear,
    LeftHold,
    LinearDiscretization,
    ZeroOrderHold,
)
from tsssm.grid import Grid
from tsssm.layers import Layer

RULES = [GeneralizedBilinear(0.5), Bilinear(), BackwardEuler(), ZeroOrderHold(), LeftHold(), FirstOrderHold()]
System = tuple[Tensor, Tensor, Tensor]
"""A (h, n, n), B (h, n) and C (h, n) of y = Re(C x), in the time of the gaps."""


def scipy_run(system: System, rule: LinearDiscretization, dt: Tensor, u: Tensor) -> Tensor:
    """Outputs (l, h) of one series with gaps (l,) and inputs (l, h), each gap crossed by SciPy."""
    A, B, C = (part.detach().numpy() for part in system)
    answers = np.zeros(u.shape)
    for h in range(u.shape[1]):
        x, before = np.zeros(A.shape[-1], A.dtype), 0.0
        for k, gap in enumerate(dt.tolist()):
            now = u[k, h].item()
            x = _scipy_step(A[h], B[h], rule, gap, x, before, now)
            answers[k, h], before = (C[h] @ x).real, now
    return torch.from_numpy(answers)


def _scipy_step(
    A: np.ndarray, b: np.ndarray, rule: LinearDiscretization, gap: float, x: np.ndarray, before: float, now: float
) -> np.ndarray:
    n = len(A)
    plant = (A, b[:, None], np.eye(n), np.zeros((n, 1)))
    if isinstance(rule, (LeftHold, FirstOrderHold)):
        hold = isinstance(rule, LeftHold)
        return signal.lsim(plant, [before, now], [0.0, gap], X0=x, interp=not hold)[2][-1]
    how = {"method": "zoh"} if isinstance(rule, ZeroOrderHold) else {"method": "gbt", "alpha": 0.5}
    if isinstance(rule, BackwardEuler):
        how["alpha"] = 1.0
    Ad, Bd, *_ = signal.cont2discrete(plant, gap, **how)
    return Ad @ x + Bd[:, 0] * ((before + now) / 2 if isinstance(rule, Bilinear) else now)


def torch_run(system: System, rule: LinearDiscretization, dt: Tensor, u: Tensor) -> Tensor:
    """`scipy_run` of a batch, dt (b, l) and u (b, l, h), by solves and exponentials of dense matrices."""
    A, B, C = system
    n, dtype = A.shape[-1], A.dtype
    x = torch.zeros(u.shape[0], *B.shape, dtype=dtype)
    before, answers = torch.zeros_like(u[:, 0]), []
    eye = torch.eye(n, dtype=dtype)
    for k in range(dt.shape[1]):
        gap, now = dt[:, k, None, None, None], u[:, k]
        if isinstance(rule, (ZeroOrderHold, LeftHold, FirstOrderHold)):
            big = torch.zeros(*u.shape[:1], *B.shape[:1], n + 2, n + 2, dtype=dtype)
            big[..., :n, :n], big[..., :n, n], big[..., n, n + 1] = gap * A, gap[..., 0] * B, 1.0
            end = torch.linalg.matrix_exp(big)
            flow, held, ramp = end[..., :n, :n], end[..., :n, n], end[..., :n, n + 1]
            start, stop = {
                ZeroOrderHold: (now, now),
                LeftHold: (before, before),
                FirstOrderHold: (before, now),
            }[type(rule)]
            x = (flow @ x.unsqueeze(-1)).squeeze(-1) + held * start[..., None] + ramp * (stop - start)[..., None]
        else:
            alpha = 1.0 if isinstance(rule, BackwardEuler) else 0.5
            into = (before + now) / 2 if isinstance(rule, Bilinear) else now
            right = ((eye + (1 - alpha) * gap * A) @ x.unsqueeze(-1)).squeeze(-1) + gap[..., 0] * B * into[..., None]
            x = torch.linalg.solve(eye - alpha * gap * A, right.unsqueeze(-1)).squeeze(-1)
        answers.append((C * x).sum(-1).real)
        before = now
    return torch.stack(answers, 1)


def wild(layer: Layer, size: float = 0.5, seed: int = 0) -> Layer:
    """The layer in double precision with parameters moved at random, as after training."""
    torch.manual_seed(seed)
    layer = layer.double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += size * torch.randn_like(parameter)
    return layer


def step_by_step(layer: Layer, x: Tensor, grid: Grid) -> Tensor:
    """Outputs of a layer that is fed one row at a time."""
    state, answers = None, []
    for k in range(x.shape[1]):
        y, state = layer(x[:, k : k + 1], grid.piece(k, k + 1), state)
        answers.append(y)
    return torch.cat(answers, 1)


def gradients(y: Tensor, *inputs: Tensor) -> list[Tensor]:
    """Gradients of a fixed random sum of outputs."""
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(5), dtype=y.dtype)
    return list(torch.autograd.grad((y * weights).sum(), inputs))
