"""Tables of latent modes in the user's units."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tsssm.data.tasks import show_all
from tsssm.data.windows import Windows
from tsssm.estimators.base import by_length
from tsssm.models.koopman_vae import LatentKoopman
from tsssm.models.latent_prior import Known
from tsssm.models.linear_prior import LinearPrior
from tsssm.models.operator import generator_of

# pieces of series that the energies of modes are measured on
ENOUGH = 256


def modes_of(model: LatentKoopman, windows: Windows, time_scale: float, unit: str) -> pd.DataFrame:
    """Period, half-life and energy of each mode, strongest first.

    Parameters
    ----------
    model : LatentKoopman
        In float64.
    windows : Windows
        Pieces of the training series.
    time_scale : float
        In the unit of the clock.
    unit : str
        Name of that unit.
    """
    if isinstance(model.prior, LinearPrior):
        rates = model.prior.spectrum.rates.detach()
        basis = torch.eye(2 * len(rates), dtype=torch.complex128)
        groups = [[2 * j, 2 * j + 1] for j in range(len(rates))]
        held = len(model.prior.spectrum.held)
    else:
        rates, basis, groups = _of_operator(model.prior.operator.double())
        held = 0
    rates = rates.to(torch.complex128).numpy() / time_scale
    with np.errstate(divide="ignore"):
        table = pd.DataFrame(
            {
                "period": 2 * math.pi / np.abs(rates.imag),
                # of what grows the time to double, negative
                "half_life": math.log(2) / -(rates.real + 0.0),
                "energy": _energies(model, windows, basis, groups),
                "held": np.arange(len(rates)) < held,
            }
        )
    table["half_life"] = table["half_life"].where(rates.real != 0, np.inf)
    table.attrs["unit"] = unit or "the unit of the times"
    return table.sort_values("energy", ascending=False, ignore_index=True)


def _of_operator(A: Tensor) -> tuple[Tensor, Tensor, list[list[int]]]:
    """Rates of one of each conjugate pair of a fitted map, its eigenvectors, and the numbers of each pair in them."""
    values, vectors = torch.linalg.eig(A)
    groups = []
    for j, value in enumerate(values):
        if value.imag > 1e-12:
            other = int((values - value.conj()).abs().argmin())
            groups.append([j, other])
        elif abs(value.imag) <= 1e-12:
            groups.append([j])
    return generator_of(A, 1.0)[[group[0] for group in groups]], vectors, groups


@torch.no_grad()
def _energies(model: LatentKoopman, windows: Windows, basis: Tensor, groups: list[list[int]]) -> np.ndarray:
    """Share of the variance of decoded values that is lost where a mode is held at its mean."""
    lengths = windows.lengths
    some = np.flatnonzero(lengths)[:: max(1, len(windows) // ENOUGH)]
    lost, total = np.zeros(len(groups)), 0.0
    for part in by_length(lengths[some]):
        batch = windows.batch(show_all(windows, some[part])).to("cpu", torch.float64)
        found, known = model.predict(batch), Known.of(batch.static)
        z, valid = found["z"], batch.grid.valid
        whole = found["mean"][valid]
        total += float((whole - whole.mean(0)).square().sum())
        coordinates = z.to(torch.complex128) @ basis
        coordinates = coordinates - coordinates[valid].mean(0)
        back = torch.linalg.pinv(basis)
        for j, group in enumerate(groups):
            without = z - (coordinates[..., group] @ back[group]).real
            decoded = model.decoder(without, batch.grid, known.given)[valid]
            lost[j] += float((decoded - whole).square().sum())
    return lost / max(total, np.finfo(float).tiny)
