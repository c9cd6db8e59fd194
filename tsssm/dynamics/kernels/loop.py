"""The modal scan step by step: the specification of every fast form beside this file."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from tsssm.dynamics.functions import exp_and_integral, expm1


class Modal(NamedTuple):
    """What a modal scan runs on: n modes in each of h channels, along l rows of b batch entries.

    With X = 0 before a `reset` row, and m_k = exp(rate gap_k) - 1, or m_k = z / (1 - alpha z) at z = rate gap_k where
    `alpha` is given, a row does

        moved_k = X_{k-1} + B_k push_k + m_k (X_{k-1} + B_k hold_k)
        y_k     = sum of C_k weight moved_k over the modes, its real part where the inputs are real
        X_k     = moved_k; at rows that are not `active`, whose inputs count as zero, X_{k-1}.

    Every linear rule but those that hold a line or split an impulse has this form. Impulses are `push` alone. Held inputs
    are `hold` alone, of the state in units of 1 / rate: no difference of near numbers and no division anywhere.

    Attributes
    ----------
    rate, weight : Tensor, (h, n), real or complex, of one type
    gap : Tensor, (b, l), or (b, l, h) where each channel has gaps of its own; real, >= 0
    hold, push : Tensor, (b, l, h), of one type, or None for zeros; complex only where `rate` is, and then y is complex
    start : Tensor, (b, h, n), of the type of `rate`, or None for zeros
    reset, active : Tensor of bool, (b, l), or None for nowhere and everywhere
    alpha : float or None
    B, C : Tensor, (b, l, n), real or of the type of `rate`, or None for ones; with real inputs only
    """

    rate: Tensor
    weight: Tensor
    gap: Tensor
    hold: Tensor | None = None
    push: Tensor | None = None
    start: Tensor | None = None
    reset: Tensor | None = None
    active: Tensor | None = None
    alpha: float | None = None
    B: Tensor | None = None
    C: Tensor | None = None

    @property
    def inputs(self) -> Tensor:
        """One of the inputs, for its shape and type."""
        inputs = self.push if self.hold is None else self.hold
        assert inputs is not None
        return inputs


def modal_loop(modal: Modal, held: bool = False) -> tuple[Tensor, Tensor]:
    """Run a modal scan one row after another.

    Parameters
    ----------
    modal : Modal
    held : bool
        X stands for x = X / rate in `start`, under `weight` and in the end: x_k = x_{k-1} + m_k x_{k-1} + (m_k / rate) hold_k,
        with the limit gap_k at rate 0. Without `push`.

    Returns
    -------
    y : Tensor, (b, l, h)
        Complex where the inputs are.
    end : Tensor, (b, h, n)
        X at the last active row, of the type of `rate`.

    Notes
    -----
    O(b l h n) work and, under autograd, memory; differentiable twice.

    Examples
    --------
    >>> import torch
    >>> rate = torch.tensor([[-1.0]])
    >>> y, _ = modal_loop(Modal(rate, rate * 0 + 1, torch.ones(1, 2), hold=torch.ones(1, 2, 1)), held=True)
    >>> y.flatten()
    tensor([0.6321, 0.8647])
    """
    b, l, _ = modal.inputs.shape
    X = modal.rate.new_zeros(b, *modal.rate.shape) if modal.start is None else modal.start
    ys = []
    # a slice a row would make the backward pass quadratic in the length
    rows = zip(*(_unbound(part, l) for part in modal[2:5] + modal[6:8] + modal[9:]), strict=True)
    for gap, hold, push, reset, active, B, C in rows:
        if reset is not None:
            X = torch.where(reset.view(b, 1, 1), 0, X)
        on = torch.ones(b, 1, 1, dtype=torch.bool, device=X.device) if active is None else active.view(b, 1, 1)
        hold, push = (_spread(part, B, on) for part in (hold, push))
        m, gain = _growth(modal.rate, gap.view(b, -1, 1), modal.alpha)
        moved = X + m * X + gain * hold if held else X + push + m * (X + hold)
        weighted = modal.weight * moved if C is None else C.unsqueeze(1) * modal.weight * moved
        ys.append(weighted.sum(-1) if modal.inputs.is_complex() else weighted.sum(-1).real)
        X = torch.where(on, moved, X)
    y = torch.stack(ys, 1) if ys else modal.inputs
    return y, X


def _unbound(part: Tensor | None, l: int) -> tuple[Tensor | None, ...]:
    return (None,) * l if part is None else part.unbind(1)


def _spread(part: Tensor | None, B: Tensor | None, on: Tensor) -> Tensor | float:
    """An input (b, h) as it enters the modes: (b, h, n)."""
    if part is None:
        return 0.0
    spread = part.unsqueeze(-1) if B is None else part.unsqueeze(-1) * B.unsqueeze(1)
    return torch.where(on, spread, 0)


def _growth(rate: Tensor, gap: Tensor, alpha: float | None) -> tuple[Tensor, Tensor]:
    """m and m / rate."""
    if alpha is None:
        return expm1(rate * gap), exp_and_integral(rate, gap)[1]
    inverse = 1 / (1 - alpha * rate * gap)
    return rate * gap * inverse, gap * inverse


def in_units_of_rate(form: Callable[[Modal], tuple[Tensor, Tensor]], modal: Modal) -> tuple[Tensor, Tensor]:
    """Run a held scan by a form that knows only states in units of 1 / rate, for rates that are not 0."""
    rate = modal.rate
    start = None if modal.start is None else modal.start * rate
    y, end = form(modal._replace(weight=modal.weight / rate, start=start))
    return y, end / rate
