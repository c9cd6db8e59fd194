"""Runs of diagonal matrices as modal scans: which ones are, and how their parts map to one."""

from __future__ import annotations

import torch
from torch import Tensor

from tsssm.dynamics.kernels import Modal, modal_scan
from tsssm.dynamics.matrices import Diagonal
from tsssm.dynamics.rows import Rows
from tsssm.dynamics.rules import LinearDiscretization


def read(states: Tensor, C: Tensor | None) -> Tensor:
    """Re(C x) of states (b, l, *s, n): C (*s, n) for each channel, or C (d, n) where all share the states; x if None."""
    if C is None:
        return states
    if states.is_complex():
        # as real numbers: two real products are faster than the complex one whose imaginary part is thrown away
        states = torch.view_as_real(states)
        C = torch.stack([C.real, -C.imag if C.is_complex() else torch.zeros_like(C)], -1)
        if states.dim() > 4:
            return torch.einsum("...nc,...nc->...", states, C)
        return states.flatten(-2) @ C.flatten(-2).T
    C = C.real
    return (states * C).sum(-1) if states.dim() > 3 else states @ C.T


def keeps_no_states(A: Diagonal, u: Tensor, C: Tensor | None) -> bool:
    """Whether a modal scan would read each channel's own modes out on the way, so that no states are ever stored."""
    return (
        C is not None
        and u.dim() > 3
        and u.shape[-1] == 1
        and not u.is_complex()
        and A.eigenvalues.shape[:-1] == u.shape[2:-1]
    )


def modal_run(
    A: Diagonal, rule: LinearDiscretization, rows: Rows, x: Tensor, C: Tensor | None
) -> tuple[Tensor, Tensor] | None:
    """Readout and last state of a run by a modal scan; None where the rule or the matrix has no such form.

    Where a matrix has a mode that hardly moves (|rate| below rounding of a unit gap) the scaled state of held inputs
    would lose it, and the general scan, which takes the limit, has to do.
    """
    rates = A.eigenvalues
    inputs = rule.modal(rows.gap.unsqueeze(-1), rows.u if rows.before is None else rows.before, rows.u)
    if inputs is None or rates.shape[:-1] != rows.u.shape[2:-1]:
        return None
    if inputs.scaled and float(rates.detach().abs().min()) < torch.finfo(rates.dtype).eps:
        return None
    together = keeps_no_states(A, rows.u, C)
    # modes of a channel are read out together; otherwise each mode is a channel of its own, and its state the output
    rate = rates.flatten(0, -2) if together else rates.reshape(-1, 1)
    weight = C.to(rate.dtype).reshape(rate.shape) if together else torch.ones_like(rate)
    start = x.reshape(len(x), *rate.shape)
    if inputs.scaled:
        weight, start = weight / rate, start * rate
    b, l = rows.gap.shape[:2]

    def channels(part: Tensor | None) -> Tensor | None:
        if part is None or together:
            return part if part is None else part.reshape(b, l, -1)
        return part.to(rate.dtype).expand(*part.shape[:-1], rates.shape[-1]).reshape(b, l, -1)

    modal = Modal(
        rate,
        weight,
        rows.gap.reshape(b, l),
        channels(inputs.hold),
        channels(inputs.push),
        start,
        None if rows.reset is None else rows.reset.reshape(b, l),
        None if rows.active is None else rows.active.reshape(b, l),
        inputs.alpha,
    )
    y, end = modal_scan(modal)
    end = (end / rate if inputs.scaled else end).reshape(x.shape)
    if together:
        return y.reshape(b, l, *rates.shape[:-1]), end
    return read(y.reshape(b, l, *rates.shape), C), end
