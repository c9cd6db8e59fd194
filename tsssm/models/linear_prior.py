"""LinearPrior: latent paths that a linear system in continuous time makes, and what observations say of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tsssm.dynamics import Dirac, evolve
from tsssm.grid import Grid, held_gap, previous_active
from tsssm.models.latent_prior import Drawn, Known, LatentPrior, Noise
from tsssm.models.mixture_chain import MixtureChain
from tsssm.models.spectrum import Spectrum


class Guess(NamedTuple):
    """What is thought of a path: mean and log spread of the start (s, k) of each series, and of the shocks (b, l, k)."""

    start: Tensor
    log_start: Tensor
    shock: Tensor
    log_shock: Tensor


class LinearPrior(LatentPrior):
    """Paths of ``dz = K z dt + noise`` from a start z_0 whose law is a `MixtureChain`.

    From row to row ``z_k = exp(K h_k) z_{k-1} + s(h_k) e_k`` exactly, e_k standard normal, s(h) the noise of the gap h. What
    is thought of a path, given observations, is a start and shocks that are independent and normal; where noise is off
    the start says it all.

    Parameters
    ----------
    spectrum : Spectrum
        K, of m pairs, so that states have k = 2 m numbers, and its noise.
    d_model : int
        Width of the features that observations are told by.
    given : int
        Covariates of each series.

    Notes
    -----
    All rows are moved by one scan, O(b l k). The divergence of shocks is in closed form, that of the start has one draw.
    """

    def __init__(self, spectrum: Spectrum, d_model: int, given: int):
        super().__init__()
        k = 2 * spectrum.pairs
        self.spectrum, self.starts = spectrum, MixtureChain(k, given)
        self.to_start, self.to_shock = nn.Linear(d_model + given, 2 * k), nn.Linear(d_model, 2 * k)
        with torch.no_grad():
            for head in (self.to_start, self.to_shock):
                head.weight.mul_(0.1)
            self.to_start.bias[k:] = -2.0
            self.to_shock.bias[k:] = 0.0

    def warm(self, done: float) -> None:
        """Noise comes in on the way, see `Spectrum.warm`."""
        self.spectrum.warm(done)

    def guess(self, features: Tensor, grid: Grid, given: Tensor) -> Guess:
        """What features (b, l, d_model) say of paths."""
        first = first_rows(grid)
        start = self.to_start(torch.cat([features.flatten(0, 1)[first], given], -1))
        shock = self.to_shock(features)
        return Guess(*_bounded(start), *_bounded(shock))

    def path(self, start: Tensor, shock: Tensor, grid: Grid, late: Tensor | None = None) -> Tensor:
        """States (b, l, k) moved by shocks (b, l, k), in spreads of noise, from starts (s, k), one for each series.

        A series starts `late` (s,) before its first active row, at that row if not given. Silent rows after the last active
        one go on without noise; for those within see `between`.
        """
        begins, series = grid.begins, grid.segment().clamp_min(0)
        late = shock.new_zeros(len(start)) if late is None else late.to(shock)
        first = as_pairs(start)
        if bool(late.any()):
            first = self.spectrum.generator.exp(late).eigenvalues * first
        push = as_pairs(shock) * self.spectrum.noise_std(gaps_of(grid, late).to(shock))
        push = torch.where(
            begins.unsqueeze(-1), first[series] + torch.where(late[series].unsqueeze(-1) > 0, push, 0), push
        )
        shown = grid.active & grid.valid
        push = torch.where(shown.unsqueeze(-1), push, 0)
        active = grid.active if grid.silent else None
        z, _ = evolve(self.spectrum.generator, Dirac(), grid.dt.to(shock.dtype), push, None, grid.reset, None, active)
        return as_reals(z)

    def drawn(self, features: Tensor, grid: Grid, known: Known, noise: Noise | None = None) -> Drawn:
        guess = self.guess(features, grid, known.given)
        noise = noise or Noise.like(grid, guess.start.shape[-1], guess.start.dtype)
        start = guess.start + guess.log_start.exp() * noise.start
        shock = guess.shock + guess.log_shock.exp() * noise.rows
        excess = self.excess(shock, grid, known.late) if self.training else None
        z = self.filled(self.path(start, shock, grid, known.late), grid, noise.rows)
        return Drawn(z, self.divergence(guess, start, grid, known), excess=excess)

    def future(self, features: Tensor, grid: Grid, known: Known, noise: Noise) -> Tensor:
        """Paths (b, l, k) given observations, whose silent rows, behind what a series shows, are drawn as the prior goes on."""
        guess = self.guess(features, grid, known.given)
        seen = torch.zeros(len(known.given), dtype=torch.bool, device=grid.dt.device)
        seen[grid.segment()[grid.begins]] = True
        start = guess.start + guess.log_start.exp() * noise.start
        start = torch.where(seen.unsqueeze(-1), start, self.starts(noise.start, known.given))
        shock = torch.where(grid.active.unsqueeze(-1), guess.shock + guess.log_shock.exp() * noise.rows, noise.rows)
        return self.path(start, shock, Grid(grid.dt, grid.valid, grid.reset, grid.valid), known.late)

    def divergence(self, guess: Guess, start: Tensor, grid: Grid, known: Known) -> Tensor:
        """KL of the guess from the prior for each series (s,), with the draw `start` of the starts."""
        own = -guess.log_start - 0.5 * ((start - guess.start) * torch.exp(-guess.log_start)).square()
        at_start = (own - 0.5 * math.log(2 * math.pi)).sum(-1) - self.starts.log_prob(start, known.given)
        if not self.spectrum.noise:
            return at_start
        kl = 0.5 * (guess.shock.square() + torch.exp(2 * guess.log_shock) - 1) - guess.log_shock
        # a conserved pair takes no noise, so nothing is told of its shocks
        kl = (kl * self.spectrum.free.repeat_interleave(2)).sum(-1)
        return at_start + by_series(torch.where(self.told(grid, known.late), kl, 0), grid, len(start))

    def excess(self, shock: Tensor, grid: Grid, late: Tensor) -> Tensor:
        """Divergence from the prior of what lasts in the drawn shocks (b, l, k) of a batch, over all series.

        The sum of n independent shocks over root n is standard normal. What a whole series has, a slope or a bend, can be told
        by its start or by shocks that lean one way all along, and the evidence bound does not mind which; but series that
        are drawn, with shocks that know of nothing, lack the second. Each number counts ``(v - 1 - log v) / 2``, v the mean
        square of these sums over the batch.
        """
        if not self.spectrum.noise:
            return shock.new_zeros(())
        counted = self.told(grid, late)
        sums = by_series(torch.where(counted.unsqueeze(-1), shock, 0), grid, len(late))
        rows = by_series(counted.to(shock), grid, len(late))
        moved = (rows > 0).sum()
        v = (sums.square() / rows.clamp_min(1).unsqueeze(-1)).sum(0) / moved.clamp_min(1) + 1e-6
        return 0.5 * ((v - 1 - v.log()) * self.spectrum.free.repeat_interleave(2)).sum() * moved

    def told(self, grid: Grid, late: Tensor) -> Tensor:
        """Rows (b, l) that a shock moved: observed ones, the first only of a series that is seen late."""
        on_time = grid.begins & (late <= 0)[grid.segment().clamp_min(0)]
        return grid.active & grid.valid & ~on_time

    def between(self, z: Tensor, grid: Grid) -> Tensor:
        """States (b, l, k) of `path` with those of silent rows within a series, or before it, as the prior bridges them."""
        if not grid.silent:
            return z
        states, (before, after, since, until) = as_pairs(z), around(grid, z.dtype)

        def at(index: Tensor) -> Tensor:
            return states.gather(1, index.unsqueeze(-1).expand_as(states))

        F, G = self.spectrum.bridge(since, until)
        within = F * at(before.clamp_min(0)) + G * at(after)
        # without noise the way back is the inverse of the way on; a settled process looks the same backwards in time, turned
        # the other way round
        rates = self.spectrum.rates.conj() if self.spectrum.noise else -self.spectrum.rates
        earlier = torch.exp(rates * until.unsqueeze(-1)) * at(after)
        silent, started = (~grid.active & (until > 0)).unsqueeze(-1), (before >= 0).unsqueeze(-1)
        found = torch.where(silent & started, within, torch.where(silent & ~started, earlier, states))
        return as_reals(found)

    def filled(self, z: Tensor, grid: Grid, noise: Tensor) -> Tensor:
        """States (b, l, k) of `path` with those of silent rows between active ones drawn by noise (b, l, k), as the prior goes.

        A free path ``f`` from the row before to the one after, at ``b``, is bent so that it ends where it must: what is drawn is
        its mean there and ``f - G f_b`` (Matheron's rule; Wilson, Borovitskiy, Terenin, Mostowsky and Deisenroth, 2020,
        Efficiently sampling functions from Gaussian process posteriors).
        """
        told = self.between(z, grid)
        if not (grid.silent and self.spectrum.noise):
            return told
        before, after, since, until = around(grid, z.dtype)
        shown = grid.active & grid.valid
        fresh = grid.reset | nn.functional.pad(shown[:, :-1], (1, 0))
        dt = grid.dt.to(z.dtype)
        push = as_pairs(noise) * self.spectrum.noise_std(dt)
        free, _ = evolve(self.spectrum.generator, Dirac(), dt, push, None, fresh)
        _, G = self.spectrum.bridge(since, until)
        bent = as_reals(free - G * free.gather(1, after.unsqueeze(-1).expand_as(free)))
        return torch.where((~grid.active & (before >= 0) & (until > 0)).unsqueeze(-1), told + bent, told)

    def sample(self, noise: Noise, grid: Grid, known: Known) -> Tensor:
        return self.path(self.starts(noise.start, known.given), noise.rows, grid, known.late)


def first_rows(grid: Grid) -> Tensor:
    """Flat place of the first active row of each series, (s,); of its first row where none is active."""
    place = torch.arange(grid.dt.numel(), device=grid.dt.device)
    first = place[grid.reset.flatten()].clone()
    begins = grid.begins.flatten()
    first[grid.segment().flatten()[begins]] = place[begins]
    return first


def gaps_of(grid: Grid, late: Tensor) -> Tensor:
    """Time (b, l) since the active row before, or since the beginning of a series, `late` (s,) before its first active row."""
    gap = held_gap(grid.dt, grid.reset, grid.active)
    return torch.where(grid.begins, late[grid.segment().clamp_min(0)].to(gap), gap)


def around(grid: Grid, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Places (b, l) of the active rows before each row, -1 for none, and after it; times from and to them, 0 to none after."""
    time, last = grid.dt.double().cumsum(1), grid.dt.shape[1] - 1
    after = last - previous_active(grid.ends().flip(1), grid.active.flip(1)).flip(1)
    before, has_after = previous_active(grid.reset, grid.active), after <= last
    after = after.clamp_max(last)
    until = torch.where(has_after, time.gather(1, after) - time, 0.0)
    return before, after, (time - time.gather(1, before.clamp_min(0))).to(dtype), until.to(dtype)


def by_series(x: Tensor, grid: Grid, n: int) -> Tensor:
    """Sums (n, ...) of x (b, l, ...) over the rows of each series."""
    x = torch.where(grid.valid.view(*grid.valid.shape, *[1] * (x.ndim - 2)), x, 0)
    return x.new_zeros(n, *x.shape[2:]).index_add(0, grid.segment().clamp_min(0).flatten(), x.flatten(0, 1))


def _bounded(raw: Tensor) -> tuple[Tensor, Tensor]:
    mean, log_spread = raw.chunk(2, -1)
    return mean, log_spread.clamp(-9, 3)


def as_pairs(x: Tensor) -> Tensor:
    """States (..., 2 m) as one complex number a mode, (..., m)."""
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())


def as_reals(z: Tensor) -> Tensor:
    """One complex number a mode (..., m) as states (..., 2 m)."""
    return torch.view_as_real(z.resolve_conj()).flatten(-2)
