"""Sample futures of latent paths."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tsssm.data.batch import Batch
from tsssm.grid import Grid
from tsssm.models.koopman_vae import LatentKoopman, alike
from tsssm.models.latent_prior import Known, Noise

# numbers of latent paths held at once
AT_ONCE = 1 << 22


@torch.no_grad()
def draw_futures(model: LatentKoopman, batch: Batch, n: int, seed: int | None) -> Tensor:
    """Paths (n, b, l, c) of what would be observed at the silent rows behind what each series shows; NaN elsewhere.

    Without a seed all series are driven by the same normal numbers, so that an answer depends on no other series. The prior
    of the model is a `LinearPrior`.
    """
    grid, known = batch.grid, Known.of(batch.static)
    features, width = model.encoder(batch, known), model.d_latent + len(model.variance)
    generator, r = torch.Generator().manual_seed(seed or 0), model.variance.sqrt()
    at_once = max(1, AT_ONCE // (features.shape[0] * features.shape[1] * width))
    out = []
    for first in range(0, n, at_once):
        count = min(n - first, at_once)
        if seed is None:
            draws = [alike(grid, width, first + i, features) for i in range(count)]
            noise = Noise(*(torch.cat(parts) for parts in zip(*draws, strict=True)))
        else:
            shapes = (count * len(known.late), width), (count * len(features), features.shape[1], width)
            noise = Noise(*(torch.randn(shape, generator=generator, dtype=features.dtype) for shape in shapes))
        many = Grid(*(part.repeat(count, 1) for part in (grid.dt, grid.valid, grid.reset, grid.active)))
        again = Known(known.late.repeat(count), known.given.repeat(count, 1))
        latent = Noise(*(part[..., : model.d_latent] for part in noise))
        z = model.prior.future(features.repeat(count, 1, 1), many, again, latent)
        values = model.decoder(z, many, again.given) + r * noise.rows[..., model.d_latent :]
        out.append(values.unflatten(0, (count, -1)))
    silent = (grid.valid & ~grid.active).unsqueeze(-1)
    return torch.where(silent, torch.cat(out), math.nan)
