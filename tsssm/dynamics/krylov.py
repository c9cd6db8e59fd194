"""Even grids of systems that are not diagonal: convolution with responses made of powers of the transition."""

from __future__ import annotations

import torch
from torch import Tensor

from tsssm.dynamics.cauchy import dplr_response
from tsssm.dynamics.convolution import causal_convolution, krylov
from tsssm.dynamics.discretization import Bilinear, GeneralizedBilinear
from tsssm.dynamics.paired import Paired, as_complex
from tsssm.dynamics.rules import LinearDiscretization
from tsssm.dynamics.state_matrix import StateMatrix

# rows from which Cauchy sums give a response: at n = 64 and 16384 rows 1.7e-6 off in float32, powers 6.0e-6; at 256 rows
# they take the same time, at 16384 rows, with the backward pass, 227 ms and 131
LONG = 256


def convolve_matrix(
    A: StateMatrix, B: Tensor, C: Tensor, rule: LinearDiscretization, gap: Tensor, u: Tensor
) -> tuple[Tensor, Tensor]:
    """Run an even grid from a zero state as a convolution, and give its last state.

    Parameters
    ----------
    A : StateMatrix (h, n, n)
        Real, a matrix for each channel; in 1/time.
    B, C : Tensor (h, n)
        Input and output weights.
    rule : LinearDiscretization
        Its matrices alone are used, so any will do.
    gap : Tensor ()
        The one gap between rows, > 0, in time.
    u : Tensor (b, l, h)
        Input of each channel.

    Returns
    -------
    y : Tensor (b, l, h)
    state : Tensor (b, h, n)
        At the last row.

    Notes
    -----
    For each channel O(n^3 log l + n l) for the response by powers of the transition and O(l log l + n l) for each entry
    of the batch. Long responses of `Paired` under a bilinear rule come from Cauchy sums (`dplr_response`) instead.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics import Dense, ForwardEuler
    >>> one = torch.ones(1, 1)
    >>> y, _ = convolve_matrix(Dense(-one[None] / 2), one, one, ForwardEuler(), torch.tensor(1.0), torch.ones(1, 3, 1))
    >>> y.flatten()
    tensor([1.0000, 1.5000, 1.7500])
    """
    length = u.shape[1]
    step = rule.matrices(A, gap)
    first = torch.zeros_like(B) if step.after is None else step.after @ B
    rest = step.transition @ first
    if step.before is not None:
        rest = rest + step.before @ B
    transition = step.transition.dense()
    columns, jump = krylov(transition, rest, 1 << ((length - 1).bit_length() // 2))
    if isinstance(A, Paired) and length >= LONG and rule in (GeneralizedBilinear(0.5), Bilinear()):
        kernel = _bilinear_response(A, B, C, rule, gap, length)
    else:
        rows, _ = krylov(jump.mT, C, -(-(length - 1) // columns.shape[-1]))
        later = (rows.mT @ columns).flatten(-2)[..., : length - 1]
        kernel = torch.cat([(C * first).sum(-1, keepdim=True), later], -1)
    inputs = u.movedim(1, -1)
    y = causal_convolution(kernel, inputs).movedim(-1, 1)
    return y, first * inputs[..., -1:] + _gather(inputs[..., :-1], columns, jump)


def _bilinear_response(A: Paired, B: Tensor, C: Tensor, rule: LinearDiscretization, gap: Tensor, length: int) -> Tensor:
    response = dplr_response(A.half, as_complex(B), as_complex(C).conj(), gap, length)
    if rule == GeneralizedBilinear(0.5):
        return response
    # inputs averaged over a gap are the mean of the inputs at its ends
    return (response + torch.nn.functional.pad(response, (1, -1))) / 2


def _gather(inputs: Tensor, columns: Tensor, jump: Tensor) -> Tensor:
    """``sum_t T^(l-1-t) rest u_t`` over inputs (b, h, l): (b, h, n), from ``T^j rest`` and ``T^q``, j < q."""
    q = columns.shape[-1]
    blocks = -(-inputs.shape[-1] // q)
    late_first = torch.nn.functional.pad(inputs.flip(-1), (0, blocks * q - inputs.shape[-1])).unflatten(-1, (-1, q))
    parts = late_first @ columns.mT
    while parts.shape[-2] > 1:
        # T^(2iq) (w_2i + T^q w_2i+1): half as many parts, twice as far apart
        parts = torch.nn.functional.pad(parts, (0, 0, 0, parts.shape[-2] % 2))
        parts = parts[..., 0::2, :] + parts[..., 1::2, :] @ jump.mT
        jump = jump @ jump
    return parts.squeeze(-2)
