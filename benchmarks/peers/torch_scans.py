"""The scan as torch code of other people computes it, and as a convolution on an even grid."""

from __future__ import annotations

import torch
from torch import Tensor


def elements(u: Tensor, dt: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """Transitions and inputs of every row, (b, l, h, n): what an associative scan starts from, as its users form it."""
    a = torch.exp(rate * dt[:, :, None, None])
    return a, (a - 1) / rate * u[..., None]


def read(states: Tensor, C: Tensor) -> Tensor:
    """y = Re sum_n C_n x_n."""
    return (C * states).sum(-1).real


def s5_pytorch(u: Tensor, dt: Tensor, rate: Tensor, C: Tensor) -> Tensor:
    """The associative scan of s5-pytorch with its own operator."""
    from s5.jax_compat import associative_scan
    from s5.s5_model import binary_operator

    return read(associative_scan(binary_operator, elements(u, dt, rate), axis=1)[1], C)


def mambapy(u: Tensor, dt: Tensor, rate: Tensor, C: Tensor) -> Tensor:
    """The parallel scan of mambapy. It is made for real numbers: its backward pass does not conjugate."""
    from mambapy.pscan import pscan

    return read(pscan(*elements(u, dt, rate)), C)


def torch_associative_scan(u: Tensor, dt: Tensor, rate: Tensor, C: Tensor) -> Tensor:
    """The higher-order operator of torch, eager; a prototype in torch 2.13."""
    from torch._higher_order_ops.associative_scan import associative_scan

    def combine(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return left[0] * right[0], right[0] * left[1] + right[1]

    return read(associative_scan(combine, elements(u, dt, rate), dim=1, combine_mode="generic")[1], C)


def s4d_convolution(u: Tensor, dt: Tensor, rate: Tensor, C: Tensor) -> Tensor:
    """The convolution of S4D on an even grid: a Vandermonde product for the kernel, then FFT.

    K_k = Re sum_n C_n (exp(rate dt) - 1) / rate exp(rate dt k). Source: Gu, Gupta, Goel, Re, 2022, section 3.3.
    """
    l, z = u.shape[1], rate * dt[0, 0]
    weight = C * (torch.exp(z) - 1) / rate
    kernel = torch.einsum("hn,hnl->lh", weight, torch.exp(z.unsqueeze(-1) * torch.arange(l))).real
    spectrum = torch.fft.rfft(kernel, n=2 * l, dim=0) * torch.fft.rfft(u, n=2 * l, dim=1)
    return torch.fft.irfft(spectrum, n=2 * l, dim=1)[:, :l]
