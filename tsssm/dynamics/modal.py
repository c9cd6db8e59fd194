"""Runs of diagonal matrices as modal scans: which ones are, and how their parts map to one."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from tsssm.dynamics.kernels import Modal, modal_scan
from tsssm.dynamics.matrices import Diagonal
from tsssm.dynamics.rows import Rows
from tsssm.dynamics.rules import LinearDiscretization

# |rate| below which a held scan would lose digits in its units of 1 / rate, or its squares underflow
SLOWEST = {torch.float32: 1e-15, torch.float64: 1e-8}


def read(states: Tensor, C: Tensor | None) -> Tensor:
    """Re(C x) of states (b, l, *s, n): C (*s, n) for each channel, or C (d, n) where all share the states; x if None."""
    if C is None:
        return states
    if states.is_complex():
        # as real numbers: two real products are faster than the complex one whose imaginary part is thrown away
        C = torch.view_as_real(C.to(states.dtype).conj().resolve_conj())
        states = torch.view_as_real(states)
        if states.dim() > 4:
            return torch.einsum("...nc,...nc->...", states, C)
        return states.flatten(-2) @ C.flatten(-2).T
    C = C.real
    return (states * C).sum(-1) if states.dim() > 3 else states @ C.T


@lru_cache
def has_modal_form(rule: LinearDiscretization) -> bool:
    """Whether runs by the rule are modal scans: asked of the rule itself."""
    nothing = torch.zeros(1, 1, 1)
    return rule.modal(nothing, nothing, nothing) is not None


@lru_cache
def reads_start(rule: LinearDiscretization) -> bool:
    """Whether the rule uses the input at the start of a gap: asked of the rule itself, on the smallest system."""
    return rule.matrices(Diagonal(torch.zeros(1)), 1.0).before is not None


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
    A: Diagonal, rule: LinearDiscretization, rows: Rows, x: Tensor | None, C: Tensor | None
) -> tuple[Tensor, Tensor] | None:
    """Readout and last state of a run by a modal scan; None where the rule or the matrix has no such form.

    Held inputs of a mode that hardly moves (a rate of next to 0) are left to the general scan, which takes the limit.
    """
    rates = A.eigenvalues
    rule_inputs = rule.modal(rows.gap.unsqueeze(-1), rows.u if rows.before is None else rows.before, rows.u)
    if rule_inputs is None or rates.shape[:-1] != rows.u.shape[2:-1]:
        return None
    inputs, held, alpha = rule_inputs
    real = torch.promote_types(rates.dtype, inputs.dtype).to_real()
    if real not in SLOWEST or (held and float(rates.detach().abs().min()) < SLOWEST[real]):
        return None
    rates = rates.to(torch.promote_types(rates.dtype, inputs.dtype))
    together = keeps_no_states(A, rows.u, C)
    b, l = rows.gap.shape[:2]
    # modes of a channel are read out together; otherwise each mode is a channel of its own, and its state the output
    if together:
        rate, inputs = rates.flatten(0, -2), inputs.to(real).reshape(b, l, -1)
        weight = (C if rate.is_complex() else C.real).to(rate.dtype).reshape(rate.shape)
    else:
        rate = rates.reshape(-1, 1)
        inputs = inputs.to(rate.dtype).expand(*inputs.shape[:-1], rates.shape[-1]).reshape(b, l, -1)
        weight = torch.ones_like(rate)
    modal = Modal(
        rate,
        weight,
        rows.gap.reshape(b, l).to(real),
        hold=inputs if held else None,
        push=None if held else inputs,
        start=None if x is None else x.to(rate.dtype).reshape(b, *rate.shape),
        reset=None if rows.reset is None else rows.reset.reshape(b, l),
        active=None if rows.active is None else rows.active.reshape(b, l),
        alpha=alpha,
    )
    y, end = modal_scan(modal, held)
    end = end.reshape(b, *rates.shape)
    if together:
        return y.reshape(b, l, *rates.shape[:-1]), end
    return read(y.reshape(b, l, *rates.shape), C), end
