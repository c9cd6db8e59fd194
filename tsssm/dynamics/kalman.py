"""Kalman filter and smoother of linear systems under white noise, observed with noise on irregular gaps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tsssm.dynamics.matrices import StateMatrix
from tsssm.dynamics.noise import process_noise, stationary_covariance
from tsssm.errors import explain


@dataclass(frozen=True, eq=False)
class GaussianSystem:
    """``x' = A x + white noise of intensity Q``, observed as ``y = C x + D u + e`` with e ~ N(0, R).

    A batch (*s) of systems is one for each channel; `y` then has the axes (b, l, *s, p).

    Parameters
    ----------
    A : StateMatrix (*s, n, n), in 1/time
        Complex modes must come with their conjugates, so that ``C x`` is real.
    Q : Tensor (*s, n, n)
        Intensity of the process noise, positive semidefinite, in squared state per time.
    C : Tensor (*s, p, n)
        How the state is observed.
    R : Tensor (*s, p, p)
        Covariance of the observation noise, positive definite.
    D : Tensor (*s, p, m), optional
        What known inputs add to the observations.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics import Diagonal, GaussianSystem
    >>> one = torch.ones(1, 1)
    >>> GaussianSystem(Diagonal(torch.tensor([-0.5])), one, one, one).settled().cov
    tensor([[1.]])
    """

    A: StateMatrix
    Q: Tensor
    C: Tensor
    R: Tensor
    D: Tensor | None = None

    def settled(self) -> Belief:
        """Zero mean and the stationary covariance: what is known before anything was observed. Needs a stable A."""
        cov = stationary_covariance(self.A, self.Q)
        return Belief(cov.new_zeros(cov.shape[:-1]), cov)

    def steps(self, dt: Tensor) -> tuple[Tensor, Tensor]:
        """Transitions and covariances of the noise over gaps (b, l): both (b, l, *s, n, n)."""
        dt = dt.reshape(dt.shape + (1,) * (len(self.A.shape) - 2))
        return self.A.exp(dt).dense(), process_noise(self.A, self.Q, dt)

    def observed(self, belief: Belief) -> Belief:
        """Mean and covariance of ``C x``, the observation without its noise and without D u: (*, p) and (*, p, p)."""
        C = self.C.to(belief.mean.dtype)
        mean = (C @ belief.mean.unsqueeze(-1)).squeeze(-1)
        return Belief(mean.real, (C @ belief.cov @ C.mH).real)


class Belief(NamedTuple):
    """A normal distribution of states: mean (*, n) and covariance (*, n, n)."""

    mean: Tensor
    cov: Tensor


class Filtered(NamedTuple):
    """What `kalman_filter` returns.

    Attributes
    ----------
    now : Belief, (b, l, *s, n)
        State at each row, given the rows up to it.
    ahead : Belief, (b, l, *s, n)
        State at each row, given the rows before it.
    log_likelihood : Tensor (b, *s)
        Of all that was observed.
    end : Belief, (b, *s, n)
        The last one, to pass on as `start` of the next piece.
    """

    now: Belief
    ahead: Belief
    log_likelihood: Tensor
    end: Belief


def kalman_filter(
    system: GaussianSystem, dt: Tensor, y: Tensor, u: Tensor | None = None, start: Belief | None = None
) -> Filtered:
    """What is known of the state at each row from the rows up to it, and how likely the rows are.

    ``m = F m, P = F P F^H + W`` over each gap, with ``F = e^(dt A)`` and W from `process_noise`; then at each row
    ``K = P C^H (C P C^H + R)^-1, m = m + K (y - C m - D u), P = (I - K C) P (I - K C)^H + K R K^H``.

    Parameters
    ----------
    system : GaussianSystem
    dt : Tensor (b, l), in time, >= 0
        Gap before each row. Rows of padding have gap 0 and nothing observed.
    y : Tensor (b, l, *s, p)
        Observations, NaN where there is none; a row of NaN asks for the state at its time.
    u : Tensor (b, l, *s, m), optional
        Known inputs, for `D`.
    start : Belief, optional
        State before the first gap: (*s, n), or (b, *s, n). Settled if not given, which needs a stable A. Give the first
        row a gap of 0 to place it there.

    Returns
    -------
    Filtered

    Notes
    -----
    O(b l (n^3 + p^3)), row after row. Joseph's form keeps covariances positive semidefinite; still take float64 where
    they span many orders of magnitude. Differentiable: the log-likelihood can be maximised over all that goes in.
    Source: Kalman, 1960; Bucy and Joseph, 1968.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics import Diagonal, GaussianSystem, kalman_filter
    >>> one, y = torch.ones(1, 1), torch.tensor([[[1.0], [torch.nan]]])
    >>> found = kalman_filter(GaussianSystem(Diagonal(torch.tensor([-0.5])), one, one, one), torch.ones(1, 2), y)
    >>> found.now.mean.flatten(), found.now.cov.flatten()
    (tensor([0.5000, 0.3033]), tensor([0.5000, 0.8161]))
    """
    if u is not None and system.D is not None:
        y = y - (system.D @ u.unsqueeze(-1)).squeeze(-1)
    seen = ~y.isnan()
    start = system.settled() if start is None else start
    return filter_steps(*system.steps(dt), system.C, system.R, torch.where(seen, y, 0), seen, start)


def filter_steps(
    F: Tensor,
    W: Tensor,
    C: Tensor,
    R: Tensor,
    y: Tensor,
    seen: Tensor,
    start: Belief,
    reset: Belief | None = None,
    fresh: Tensor | None = None,
    active: Tensor | None = None,
) -> Filtered:
    """`kalman_filter` on given transitions and noises (b, l, *s, n, n), for layers.

    At rows `fresh` (b, l) the state is `reset`; rows that are not `active` (b, l) are answered and leave no trace.
    """
    batch = (len(y), *torch.broadcast_shapes(F.shape[2:-2], y.shape[2:-1]))
    belief = _spread(start, batch)
    ahead, now, gain = [], [], []
    for k in range(y.shape[1]):
        if fresh is not None:
            belief = _choose(fresh[:, k], _spread(reset, batch), belief)
        move, noise = F[:, k], W[:, k]
        moved = Belief((move @ belief.mean.unsqueeze(-1)).squeeze(-1), move @ belief.cov @ move.mH + noise)
        after, likelihood = _update(moved, C, R, y[:, k], seen[:, k])
        if active is None:
            belief = after
        else:
            after = _choose(active[:, k], after, moved)
            belief = _choose(active[:, k], after, belief)
        ahead.append(moved)
        now.append(after)
        gain.append(likelihood)
    return Filtered(_stacked(now), _stacked(ahead), torch.stack(gain).sum(0), belief)


def _update(belief: Belief, C: Tensor, R: Tensor, y: Tensor, seen: Tensor) -> tuple[Belief, Tensor]:
    """The belief after an observation, and the log-likelihood of that."""
    mean, cov = belief
    # what is missing becomes an observation of nothing under noise of its own, which changes neither
    H = torch.where(seen.unsqueeze(-1), C, 0).to(mean.dtype)
    noise = torch.where(seen.unsqueeze(-1) & seen.unsqueeze(-2), R, 0) + torch.diag_embed((~seen).to(R.dtype))
    noise = noise.to(mean.dtype)
    error = torch.where(seen, y, 0).unsqueeze(-1) - H @ mean.unsqueeze(-1)
    lower = torch.linalg.cholesky(H @ cov @ H.mH + noise)
    K = torch.cholesky_solve(H @ cov, lower).mH
    left = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device) - K @ H
    after = Belief(mean + (K @ error).squeeze(-1), left @ cov @ left.mH + K @ noise @ K.mH)
    white = torch.linalg.solve_triangular(lower, error, upper=False).squeeze(-1).abs().square().sum(-1)
    volume = (2 * lower.diagonal(dim1=-2, dim2=-1).real.log() + seen.to(R.dtype) * math.log(2 * math.pi)).sum(-1)
    return after, -0.5 * (white + volume)


def smooth(system: GaussianSystem, dt: Tensor, filtered: Filtered) -> Belief:
    """What is known of the state at each row from all rows, before and after it.

    Backwards from the last row, with primes at the row behind and predictions p:
    ``G = P F'^H P_p'^-1, m_s = m + G (m_s' - m_p'), P_s = (I - G F') P (I - G F')^H + G (P_s' + W') G^H``.

    Parameters
    ----------
    system : GaussianSystem
    dt : Tensor (b, l), in time
        What the filter ran on.
    filtered : Filtered
        What `kalman_filter` returned.

    Returns
    -------
    Belief, (b, l, *s, n)

    Raises
    ------
    ValueError
        If a predicted covariance is singular, as where a state is known exactly and no noise moves it.

    Notes
    -----
    O(b l n^3). The form of the covariance is that of Joseph: positive semidefinite without a difference. Source: Rauch,
    Tung and Striebel, 1965.

    Examples
    --------
    >>> import torch
    >>> from tsssm.dynamics import Diagonal, GaussianSystem, kalman_filter, smooth
    >>> one, y = torch.ones(1, 1), torch.tensor([[[torch.nan], [1.0]]])
    >>> system = GaussianSystem(Diagonal(torch.tensor([-0.5])), one, one, one)
    >>> smooth(system, torch.ones(1, 2), kalman_filter(system, torch.ones(1, 2), y)).mean.flatten()
    tensor([0.3033, 0.5000])
    """
    F, W = system.steps(dt)
    mean, cov = (part[:, -1] for part in filtered.now)
    eye = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
    smoothed = [Belief(mean, cov)]
    for k in range(dt.shape[1] - 2, -1, -1):
        move, noise = F[:, k + 1], W[:, k + 1]
        here, next_mean, next_cov = Belief(*(p[:, k] for p in filtered.now)), *(p[:, k + 1] for p in filtered.ahead)
        lower, failed = torch.linalg.cholesky_ex(next_cov)
        if bool(failed.any()):
            raise ValueError(
                explain(
                    "predicted covariances must be positive definite for smoothing",
                    f"that of row {k + 1} is singular",
                    "Start from a covariance that is positive definite, or drop states that no noise reaches",
                )
            )
        G = torch.cholesky_solve(move @ here.cov, lower).mH
        mean = here.mean + (G @ (mean - next_mean).unsqueeze(-1)).squeeze(-1)
        left = eye - G @ move
        cov = left @ here.cov @ left.mH + G @ (cov + noise) @ G.mH
        smoothed.append(Belief(mean, cov))
    return _stacked(smoothed[::-1])


def _spread(belief: Belief, batch: tuple[int, ...]) -> Belief:
    mean, cov = belief
    return Belief(mean.expand(*batch, mean.shape[-1]), cov.expand(*batch, *cov.shape[-2:]))


def _choose(where: Tensor, yes: Belief, no: Belief) -> Belief:
    """`yes` in the rows of the batch where `where` (b,) is true, `no` in the others."""
    mean = torch.where(where.reshape(-1, *[1] * (yes.mean.dim() - 1)), yes.mean, no.mean)
    return Belief(mean, torch.where(where.reshape(-1, *[1] * (yes.cov.dim() - 1)), yes.cov, no.cov))


def _stacked(beliefs: list[Belief]) -> Belief:
    return Belief(*(torch.stack(parts, 1) for parts in zip(*beliefs, strict=True)))
