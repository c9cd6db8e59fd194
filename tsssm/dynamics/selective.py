"""evolve_selective: a diagonal run whose steps, B and C are those of each row."""

from __future__ import annotations

import torch
from torch import Tensor

from tsssm.dynamics.discretization import LinearDiscretization
from tsssm.dynamics.kernels import Modal, modal_scan
from tsssm.dynamics.matrices import Diagonal
from tsssm.dynamics.modal import has_modal_form, reads_start
from tsssm.errors import explain


def evolve_selective(
    A: Diagonal,
    rule: LinearDiscretization,
    gap: Tensor,
    u: Tensor,
    B: Tensor,
    C: Tensor,
    start: Tensor | None = None,
    reset: Tensor | None = None,
    active: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Advance x' = A x + B_k u_k over gap_k and read it, y_k = Re(C_k x_k), in each of h channels.

    Parameters
    ----------
    A : Diagonal (h, n, n)
        Its eigenvalues must not be 0 under a rule that holds inputs.
    rule : LinearDiscretization
        How a gap is crossed, from the input at its end alone: `ZeroOrderHold`, `ExponentialEuler`, `Dirac`,
        `GeneralizedBilinear` and the Euler rules.
    gap : Tensor, (b, l, h), in 1 / units of A, >= 0
        Step from the active row before to each row, of each channel.
    u : Tensor, (b, l, h)
        Input.
    B, C : Tensor, (b, l, n)
        What each row writes its input with and reads the state with.
    start : Tensor, (b, h, n), optional
        State before the first row; zero if not given.
    reset, active : Tensor of bool, (b, l), optional
        As for `evolve`: where a series starts, and which rows bring input. A silent row reads the state of the last
        active row, moved on by its own gap.

    Returns
    -------
    y : Tensor, (b, l, h)
    end : Tensor, (b, h, n)
        State at the last active row.

    Raises
    ------
    ValueError
        If the rule looks at the input at the start of a gap, which was written with another B.

    Notes
    -----
    A scan, O(b l h n) work; one state of every 64 rows is kept, the others are computed again in the backward pass.
    `selective_loop` is the specification. Source: Mamba, arXiv 2312.00752, section 3.2.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics import Diagonal, ExponentialEuler, evolve_selective
    >>> A, ones = Diagonal(torch.tensor([[-1.0]])), torch.ones(1, 2, 1)
    >>> evolve_selective(A, ExponentialEuler(), ones, ones, ones, 2 * ones)[0].flatten()
    tensor([2.0000, 2.7358])
    """
    if reads_start(rule) or not has_modal_form(rule):
        raise ValueError(
            explain(
                "`rule` of a selective run must use the input at the end of a gap only",
                f"{rule} came",
                "Use ZeroOrderHold() or ExponentialEuler()",
            )
        )
    inputs, held, alpha = rule.modal(gap, u, u)
    parts = (None, inputs) if not held else (inputs, None)
    rate = A.eigenvalues
    modal = Modal(rate, torch.ones_like(rate), gap, *parts, start, reset, active, alpha, B, C)
    return modal_scan(modal, held)


def selective_loop(
    A: Diagonal,
    rule: LinearDiscretization,
    gap: Tensor,
    u: Tensor,
    B: Tensor,
    C: Tensor,
    start: Tensor | None = None,
    reset: Tensor | None = None,
    active: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`evolve_selective` one row after another, each by `rule.step`: its specification."""
    b, l, _ = u.shape
    x = A.eigenvalues.new_zeros(b, *A.eigenvalues.shape) if start is None else start
    every = torch.ones(b, l, dtype=torch.bool, device=u.device)
    reset, active = (~every if reset is None else reset), (every if active is None else active)
    ys = []
    for k in range(l):
        here = active[:, k].view(b, 1, 1)
        x = torch.where(reset[:, k].view(b, 1, 1), 0, x)
        v = B[:, k].unsqueeze(1) * u[:, k].unsqueeze(-1)
        moved = rule.step(A, 0.0, gap[:, k], x, torch.where(here, v, 0))
        ys.append((C[:, k].unsqueeze(1) * moved).sum(-1).real)
        x = torch.where(here, moved, x)
    return torch.stack(ys, 1), x
