"""Response: the power a bank lets through is what a sine loses on its way."""

from __future__ import annotations

import numpy as np
import torch

from tsssm.dynamics.kernels.bank import Bank, Rows, outputs
from tsssm.features.response import power


def test_power_is_that_of_a_sine_once_it_has_settled():
    rng = np.random.default_rng(0)
    rate = torch.tensor(-rng.uniform(0.3, 0.6, (2, 3)) + 1j * rng.uniform(0.3, 2, (2, 3)))
    readout = torch.tensor(rng.normal(size=(4, 2, 3)) + 1j * rng.normal(size=(4, 2, 3)))
    gain, quantiles = torch.tensor(rng.normal(size=(4, 3))), torch.zeros(1, 4, 3, dtype=torch.float64)
    bank = Bank(rate, torch.ones(1, 3, dtype=torch.float64), readout, gain, quantiles, torch.ones_like(gain))
    period, n = 7.0, 1400
    times = np.arange(n) * 0.05
    values = torch.tensor(np.sin(2 * np.pi * times / period))[:, None]
    gap, parts = torch.full((n,), 0.05, dtype=torch.float64), torch.ones(n, dtype=torch.int32)
    y = outputs(bank, Rows(values, gap, parts, torch.tensor([0, n])))[-700:]
    np.testing.assert_allclose(power(bank, np.array([period]))[0], 2 * (y**2).mean(0), rtol=1e-3)
