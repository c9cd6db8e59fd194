"""The same weights give the same numbers: layers of ours beside public implementations, forward and backward, in float64.

python -m benchmarks.parity

Errors are the largest differences as shares of the largest value. Peers that are not installed are named in their rows:
`benchmarks/requirements-peers.txt` installs them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from benchmarks.peers.torch_scans import s4d_convolution, s5_pytorch, torch_associative_scan
from benchmarks.report import made_with
from tsssm.demo.page import Table
from tsssm.dynamics import ExponentialEuler
from tsssm.grid import Grid
from tsssm.layers import LRU, S4D, S5, Selective

B, L, WIDTH = 3, 200, 16

Peer = Callable[[nn.Module, Tensor, Tensor], Tensor]


def s5_module(layer: S5, u: Tensor, dt: Tensor) -> Tensor:
    """The `S5SSM` of s5-pytorch with a step scale for every row."""
    from s5 import S5 as Module

    module = Module(WIDTH, layer.d_state // 2).seq
    theirs = {
        "Lambda": torch.complex(-layer.log_decay.exp(), layer.frequency),
        "B": layer.B,
        "C": 2 * torch.view_as_complex(layer.C),
        "D": layer.D,
        "log_step": layer.log_timescale,
    }
    return torch.vmap(lambda row, gaps: torch.func.functional_call(module, theirs, (row, gaps)))(u, dt)


def s4d_weights(layer: S4D) -> tuple[Tensor, Tensor]:
    """Rates and readout of the states, steps included."""
    step = layer.log_timescale.exp().unsqueeze(-1)
    rate = torch.complex(-layer.log_decay.exp(), layer.frequency) * step
    return rate, 2 * torch.view_as_complex(layer.C) * step


def s4d_by(scan: Callable[..., Tensor]) -> Peer:
    """S4D around a scan or a convolution of someone else's."""

    def run(layer: nn.Module, u: Tensor, dt: Tensor) -> Tensor:
        rate, C = s4d_weights(layer)
        return scan(u, dt, rate, C) + layer.D * u

    return run


def lru_by_torch(layer: LRU, u: Tensor, dt: Tensor) -> Tensor:
    """LRU by the associative scan of torch, on equal gaps of 1."""
    from torch._higher_order_ops.associative_scan import associative_scan

    keep = torch.exp(torch.complex(-layer.log_decay.exp(), layer.log_frequency.exp()))
    gain = (1 - keep.abs() ** 2).sqrt()
    drive = gain * (u.to(keep.dtype) @ torch.view_as_complex(layer.B).T)
    pair = (keep.expand_as(drive).contiguous(), drive)
    _, x = associative_scan(lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1]), pair, dim=1, combine_mode="generic")
    return (x @ torch.view_as_complex(layer.C).T).real + layer.D * u


def mamba(layer: Selective, u: Tensor, dt: Tensor) -> Tensor:
    """The selective scan of mambapy's block, on equal gaps of 1."""
    from mambapy.mamba import MambaBlock, MambaConfig

    block = MambaBlock(MambaConfig(d_model=WIDTH // 2, n_layers=1, d_state=layer.d_state)).double()
    delta = torch.nn.functional.softplus(u @ layer.step_in.T @ layer.step_out.T + layer.step_bias)
    return block.selective_scan(u, delta, -layer.log_decay.exp(), u @ layer.to_B.T, u @ layer.to_C.T, layer.D)


def cases() -> dict[str, tuple[nn.Module, Peer, bool, str]]:
    """What is compared: our layer, the peer, whether gaps are irregular, the package that is needed."""
    fast = {"timescale": (0.01, 0.1)}
    return {
        "S5 | s5-pytorch, S5SSM": (S5(WIDTH, 32, **fast), s5_module, True, "s5"),
        "S4D | s5-pytorch, associative scan": (S4D(WIDTH, 32, **fast), s4d_by(s5_pytorch), True, "s5"),
        "S4D | torch, associative scan": (S4D(WIDTH, 32, **fast), s4d_by(torch_associative_scan), True, "torch"),
        "S4D | torch, FFT convolution": (S4D(WIDTH, 32, **fast), s4d_by(s4d_convolution), False, "torch"),
        "LRU | torch, associative scan": (LRU(WIDTH, 32), lru_by_torch, False, "torch"),
        "Selective | mambapy, MambaBlock": (Selective(WIDTH, 8, rule=ExponentialEuler()), mamba, False, "mambapy"),
    }


def compare(layer: nn.Module, peer: Peer, irregular: bool) -> tuple[float, float]:
    """Give the errors of the outputs and of the gradients of weights and inputs."""
    layer = layer.double()
    u = torch.randn(B, L, WIDTH, dtype=torch.float64, requires_grad=True)
    dt = torch.empty(B, L, dtype=torch.float64).exponential_() if irregular else torch.ones(B, L, dtype=torch.float64)
    weight, leaves = torch.randn(B, L, WIDTH, dtype=torch.float64), [u, *layer.parameters()]
    both = []
    for y in (layer(u, Grid.from_gaps(dt))[0], peer(layer, u, dt)):
        both.append((y.detach(), torch.autograd.grad((y * weight).sum(), leaves)))
    (y, grads), (z, others) = both
    return error(z, y), max(error(theirs, ours) for ours, theirs in zip(grads, others, strict=True))


def error(found: Tensor, truth: Tensor) -> float:
    """Largest difference as a share of the largest value."""
    return float((found - truth).abs().max() / truth.abs().max())


def main() -> None:
    """Compare, print."""
    torch.manual_seed(0)
    rows = []
    for name, (layer, peer, irregular, package) in cases().items():
        gaps = "irregular" if irregular else "equal"
        if find_spec(package) is None:
            rows.append((*name.split(" | "), gaps, "not installed", ""))
        else:
            rows.append((*name.split(" | "), gaps, *(f"{value:.0e}" for value in compare(layer, peer, irregular))))
    print(Table(("layer", "peer", "gaps", "error of outputs", "error of gradients"), rows).to_markdown())
    print(made_with("benchmarks.parity"))


if __name__ == "__main__":
    main()
