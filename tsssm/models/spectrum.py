"""Spectrum: the eigenvalues of a linear map in continuous time, learned, with some of them held."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tsssm.dynamics import Diagonal
from tsssm.errors import explain

# golden ratio: decays and frequencies in orders that have nothing to do with each other
GOLDEN = 0.6180339887498949
# periods at the start of training, in time scales: below 2 a mode would alias on an even grid
SHORTEST, LONGEST = 4.0, 200.0


class Spectrum(nn.Module):
    """Eigenvalues ``-a_j + i w_j`` of a real generator K, one of each conjugate pair, and the noise that drives each.

    A pair is two real states with ``x' = [[-a, -w], [w, -a]] x + noise``. Of a free pair a > 0, so that it decays at any
    gap; its noise settles at the spread s. A conserved pair has a = 0: it keeps its size for ever, and no noise moves it.

    Pictures of paths do not say how fast they fade: where z turns and fades, ``z |z|^p`` turns as fast and fades 1 + p times
    as fast, and a network reads one off the other. What is linear in the data themselves does, so that a spectrum can begin
    there and be moved the less the more it explains, see `start_at`.

    Parameters
    ----------
    pairs : int
        Number m of conjugate pairs.
    periods : sequence of float, default ()
        Periods in time scales that the first pairs are held at, conserved.
    conserved : int, default 0
        How many of the following pairs are conserved, with periods that are learned.
    noise : bool, default True
        Whether the free pairs are driven by noise; without it they only decay.

    Raises
    ------
    ValueError
        If there are fewer pairs than held ones.

    Examples
    --------
    >>> Spectrum(3, periods=[24.0]).rates[0].imag * 24
    tensor(6.2832, grad_fn=<MulBackward0>)
    """

    def __init__(self, pairs: int, periods: Sequence[float] = (), conserved: int = 0, noise: bool = True):
        super().__init__()
        held = len(periods) + conserved
        if held > pairs:
            must = f"a state of {2 * pairs} numbers has room for {pairs} modes"
            came = f"{len(periods)} periods and {conserved} conserved modes came"
            raise ValueError(explain(must, came, "Raise `d_latent`, or hold fewer modes"))
        self.pairs, self.noise = pairs, noise
        share = torch.linspace(0, 1, pairs) if pairs > 1 else torch.full((1,), 0.5)
        mixed = (GOLDEN * torch.arange(1, pairs + 1)) % 1
        period = torch.exp(math.log(SHORTEST) + math.log(LONGEST / SHORTEST) * mixed)
        self.register_buffer("held", 2 * math.pi / torch.tensor(list(periods), dtype=torch.float64).float())
        self.register_buffer("free", (torch.arange(pairs) >= held).float())
        self.log_decay = nn.Parameter(math.log(0.003) + share * math.log(1 / 0.003))
        self.frequency = nn.Parameter((2 * math.pi / period)[len(periods) :])
        self.log_spread = nn.Parameter(torch.full((pairs,), -1.0))
        self.register_buffer("volume", torch.ones(()))
        self.register_buffer("begun", torch.stack([self.log_decay.detach(), 2 * math.pi / period]))
        self.register_buffer("reach", torch.ones(pairs))

    def start_at(self, rates: Tensor, left: float) -> None:
        """Let the first pairs begin at these rates (n,), n <= m, held ones first, which leave a share `left` unexplained.

        Training moves them by that share of what it moves others.
        """
        with torch.no_grad():
            n, p = len(rates), len(self.held)
            self.log_decay[:n] = (-rates.real).clamp_min(1e-9).log()
            self.frequency[: max(0, n - p)] = rates.imag[p:].to(self.frequency)
            self.begun[0, :n], self.begun[1, :n] = self.log_decay[:n], rates.imag
            self.reach[:n] = left

    @property
    def decay(self) -> Tensor:
        """a, (m,) per time scale; exactly 0 for conserved pairs."""
        moved = self.begun[0] + self.reach * (self.log_decay - self.begun[0])
        return moved.clamp(-14, 5).exp() * self.free

    @property
    def rates(self) -> Tensor:
        """Eigenvalues (m,), complex, per time scale."""
        p = len(self.held)
        begun = self.begun[1, p:]
        moved = begun + self.reach[p:] * (self.frequency - begun)
        return torch.complex(-self.decay, torch.cat([self.held.to(moved), moved]))

    @property
    def generator(self) -> Diagonal:
        """K on one of each conjugate pair: ``exp(K h)`` is what moves a state over a gap h."""
        return Diagonal(self.rates)

    def warm(self, done: float) -> None:
        """Let noise in when a share `done` of training is behind: none for the first third, all of it from the half on.

        What the start of a path can say would otherwise be learned as shocks, row by row, and stay so: the bound is as good,
        but paths that are drawn are rough.
        """
        self.volume.fill_(min(1.0, max(0.0, (done - 1 / 3) * 6)))

    def noise_std(self, gap: Tensor) -> Tensor:
        """Standard deviation (..., m), of each of the two states, of what noise adds over gaps (...), exactly.

        The covariance of `dynamics.process_noise` for the intensity 2 a s^2: ``s^2 (1 - exp(-2 a h))``, in both directions.
        """
        if not self.noise:
            return torch.zeros_like(gap.unsqueeze(-1) * self.decay)
        grown = -torch.expm1(-2 * self.decay * gap.unsqueeze(-1))
        # the gradient of a root at 0 is infinite
        return self.volume * self.log_spread.exp() * grown.clamp_min(1e-12).sqrt() * self.free

    def bridge(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """What the states (z0, z1) at both ends of a gap say of the one within, ``F z0 + G z1``, complex (..., m).

        The mean of the process that is pinned at both ends; `before` and `after` (...) are the times from z0 and to z1.
        """
        a, h, rest = self.decay, before.unsqueeze(-1), after.unsqueeze(-1)
        # for a = 0 the limit: a straight line, turned along
        share = torch.where(
            a * (h + rest) > 1e-6,
            torch.expm1(-2 * a * h) / torch.expm1(-2 * a * (h + rest)).clamp_max(-1e-12),
            h / (h + rest).clamp_min(1e-12),
        )
        G = share * torch.exp(self.rates.conj() * rest)
        return torch.exp(self.rates * h) - G * torch.exp(self.rates * (h + rest)), G
