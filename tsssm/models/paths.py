"""Sampling of the joint future of series under a structural model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tsssm.data.batch import Batch
from tsssm.dynamics.kernels.pairs_loop import noise
from tsssm.models.entries import Entries, entries_of
from tsssm.models.structural import Structural


@torch.no_grad()
def sample_future(model: Structural, batch: Batch, n: int, rng: np.random.Generator) -> Tensor:
    """Paths (n, b, l, c) at the rows asked behind the last row seen of each series; NaN elsewhere.

    States are drawn at the last row seen and driven on by the noise of each gap; where series differ in their variances,
    each path has one of its own. O(n k^2) for each number asked.
    """
    entries = entries_of(batch)
    pairs, found = model.filter(entries)
    scale = model.scale(entries, found)
    flat = torch.arange(entries.y.numel()).view_as(entries.y)
    first, behind = ahead_of(entries)
    out = found.mean.new_full((n, *entries.y.shape), torch.nan).flatten(1)
    shape = (n, len(first), found.mean.shape[-1])
    # where nothing was seen the row before the first one asked is another sequence's, which F = 0 forgets
    last = (first - 1).clamp_min(0)
    draw = torch.from_numpy(rng.standard_normal(shape))
    x = found.mean.flatten(0, 1)[last] + (root(found.cov.flatten(0, 1)[last]) @ draw.unsqueeze(-1)).squeeze(-1)
    size = _sizes(scale.factor.flatten()[first], scale.freedom.flatten()[first], n, rng).sqrt()
    mean, F, N = found.mean.flatten(0, 1)[last], pairs.F.flatten(0, 1), pairs.N.flatten(0, 1)
    x = mean + size.unsqueeze(-1) * (x - mean)
    for step in range(int(behind.max()) if len(behind) else 0):
        going = behind > step
        at = flat.flatten()[(first + step)[going]]
        draw = torch.from_numpy(rng.standard_normal((n, len(at), shape[2]))).unsqueeze(-1)
        moved = torch.einsum("skij,nskj->nski", F[at], x[:, going].unflatten(-1, (-1, 2))).flatten(-2)
        moved = moved + size[:, going, None] * (root(noise(N[at])) @ draw).squeeze(-1)
        x[:, going] = moved
        seen = size[:, going] * pairs.r.flatten()[at].sqrt() * torch.from_numpy(rng.standard_normal((n, len(at))))
        out[:, at] = moved[..., ::2].sum(-1) + seen + model.center[entries.channel.flatten()[at]]
    c, (b, l) = batch.values.shape[2], batch.values.shape[:2]
    whole = out.new_full((n, c * b * l), torch.nan)
    whole[:, entries.row] = out[:, entries.place]
    return whole.view(n, c, b, l).permute(0, 2, 3, 1)


def ahead_of(entries: Entries) -> tuple[Tensor, Tensor]:
    """Flat place of the first entry behind the last one seen of each sequence, and how many there are (sequences,)."""
    used = torch.zeros(entries.y.numel(), dtype=torch.bool)
    used[entries.place] = True
    number = entries.begins.flatten().cumsum(0) - 1
    place, count = torch.arange(len(used)), int(entries.begins.sum())
    begin = place[entries.begins.flatten()]
    seen = torch.where(entries.seen.flatten(), place, -1)
    last = begin.new_full((count,), -1).scatter_reduce(0, number[used], seen[used], "amax")
    end = begin.new_full((count,), -1).scatter_reduce(0, number[used], place[used], "amax")
    first = torch.where(last >= 0, last + 1, begin)
    asked = end + 1 - first
    return first[asked > 0], asked[asked > 0]


def root(cov: Tensor) -> Tensor:
    """A square root of covariances that may be singular."""
    values, vectors = torch.linalg.eigh(cov)
    return vectors * values.clamp_min(0).sqrt().unsqueeze(-2)


def _sizes(factor: Tensor, freedom: Tensor, n: int, rng: np.random.Generator) -> Tensor:
    """Draws (n, s) of the factor of all variances of each series."""
    nu = freedom.clamp_max(1e9).numpy()
    return factor * torch.from_numpy(nu / rng.chisquare(nu, (n, len(nu))))
