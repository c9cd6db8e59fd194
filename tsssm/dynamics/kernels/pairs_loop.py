"""Kalman filters of pairs of states row by row, and their smoother: the specification of the compiled form in pairs.py."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Pairs(NamedTuple):
    """Filters of k pairs of states, each observed through the sum of the first states of its pairs.

    Over a row every pair moves by ``x = F x + N(0, N)``, on its own, and then ``y = sum of x_1 + N(0, r)`` is seen.

    Attributes
    ----------
    F : Tensor (b, l, k, 2, 2)
        Transitions; zeros where a row starts afresh.
    N : Tensor (b, l, k, 3)
        Covariances of what is added: the first variance, the covariance, the second variance.
    y, r : Tensor (b, l)
        Observations and the variances of their noise, > 0.
    seen : Tensor of bool (b, l)
        Where there is an observation; elsewhere y counts as a number to compare with, and changes nothing.
    before : Tensor of int64 (b, l)
        From which row each goes on: the one before it, the one that that went on from, or -1 for the start. Rows that none
        goes on from leave no trace.
    mean, cov : Tensor (b, 2 k), (b, 2 k, 2 k)
        Belief at the start.
    """

    F: Tensor
    N: Tensor
    y: Tensor
    r: Tensor
    seen: Tensor
    before: Tensor
    mean: Tensor
    cov: Tensor


class Filtering(NamedTuple):
    """What filters of pairs found.

    Attributes
    ----------
    mean, cov : Tensor (b, l, 2 k), (b, l, 2 k, 2 k)
        Belief at each row, after what was seen there.
    error, spread : Tensor (b, l)
        Observation less what was expected, and the variance that was expected of it, noise included.
    """

    mean: Tensor
    cov: Tensor
    error: Tensor
    spread: Tensor


def pairs_loop(pairs: Pairs) -> Filtering:
    """Run filters of pairs one row after another; differentiable twice.

    With h the sum of the first states, ``P = F P F^T + N, e = y - h m, s = h P h^T + r, K = P h^T / s``, then
    ``m = m + K e, P = (I - K h) P (I - K h)^T + r K K^T``. O(b l k^2) in the compiled form, O(b l k^3) here.
    """
    eye = torch.eye(pairs.mean.shape[-1]).to(pairs.mean)
    means, covs, errors, spreads = [], [], [], []
    m0, P0 = pairs.mean, pairs.cov
    # a slice a row would make the backward pass quadratic in the length
    parts = (dense(pairs.F), noise(pairs.N), *pairs[2:6])
    for k, (F, N, y, r, seen, before) in enumerate(zip(*(part.unbind(1) for part in parts), strict=True)):
        if k:
            m0 = _pick(before == k - 1, means[-1], _pick(before < 0, pairs.mean, m0))
            P0 = _pick(before == k - 1, covs[-1], _pick(before < 0, pairs.cov, P0))
        m, P = (F @ m0.unsqueeze(-1)).squeeze(-1), F @ P0 @ F.mT + N
        g = P[..., ::2].sum(-1)
        e, s = y - m[..., ::2].sum(-1), g[..., ::2].sum(-1) + r
        K = torch.where(seen[:, None], g / s[:, None], 0)
        left = eye - torch.stack([K, torch.zeros_like(K)], -1).repeat(1, 1, K.shape[-1] // 2)
        means.append(m + K * e[:, None])
        covs.append(left @ P @ left.mT + r[:, None, None] * K.unsqueeze(-1) * K.unsqueeze(-2))
        errors.append(e)
        spreads.append(s)
    return Filtering(*(torch.stack(parts, 1) for parts in (means, covs, errors, spreads)))


def smooth_pairs(pairs: Pairs, found: Filtering) -> tuple[Tensor, Tensor]:
    """Mean (b, l, 2 k) and covariance of the states at each row given all rows, earlier and later.

    Backwards, with m and P before each observation and L = I - K h: ``v = L^T v - h^T e / s, V = L^T V L + h^T h / s`` at
    what was seen, then ``m - P v`` and ``P - P V P``, and ``F^T v, F^T V F`` over each gap. No covariance is inverted, so
    states may be known for sure. Every row must go on from the one before it. O(b l k^3). Source: Bierman, 1973, Fixed
    interval smoothing with discrete measurements (the modified form of Bryson and Frazier).
    """
    F, h = dense(pairs.F), torch.zeros_like(pairs.mean[0])
    h[::2] = 1
    m0 = torch.cat([pairs.mean.unsqueeze(1), found.mean[:, :-1]], 1)
    P0 = torch.cat([pairs.cov.unsqueeze(1), found.cov[:, :-1]], 1)
    m, P = (F @ m0.unsqueeze(-1)).squeeze(-1), F @ P0 @ F.mT + noise(pairs.N)
    seen, each = pairs.seen.unsqueeze(-1), (1 / found.spread).unsqueeze(-1)
    K = torch.where(seen, (P @ h) * each, 0)
    left = torch.eye(len(h)).to(P) - K.unsqueeze(-1) * h
    jump = torch.where(seen, -h * found.error.unsqueeze(-1) * each, 0)
    fresh = torch.where(seen.unsqueeze(-1), (h * h[:, None]) * each.unsqueeze(-1), 0)
    v, V = torch.zeros_like(m), torch.zeros_like(P)
    behind, around = torch.zeros_like(pairs.mean), torch.zeros_like(pairs.cov)
    for k in range(pairs.y.shape[1] - 1, -1, -1):
        back = left[:, k].mT
        v[:, k] = (back @ behind.unsqueeze(-1)).squeeze(-1) + jump[:, k]
        V[:, k] = back @ around @ left[:, k] + fresh[:, k]
        behind = (F[:, k].mT @ v[:, k].unsqueeze(-1)).squeeze(-1)
        around = F[:, k].mT @ V[:, k] @ F[:, k]
    return m - (P @ v.unsqueeze(-1)).squeeze(-1), P - P @ V @ P


def _pick(where: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(where.view(-1, *[1] * (yes.dim() - 1)), yes, no)


def dense(F: Tensor) -> Tensor:
    """Blocks (*, k, 2, 2) along the diagonal of matrices (*, 2 k, 2 k)."""
    k = F.shape[-3]
    out = F.new_zeros(*F.shape[:-3], k, 2, k, 2)
    place = torch.arange(k, device=F.device)
    out[..., place, :, place, :] = F.movedim(-3, 0)
    return out.reshape(*F.shape[:-3], 2 * k, 2 * k)


def noise(N: Tensor) -> Tensor:
    """Covariances (*, 2 k, 2 k) of pairs that are given by three numbers (*, k, 3)."""
    return dense(N[..., [0, 1, 1, 2]].unflatten(-1, (2, 2)))
