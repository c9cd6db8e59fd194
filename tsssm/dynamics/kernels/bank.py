"""A bank of damped oscillators pooled over time, in C: the call of source/bank.h."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from tsssm.dynamics.kernels.bank_loop import Bank, Carried, Rows, nothing_carried, outputs, pooled_loop
from tsssm.dynamics.kernels.native import address, library

__all__ = ["Bank", "Carried", "Rows", "outputs", "pooled", "pooled_loop"]

# different steps whose factors are kept at hand, which must not push the states out of the second cache
_MOST_UNIQUE = 128
# as in tsssm.c
_MOST_THRESHOLDS = 16

_POINTERS = [
    "rate",
    *("mix", "readout", "gain", "threshold", "steepness", "values"),
    *("gap", "step", "unique_steps"),
    *("parts", "which", "offsets"),
    *("clock", "clock_after", "sums"),
    *("state", "recent", "pools"),
]
_NUMBERS = [
    *("series", "channels", "groups", "modes", "readouts", "thresholds", "unique", "nodes", "threads"),
    *("resumed", "closed"),
]


class _Call(ctypes.Structure):
    """Arguments of a bank, field by field those of tsssm.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in _POINTERS),
        *((name, ctypes.c_int64) for name in _NUMBERS),
        ("fast", ctypes.c_double),
    ]


def pooled(
    bank: Bank, rows: Rows, carried: Carried | None = None, closed: bool = True
) -> tuple[Tensor, Carried | None]:
    """Run a bank over series and pool each output over time: shares of time, size, extremes, runs, crossings, lean.

    Nodes are the rows and the points that cut a gap into its parts. With w_n half the gaps beside node n, T their sum,
    and soft indicators a_q = clip(y steepness - threshold_q, 0, 1) of each output y, the pools are in this order

        share_q    sum_n w a_q / T, one for each threshold
        rms        sqrt(sum_n w y^2 / T)
        max, min   over the nodes
        longest    max_n run_n / T, run_n = a_0 (run_{n-1} + w): softly the longest stretch above threshold 0
        crossings  sum_n max(a_0n - a_0,n-1, 0): softly the number of upcrossings of threshold 0
        lean       sum_n w t_n a_0 / T^2 - share_0 / 2, t_n the time since the first row: late or early

    With T = 0 the last node alone has weight, 1. A series without rows gives zeros.

    Parameters
    ----------
    bank : Bank
    rows : Rows
    carried : Carried, optional
        What an earlier call returned for the same series, which then go on: their first gap counts.
    closed : bool
        Whether nothing is carried on. The pools are those of all rows up to here either way.

    Returns
    -------
    pools : Tensor, (n, q + 6, r, g)
    carried : Carried, or None if closed

    Notes
    -----
    Compiled for floats on the CPU; O(nodes r g (k + q)) work, and memory of the size of the results. Pools do not depend
    on the number of threads, nor on the pieces in which a series comes, to the bit. Not differentiable.

    Examples
    --------
    >>> import torch
    >>> one = torch.ones(1, 1)
    >>> bank = Bank(torch.full((1, 1), -1 + 2j, dtype=torch.complex128), one, one[None] + 0j, one, one[None], one)
    >>> rows = Rows(torch.randn(5, 1), torch.ones(5, dtype=torch.float64), torch.ones(5).int(), torch.tensor([0, 3, 5]))
    >>> pooled(bank, rows)[0].shape
    torch.Size([2, 7, 1, 1])
    """
    if not _takes(bank):
        return pooled_loop(bank, rows, carried, closed)
    n, (q, r, g) = len(rows.offsets) - 1, bank.threshold.shape
    resumed = carried is not None
    if carried is not None:
        carried = Carried(*(part.clone(memory_format=torch.contiguous_format) for part in carried))
    elif not closed:
        carried = nothing_carried(bank, n)
    clock_after = None if carried is None else carried.clock.clone()
    pools = torch.empty(n, q + 6, r, g)
    _call(bank, rows, carried, clock_after, pools, resumed=resumed, closed=closed)
    pools[:, q].sqrt_()
    if carried is None or clock_after is None or closed:
        return pools, None
    return pools, carried._replace(clock=clock_after)


def _takes(bank: Bank) -> bool:
    plain = bank.mix.device.type == "cpu" and bank.mix.dtype == torch.float32
    return plain and len(bank.threshold) <= _MOST_THRESHOLDS and hasattr(library(), "tsssm_pooled")


def _call(
    bank: Bank, rows: Rows, carried: Carried | None, clock_after: Tensor | None, pools: Tensor, **flags: bool
) -> None:
    parts = rows.parts.int().contiguous()
    tensors = {
        name: _plain(part, torch.float32) for name, part in bank._asdict().items() if name not in ("rate", "readout")
    }
    tensors |= {"readout": _plain(bank.readout, torch.complex64), "rate": _plain(bank.rate, torch.complex128)}
    tensors |= {"values": _plain(rows.values, torch.float32), "gap": _plain(rows.gap, torch.float64)}
    tensors |= {"parts": parts, "offsets": _plain(rows.offsets, torch.int64), "pools": pools}
    step = tensors["gap"] / parts.clamp(min=1)
    which, unique_steps = torch.empty(len(step), dtype=torch.int32), step.new_empty(_MOST_UNIQUE)
    most = min(_MOST_UNIQUE, len(step) // 4)
    native = library()
    assert native is not None
    unique = native.tsssm_unique_double(address(step), len(step), most, address(which), address(unique_steps))
    tensors |= {"step": step, "which": which, "unique_steps": unique_steps}
    if carried is not None and clock_after is not None:
        tensors |= carried._asdict() | {"clock_after": clock_after}
    q, r, g = bank.threshold.shape
    call = _Call(
        **{name: address(tensor) for name, tensor in tensors.items()},
        **flags,
        series=len(pools),
        channels=len(bank.mix),
        groups=g,
        modes=len(bank.rate),
        readouts=r,
        thresholds=q,
        unique=unique,
        nodes=int(parts.sum()),
        threads=torch.get_num_threads(),
        fast=float(bank.rate.abs().max()),
    )
    if native.tsssm_pooled(ctypes.byref(call)):
        raise MemoryError(f"no memory for a bank of {len(bank.rate)} oscillators and {r} readouts in {g} groups")


def _plain(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.detach().resolve_conj().resolve_neg().to(dtype).contiguous()
