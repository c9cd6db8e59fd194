"""The modal scan on an even grid as products of matrices, which on any device are the fastest work there is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from tsssm.dynamics.functions import complex_exp, expm1
from tsssm.dynamics.kernels.loop import Modal
from tsssm.dynamics.kernels.side_by_side import Scan


def equal_gap(modal: Modal) -> Tensor | None:
    """The gap that all rows share, where products of matrices can do the scan and are faster; else None.

    Measured on one core, batch 16, 64 channels, forward and backward, ms in products | in chunks that look up the one
    exponential: complex, 100 rows of n = 4: 7 | 12; 1024 rows of n = 4: 44 | 76, n = 16: 56 | 227, n = 32: 76 | 388;
    4096 rows of n = 16: 287 | 872; real, 1024 rows of n = 16: 41 | 118, but n = 4: 44 | 34; complex n = 1: 45 | 45.
    """
    inputs, gap, rate = modal.inputs, modal.gap, modal.rate
    numbers = rate.shape[1] * (2 if rate.is_complex() else 1)
    plain = all(part is None for part in modal[6:]) and gap.dim() == 2 and not inputs.is_complex()
    # the gradient of each gap needs each row's states
    if not plain or inputs.shape[1] < 64 or numbers < 8 or (gap.requires_grad and torch.is_grad_enabled()):
        return None
    first = gap[0, 0]
    return first if bool((gap == first).all()) else None


def modal_even(modal: Modal, gap: Tensor, scan: Scan) -> tuple[Tensor, Tensor]:
    """Run a modal scan on an even grid; the states between pieces are carried by `scan`, as are rows left over.

    In a piece of q rows, with a = exp(rate gap), y_i = Re sum_j weight a^(i-j) gain u_j + Re weight a^(i+1) X, a
    Toeplitz matrix for the inputs u and q powers for the state X that the piece starts with; gain is a - 1 for held
    inputs and 1 for impulses. Real arithmetic, O(b l h (q + 4 n)) work, and states at the starts of pieces only.
    Source: the chunks of SSD, Dao and Gu 2024, arXiv 2405.21060, section 6.
    """
    b, l, h = modal.inputs.shape
    n, q = modal.rate.shape[1], 32 if l < 512 else 64
    count = l // q
    power = _powers(modal.rate * gap, q)
    y = added = modal.rate.real.new_zeros(())
    for part, gain in ((modal.hold, expm1(modal.rate * gap)), (modal.push, torch.ones_like(modal.rate))):
        if part is not None:
            u = part[:, : count * q].permute(2, 0, 1).reshape(h, b * count, q)
            gained = gain.unsqueeze(-1) * power[..., :-1]
            kernel = (modal.weight.unsqueeze(-1) * gained).sum(1).real
            # row i of the windows, read backwards, is kernel_i ... kernel_0 and zeros
            toeplitz = pad(kernel, (q - 1, 0)).unfold(1, q, 1).flip(2)
            y = y + torch.bmm(u, toeplitz.mT)
            added = added + torch.bmm(u, _planes(gained.flip(-1)).mT)
    carry = Modal(
        rate=modal.rate.reshape(-1, 1),
        weight=torch.ones_like(modal.rate).view(-1, 1),
        gap=(q * gap).expand(b, count),
        push=_state(added.view(h, b, count, -1, n), modal.rate).reshape(b, count, h * n),
        start=None if modal.start is None else modal.start.reshape(b, -1, 1),
    )
    left, end = scan(carry)
    first = torch.zeros_like(left[:, :1]) if carry.start is None else carry.start.view(b, 1, -1)
    entered = torch.cat([first, left[:, :-1]], 1).view(b * count, h, n).permute(1, 2, 0)
    reading = _planes((modal.weight.unsqueeze(-1) * power[..., 1:]).conj())
    y = torch.baddbmm(y, _planes(entered).mT, reading).view(h, b, -1).permute(1, 2, 0)
    end = end.view(b, h, n)
    if count * q < l:
        moving = {name: getattr(modal, name) for name in ("gap", "hold", "push")}
        over = {name: None if part is None else part[:, count * q :] for name, part in moving.items()}
        more, end = scan(modal._replace(start=end, **over))
        y = torch.cat([y, more], 1)
    return y, end


def _powers(z: Tensor, q: int) -> Tensor:
    """exp(k z) for k = 0 ... q: (h, n, q + 1)."""
    k = torch.arange(q + 1, dtype=z.dtype.to_real(), device=z.device)
    z = z.unsqueeze(-1)
    return complex_exp(z.real * k, z.imag * k) if z.is_complex() else torch.exp(z * k)


def _planes(part: Tensor) -> Tensor:
    """(h, n, q) as real matrices, real parts above imaginary ones: (h, 2 n, q)."""
    return torch.cat([part.real, part.imag], 1) if part.is_complex() else part


def _state(planes: Tensor, like: Tensor) -> Tensor:
    """(h, b, count, 1 or 2, n) as states (b, count, h, n)."""
    planes = planes.permute(1, 2, 3, 0, 4)
    return torch.complex(planes[:, :, 0], planes[:, :, 1]) if like.is_complex() else planes[:, :, 0]
