"""Equal gaps: the run is a convolution with the impulse response, done by FFT."""

from __future__ import annotations

import torch
from torch import Tensor

from tsssm.dynamics.discretization import LinearDiscretization
from tsssm.dynamics.matrices import Diagonal

# states of one impulse response held at once; longer ones run as a scan
RESPONSE_AT_ONCE = 1 << 25


def uniform_gap(dt: Tensor, reset: Tensor | None, active: Tensor | None) -> Tensor | None:
    """The gap that all rows share, where each row of the batch is one series observed on the same even grid.

    The first gap of a series only scales its first input, so it has to agree too: a convolution knows one gain.
    """
    if active is not None or dt.shape[1] < 2 or (reset is not None and bool(reset[:, 1:].any())):
        return None
    gap = dt[0, 0]
    # float32 cannot tell gaps closer than this apart, whatever clock they came from
    even = bool(((dt - gap).abs() <= 1e-6 * gap).all())
    return gap if even and bool(gap > 0) else None


def powers(a: Tensor, length: int) -> Tensor:
    """a**0, ..., a**(length-1) in front: (length, *a). By doubling: log2(length) products, exact at a = 0 too."""
    known, top = torch.ones_like(a).unsqueeze(0), a
    while known.shape[0] < length:
        known = torch.cat([known, known * top])
        top = top * top
    return known[:length]


def impulse_response(A: Diagonal, rule: LinearDiscretization, gap: Tensor, length: int) -> Tensor:
    """States after a unit input at row 0 on an even grid: (length, *s, n).

    x_k = Abar^k after + Abar^(k-1) before, the kernel of S4D (Gu et al. 2022, equation 5) before the readout.
    """
    step = rule.matrices(A, gap)
    power = powers(step.transition.eigenvalues, length)
    response = torch.zeros_like(power) if step.after is None else power * step.after.eigenvalues
    if step.before is not None:
        response = response + torch.cat([torch.zeros_like(power[:1]), power[:-1]]) * step.before.eigenvalues
    return response


def convolve(A: Diagonal, rule: LinearDiscretization, gap: Tensor, u: Tensor, readout: Tensor) -> tuple[Tensor, Tensor]:
    """Run an even grid as a convolution: u (b, l, *s) to y (b, l, ...) and the last state (b, *s, n).

    O(l n) for the kernel and O(b l log l) for the rest, without any state of the batch.
    """
    length = u.shape[1]
    response = impulse_response(A, rule, gap, length)
    kernel = (response * readout).sum(-1).real
    size = 1 << (2 * length - 1).bit_length()
    spectrum = torch.fft.rfft(kernel, n=size, dim=0) * torch.fft.rfft(u, n=size, dim=1)
    y = torch.fft.irfft(spectrum, n=size, dim=1)[:, :length]
    last = torch.einsum("l...n,bl...->b...n", response.flip(0), u.to(response.dtype))
    return y, last
