"""What the noise of stochastic layers does: how far it spreads each state, and whether it leaves it stable."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from tsssm.diagnostics.scales import layers_of
from tsssm.layers import GeometricSDE, LangevinSDE, LinearNoiseSDE
from tsssm.models import LatentSDE

SDES = (LangevinSDE, LinearNoiseSDE, GeometricSDE, LatentSDE)
# time scales since the start of a series at which noise is looked at
LOOKS = (0.0, 1.0, 10.0, 100.0, 1000.0)


def noise_stability(fitted: Any, time_scale: float | None = None) -> pd.DataFrame:
    """How long each state of stochastic layers remembers, how far its noise spreads it, and how much noise it could bear.

    Parameters
    ----------
    fitted : estimator or module
        What `time_scales` takes.
    time_scale : float, optional
        Length of a time scale in the user's unit, for a module; 1 if not given. An estimator has its own.

    Returns
    -------
    DataFrame
        A row a state: `layer`, `kind`, `state`; `decay` 1/a in the unit named by `attrs["unit"]`; `noise` s, per square
        root of that unit; `spread`, where the state settles if f is constant: its standard deviation, for `GeometricSDE` of
        log z, for `LinearNoiseSDE` as a share of the mean; and `margin`, ``1 - s^2 / 2a`` where the noise multiplies the
        state, positive where second moments fall, and 1 where it does not.

    Raises
    ------
    NotFittedError
        Where an estimator is not fitted.

    Notes
    -----
    Of noise that changes in time the largest at 0 to 1000 time scales counts, of the noise of a `LatentSDE`, which depends
    on the state, that at its initial mean. Source of the margin: Mao, 2007, Stochastic differential equations and
    applications, section 4.4, for ``dx = -a x dt + s x dW``.

    Examples
    --------
    >>> from tsssm.diagnostics import noise_stability
    >>> from tsssm.layers import LinearNoiseSDE
    >>> table = noise_stability(LinearNoiseSDE(3, d_state=4, noise=0.1))
    >>> bool((table["margin"] > 0.9).all())
    True
    """
    layers, size, unit = layers_of(fitted, SDES, time_scale)
    tables = [_table(name, layer, size) for name, layer in layers.items()]
    columns = ["layer", "kind", "state", "decay", "noise", "spread", "margin"]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
    table.attrs["unit"] = unit
    return table


@torch.no_grad()
def _table(name: str, layer: nn.Module, size: float) -> pd.DataFrame:
    layer = copy.deepcopy(layer).double()
    share, a = share_at(layer, torch.tensor(LOOKS).double()).amax(0).numpy(), layer.decay.numpy()
    linear = isinstance(layer, LinearNoiseSDE)
    return pd.DataFrame(
        {
            "layer": name,
            "kind": type(layer).__name__,
            "state": np.arange(len(a)),
            "decay": size / a,
            "noise": share * np.sqrt(2 * a / size),
            # with a drift m a the mean is m and the variance m^2 s^2 / (2 a - s^2)
            "spread": share / np.sqrt(1 - share**2) if linear else share,
            "margin": 1 - share**2 if linear else np.ones(len(a)),
        }
    )


def share_at(layer: nn.Module, times: torch.Tensor) -> torch.Tensor:
    """s / sqrt(2 a) at times (l,) since the start of a series, in time scales: (l, n)."""
    if isinstance(layer, LatentSDE):
        return layer.spread(layer.first).expand(len(times), -1)
    return layer.share(times.log1p().unsqueeze(-1))
