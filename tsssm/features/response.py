"""Response: which periods the outputs of a bank let through."""

from __future__ import annotations

import numpy as np

from tsssm.dynamics.kernels.bank import Bank


def power(bank: Bank, periods: np.ndarray) -> np.ndarray:
    """Power |H|^2 of each output at each period, (p, r, g).

    Its path v = exp(i w t) moves output r of a group by

        H_r(w) = gain_r + i w / 2 sum_k (c_rk / (i w - rate_k) + conj(c_rk) / (i w - conj(rate_k))).

    Parameters
    ----------
    bank : Bank
    periods : ndarray, (p,)
        2 pi / w, in the unit of time of the bank's rates.
    """
    turn = 2j * np.pi / periods[:, None, None, None]
    rate, readout = bank.rate.numpy(), bank.readout.numpy().astype(np.complex128)
    both = readout / (turn - rate) + readout.conj() / (turn - rate.conj())
    return np.abs(bank.gain.numpy() + turn[:, 0] / 2 * both.sum(-2)) ** 2
