"""A whole S5 layer: ours, s5-pytorch's with the same weights, and a plain loop of the equations."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.peers import ours
from benchmarks.peers.problem import Maker, Problem, Runner, Size, with_autograd


def s5_problem(size: Size, seed: int = 0) -> Problem:
    """Inputs and gaps (b, l) for a layer of width h with n states; the weights are those of our layer."""
    draw = torch.Generator().manual_seed(seed)
    b, l, h, n = size
    weights = {name: part.detach().clone() for name, part in ours.s5_layer((h, n)).named_parameters()}
    u, weight = (torch.randn(b, l, h, generator=draw) for _ in range(2))
    dt = torch.empty(b, l).exponential_(1.0, generator=draw)
    return Problem({"u": u, "dt": dt, **weights}, weight)


def widths(problem: Problem) -> tuple[int, int]:
    """Features and conjugate pairs."""
    pairs, features, _ = problem.parts["B"].shape
    return features, pairs


def our_layer(problem: Problem) -> Runner:
    """Our layer."""
    layer = ours.s5_layer(widths(problem))
    return with_autograd(lambda **parts: ours.run_s5(layer, **parts))(problem)


def s5_pytorch_layer(problem: Problem) -> Runner:
    """The `S5SSM` of s5-pytorch over a batch, with a step scale for every row.

    Its states are what it calls P, all of them complex and none of them implied by conjugates: as many as our pairs.
    Its weights are functions of ours, so that gradients are by the same numbers on both sides.
    """
    from s5 import S5

    module = S5(*widths(problem)).seq

    def run(u: Tensor, dt: Tensor, **weights: Tensor) -> Tensor:
        theirs = {
            "Lambda": eigenvalues(weights),
            "B": weights["B"],
            "C": 2 * torch.view_as_complex(weights["C"]),
            "D": weights["D"],
            "log_step": weights["log_timescale"],
        }

        def one(row: Tensor, gaps: Tensor) -> Tensor:
            return torch.func.functional_call(module, theirs, (row, gaps))

        return torch.vmap(one)(u, dt)

    return with_autograd(run)(problem)


def eigenvalues(weights: dict[str, Tensor]) -> Tensor:
    """Lambda of our weights."""
    return torch.complex(-weights["log_decay"].exp(), weights["frequency"])


def s5_loop(u: Tensor, dt: Tensor, **weights: Tensor) -> Tensor:
    """x' = s (Lambda x + B u), y = 2 Re(C x) + D u, one row after another. Smith et al., 2023, equations 1-6."""
    Lambda = eigenvalues(weights)
    s = weights["log_timescale"].exp()
    B, C = torch.view_as_complex(weights["B"]), torch.view_as_complex(weights["C"])
    drive = u.to(Lambda.dtype) @ B.T / Lambda
    x = torch.zeros(len(u), len(Lambda), dtype=Lambda.dtype)
    states = []
    for v, gap in zip(drive.unbind(1), dt.unbind(1), strict=True):
        a = torch.exp(Lambda * s * gap[:, None])
        x = a * x + (a - 1) * v
        states.append(x)
    return 2 * (torch.stack(states, 1) @ C.T).real + weights["D"] * u


LAYERS: dict[str, Maker] = {
    "tsssm.layers.S5": our_layer,
    "s5-pytorch, S5SSM with step_scale": s5_pytorch_layer,
    "python loop, complex": with_autograd(s5_loop),
}
