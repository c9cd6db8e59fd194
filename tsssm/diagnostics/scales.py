"""Time scales and periods of the modes of fitted layers, in the user's units."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn.functional import softplus

from tsssm.layers import LRU, LSSL, S4, S4D, S5, LinearGaussian, Selective
from tsssm.layers.exponential import Exponential
from tsssm.models import LatentSDE

# what has modes
KINDS = (S5, S4D, S4, LSSL, LRU, LinearGaussian, Selective, Exponential, LatentSDE)
# seconds in the units of a clock that counts seconds
UNITS = {"days": 86_400.0, "hours": 3_600.0, "minutes": 60.0, "seconds": 1.0}


def time_scales(fitted: Any, time_scale: float | None = None) -> pd.DataFrame:
    """How long each mode of a model's layers remembers, and how fast it swings.

    A mode of eigenvalue ``-1/T + 2 pi i/P`` falls to 1/e in T and comes round in P.

    Parameters
    ----------
    fitted : estimator or module
        A fitted estimator, or any module that holds layers.
    time_scale : float, optional
        Length of a time scale in the user's unit, for a module; 1 if not given. An estimator has its own.

    Returns
    -------
    DataFrame
        A row a mode: `layer` (its place in the model), `kind`, `feature` (missing where features share the modes), `mode`,
        `decay` (T) and `period` (P, infinite without a swing), in the unit that `attrs["unit"]` names: of the
        datetimes' own choice days to seconds; empty, the user's own, for plain numbers.

    Raises
    ------
    NotFittedError
        Where an estimator is not fitted.

    Notes
    -----
    Layers without modes, such as GRU, have no rows. Those of neural ODEs and SDEs are what their linear part says, and of
    a latent SDE those of its equation, without what the network adds. Those of `Selective` are for a row whose features are all 0: its
    modes change pace from row to row. O(d_state^3) for each feature where A is not diagonal.

    Examples
    --------
    >>> from tsssm.diagnostics import time_scales
    >>> from tsssm.layers import S5
    >>> time_scales(S5(3, d_state=8, blocks=1), time_scale=60.0).shape
    (4, 6)
    """
    layers, size, unit = layers_of(fitted, KINDS, time_scale)
    tables = [_table(name, layer, size) for name, layer in layers.items()]
    empty = pd.DataFrame(columns=["layer", "kind", "feature", "mode", "decay", "period"])
    table = pd.concat(tables, ignore_index=True) if tables else empty
    table.attrs["unit"] = unit
    return table


def layers_of(
    fitted: Any, kinds: tuple[type, ...], time_scale: float | None
) -> tuple[dict[str, nn.Module], float, str]:
    """Modules of some kinds in an estimator or module by their place, the length of a time scale and its unit."""
    if isinstance(fitted, nn.Module):
        modules, size, unit = {"": fitted}, 1.0 if time_scale is None else time_scale, ""
    else:
        check_is_fitted(fitted, "time_scale_")
        if "model_" in vars(fitted):
            modules = {"model_": fitted.model_}
        else:
            modules = {f"models_.{i}": model for i, model in enumerate(fitted.models_)}
        size, unit = _unit(fitted.time_scale_, fitted.clock_kind_)
    found = {
        ".".join(filter(None, (place, name))): layer
        for place, module in modules.items()
        for name, layer in module.named_modules()
        if isinstance(layer, kinds)
    }
    return found, size, unit


@torch.no_grad()
def eigenvalues(layer: nn.Module) -> Tensor:
    """Eigenvalues of a layer's state matrix in 1/time scales, one of each conjugate pair: (n,), or (d_model, n)."""
    layer = copy.deepcopy(layer).double()
    if isinstance(layer, (S4, LSSL)):
        found = torch.linalg.eigvals(layer.matrix().dense())
        return torch.stack([row[row.imag.argsort()][-((len(row) + 1) // 2) :] for row in found])
    if isinstance(layer, (Exponential, LatentSDE)):
        return torch.complex(-layer.decay, torch.zeros_like(layer.decay))
    decay = layer.log_decay.exp()
    if isinstance(layer, LRU):
        return torch.complex(-decay, layer.log_frequency.exp())
    if isinstance(layer, Selective):
        return torch.complex(-decay * softplus(layer.step_bias).unsqueeze(-1), torch.zeros_like(decay))
    step = layer.log_timescale.clamp(-14, 4.6).exp()
    return torch.complex(-decay, layer.frequency) * (step.unsqueeze(-1) if isinstance(layer, S4D) else step)


def _table(name: str, layer: nn.Module, size: float) -> pd.DataFrame:
    found = eigenvalues(layer)
    apart = found.dim() == 2
    rates = found.reshape(-1, found.shape[-1]).numpy()
    feature, mode = np.indices(rates.shape)
    swing = np.abs(rates.imag)
    period = np.divide(2 * np.pi * size, swing, out=np.full(rates.shape, np.inf), where=swing > 0)
    return pd.DataFrame(
        {
            "layer": name,
            "kind": type(layer).__name__,
            "feature": pd.array(feature.ravel() if apart else [None] * rates.size, dtype="Int64"),
            "mode": mode.ravel(),
            "decay": (-size / rates.real).ravel(),
            "period": period.ravel(),
        }
    )


def _unit(time_scale: float, kind: str) -> tuple[float, str]:
    """Length of a time scale in the largest unit that it fills; numbers have the user's own."""
    if kind not in ("datetime", "timedelta"):
        return time_scale, ""
    name, size = next(((name, size) for name, size in UNITS.items() if time_scale >= size), ("seconds", 1.0))
    return time_scale / size, name
