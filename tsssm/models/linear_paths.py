"""LinearPaths: sample paths of a linear system under noise that can be read at any times."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tsssm.models.spectrum import Spectrum

# halvings of a time scale after which a time counts as met; what noise does within is 2^-40 of its variance
DEEPEST = 40


class LinearPaths:
    """Paths of ``dz = K z dt + noise``: the same ones at whatever times they are read.

    Noise is a function of time: at whole time scales it moves the states on, and within one each halving pins the middle
    by the exact law of what lies between two known states. So more times, or other ones, do not change the path.

    Parameters
    ----------
    spectrum : Spectrum
        K and its noise; in float64.
    start : Tensor, (n, m) complex
        States at time 0, one of each conjugate pair.
    seed : int

    Notes
    -----
    A time that is no whole number of time scales costs up to 40 draws for each path; a half one draw, a quarter two. Source:
    Lévy's construction, as in the virtual Brownian tree of Li, Wong, Chen and Duvenaud, 2020, section 4, here with the
    bridges of the linear system itself.

    Examples
    --------
    >>> import torch
    >>> paths = LinearPaths(Spectrum(2).double(), torch.zeros(1, 2, dtype=torch.complex128), seed=0)
    >>> bool((paths(np.array([0.0, 2.5]))[:, 1] == paths(np.array([2.5]))[:, 0]).all())
    True
    """

    def __init__(self, spectrum: Spectrum, start: Tensor, seed: int):
        self.spectrum, self.seed = spectrum, seed
        self.ticks = [start]

    @torch.no_grad()
    def __call__(self, times: np.ndarray) -> Tensor:
        """States (n, l, m), complex, at times (l,) >= 0 in time scales."""
        return torch.stack([self._at(float(time)) for time in times], 1)

    def _at(self, time: float) -> Tensor:
        whole = round(time)
        # a sum of gaps may miss a whole number by a rounding
        if abs(time - whole) <= 1e-9 * max(1.0, abs(time)):
            return self._tick(whole)
        low, depth, place = int(np.floor(time)), 0, 0
        left, right, target, width = self._tick(low), self._tick(low + 1), time - low, 1.0
        while depth < DEEPEST:
            depth, width = depth + 1, width / 2
            middle = self._middle(left, right, width, (low, depth, place))
            if abs(target - width) < 1e-12:
                return middle
            later = target > width
            left, right = (middle, right) if later else (left, middle)
            target, place = target - width * later, 2 * place + later
        return left

    def _tick(self, number: int) -> Tensor:
        while len(self.ticks) <= number:
            self.ticks.append(self._moved(self.ticks[-1], 1.0, (len(self.ticks), 0, 0)))
        return self.ticks[number]

    def _moved(self, z: Tensor, gap: float, node: tuple[int, int, int]) -> Tensor:
        h = torch.tensor(gap, dtype=torch.float64)
        moved = self.spectrum.generator.exp(h) @ z
        return moved + self.spectrum.noise_std(h) * self._draw(z.shape, node) if self.spectrum.noise else moved

    def _middle(self, left: Tensor, right: Tensor, half: float, node: tuple[int, int, int]) -> Tensor:
        h = torch.tensor(half, dtype=torch.float64)
        if not self.spectrum.noise:
            return self._moved(left, half, node)
        F, G = self.spectrum.bridge(h, h)
        # the variance of the middle given both ends: v(h)^2 / v(2 h)
        spread = self.spectrum.noise_std(h).square() / self.spectrum.noise_std(2 * h).clamp_min(1e-150)
        return F * left + G * right + spread * self._draw(left.shape, node)

    def _draw(self, shape: torch.Size, node: tuple[int, int, int]) -> Tensor:
        rng = np.random.default_rng([self.seed, *node])
        return torch.view_as_complex(torch.from_numpy(rng.standard_normal((*shape, 2))))
