"""Sample paths of the states behind one series, with the drift and the noise that move them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tsssm.data import Panel
from tsssm.data.tasks import show_all
from tsssm.diagnostics.noise import SDES
from tsssm.diagnostics.scales import layers_of
from tsssm.dynamics.scan import scan
from tsssm.errors import explain
from tsssm.estimators.queries import observed_rows
from tsssm.grid import Grid
from tsssm.layers.driven import steps_of
from tsssm.layers.exponential import Exponential
from tsssm.models import LatentSDE


class StatePaths(NamedTuple):
    """What `state_paths` gives.

    `layer` is the place of the layer; `times` (l,) are encoded like those of the panel; `states` are (n, l, d), logarithms
    for `GeometricSDE`; `noise` (l, d) is s per square root of the unit of time, for a latent SDE the mean
    over paths; `drift` gives the mean rate of states (..., d) per unit of time, as at the last row shown.
    """

    layer: str
    times: np.ndarray
    states: np.ndarray
    noise: np.ndarray
    drift: Callable[[np.ndarray], np.ndarray]


@torch.no_grad()
def state_paths(estimator: Any, X: Panel, series: int = 0, n: int = 50) -> StatePaths:
    """Sample the states of the first stochastic layer of a fitted estimator along one series.

    Parameters
    ----------
    estimator : fitted estimator
        With a layer `LangevinSDE`, `LinearNoiseSDE` or `GeometricSDE`, or a `LatentSDEForecaster`, whose paths are drawn
        from what it thinks of the states given the series.
    X : Panel
    series : int, default 0
        Which one of X.
    n : int, default 50
        Paths, the same ones at each call.

    Raises
    ------
    ValueError
        Where there is no such layer, or the series shows nothing.
    NotFittedError
        Where the estimator is not fitted.

    Examples
    --------
    >>> from tsssm import LatentSDEForecaster
    >>> from tsssm.data.synthetic import noisy_sines
    >>> from tsssm.diagnostics import state_paths
    >>> panel, _ = noisy_sines(20, random_state=0)
    >>> found = state_paths(LatentSDEForecaster(3, epochs=1, random_state=0).fit(panel), panel, n=7)
    >>> found.states.shape == (7, panel.lengths[0], 4)
    True
    """
    layers, _, _ = layers_of(estimator, SDES, None)
    if not layers:
        came = f"this {type(estimator).__name__} has none"
        do = "Fit it with layer=LangevinSDE, LinearNoiseSDE or GeometricSDE, or a LatentSDEForecaster"
        raise ValueError(explain("state paths need a stochastic layer", came, do))
    one = X[[series]]
    shown = one.times[np.isfinite(one.values).any(1)]
    if not len(shown):
        raise ValueError(explain("a series must show something", f"series {series} does not", "Choose another"))
    name, layer = next(iter(layers.items()))
    run = _of_model if isinstance(layer, LatentSDE) else _of_layer
    grid, states, noise, rate = run(layer, estimator, one, n)
    here, size, clock = grid.valid[0], estimator.time_scale_, grid.dt[0].double().cumsum(0)
    last = int((grid.active[0] & here).nonzero()[-1])
    noise = noise / size**0.5
    times = shown[-1] + (clock - clock[last]) * size

    @torch.no_grad()
    def drift(x: np.ndarray) -> np.ndarray:
        return (rate(torch.from_numpy(x), last) / size).numpy()

    return StatePaths(name, times[here].numpy(), states[:, here].numpy(), noise[here].numpy(), drift)


class Run(NamedTuple):
    """A grid, states (n, l, d) and noise (l, d) on it, and the rate of states (..., d) as at a row of it."""

    grid: Grid
    states: Tensor
    noise: Tensor
    rate: Callable[[Tensor, int], Tensor]


def _of_model(model: LatentSDE, estimator: Any, X: Panel, n: int) -> Run:
    """What a latent SDE thinks of the states at the rows that show something."""
    model = copy.deepcopy(model).double()
    source = estimator._source(observed_rows(X))
    batch = source.batch(show_all(source, np.arange(1))).to("cpu", torch.float64)
    guess = model.posterior(batch)
    noise = torch.randn(n, *guess.shift.shape[1:], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    states = scan(guess.keep.expand_as(noise), guess.shift + guess.spread * noise)
    size = model.spread(states).mean(0) * (2 * model.decay).sqrt()
    return Run(batch.grid, states, size, lambda x, row: model.drift(x, x, None) - model.decay * x)


def _of_layer(layer: Exponential, estimator: Any, X: Panel, n: int) -> Run:
    """What a layer does when the estimator answers for X."""
    heard: list[tuple[Tensor, Grid]] = []
    # an answer runs copies of the models, which have the hooks of the models
    hook = layer.register_forward_pre_hook(lambda module, arguments: heard.append(arguments[:2]))
    try:
        estimator.predict(X)
    finally:
        hook.remove()
    u, grid = heard[0]
    u, grid = u.double().cpu(), grid.to("cpu", torch.float64)
    layer = copy.deepcopy(layer).double().cpu().eval()
    layer.paths = n
    steps = steps_of(grid, None)
    states, features = layer.paths_of(u, grid, steps, layer.fresh(u))

    def rate(x: Tensor, row: int) -> Tensor:
        return layer.decay * (layer.drift(x, layer.value(x), features[0, row].expand(*x.shape[:-1], -1)) - x)

    size = layer.share(steps.time[0].log1p().unsqueeze(-1)) * (2 * layer.decay).sqrt()
    return Run(grid, states[0].transpose(0, 1), size, rate)
