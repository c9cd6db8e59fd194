"""Control paths that take more than a cubic for each gap: jumps that take no time, and the natural spline."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from tsssm.dynamics.knots import Knots, PathState
from tsssm.dynamics.paths import Causality, ControlPath, Interpolation
from tsssm.errors import explain
from tsssm.grid import Grid

# off-diagonals of the spline's equations sum to 1/2 of the diagonal, and each pass squares that: 2^-64 after six
PASSES = 6


@dataclass(frozen=True)
class Rectilinear(Interpolation):
    """First time moves with the values held, then the values jump with time held: two legs a gap.

    Strictly causal at every time, and a controlled state knows x_i at row i: the path for answers online, above all with
    missing channels. Along it a field in dt sees held values, for its second leg takes no time. Cost O(b l c), twice
    the steps. Source: Morrill et al., 2021, arXiv 2106.11028, section 3.3.

    Examples
    --------
    >>> path, _ = Rectilinear().path(torch.tensor([[[1.0], [3.0]]]), torch.ones(1, 2, 1).bool(), Grid.regular(1, 2, 0.5))
    >>> path.rates().value(0.0)[0, 2:].tolist()  # time moves, then the value
    [[0.5, 0.0], [0.0, 2.0]]
    """

    causality: ClassVar[Causality] = "strict"

    def pieces(self, knots: Knots) -> tuple[tuple[Tensor, ...], Tensor, bool]:
        held = knots.held
        start = torch.where(knots.fresh.unsqueeze(-1), held, knots.at(knots.before, held))
        return (start, torch.where(knots.moves, held - start, 0)), held, False

    def path(
        self,
        values: Tensor,
        observed: Tensor,
        grid: Grid,
        counts: Literal["none", "rows", "channels"] = "none",
        state: PathState | None = None,
    ) -> tuple[ControlPath, PathState]:
        """See `Interpolation.path`."""
        path, state = super().path(values, observed, grid, counts, state)
        start, rise = path.coefficients
        time = torch.zeros_like(rise)
        time[..., :1] = rise[..., :1]
        # the state after a silent row is that after its last leg: there time moves in the second one
        late = ~path.active
        first = torch.where(late.unsqueeze(-1), 0, time)
        legs = ((start, start + first), (first, rise - first))
        gap, times = path.gap, path.times
        moved = replace(
            path,
            coefficients=tuple(_legs(*pair) for pair in legs),
            gap=_legs(gap * ~late, gap * late),
            times=_legs(times, times + gap * ~late),
            fresh=_legs(path.fresh, path.fresh),
            active=_legs(path.active, path.active),
            legs=2,
        )
        return moved, state


@dataclass(frozen=True)
class NaturalCubic(Interpolation):
    """The twice differentiable cubic spline through each channel's observations, with no curvature at its ends.

    It looks ahead, so it is for reproduction of older work, not for forecasts or streams. Before the first observation of
    a channel and after its last it is their value. Slopes k solve ``k_{i-1} / h_{i-1} + 2 k_i (1 / h_{i-1} + 1 / h_i) +
    k_{i+1} / h_i = 3 (r_{i-1} / h_{i-1}^2 + r_i / h_i^2)``, r the rise over a gap h, all rows and channels at once by
    cyclic reduction. Cost O(b l c). Source: Kidger et al., 2020, arXiv 2005.08926, appendix A.

    Examples
    --------
    >>> path, _ = NaturalCubic().path(torch.tensor([[[0.0], [1.0]]]), torch.ones(1, 2, 1).bool(), Grid.regular(1, 2))
    >>> path.value(0.5)[0, 1].tolist()
    [0.5, 0.5]
    """

    causality: ClassVar[Causality] = "none"

    def pieces(self, knots: Knots) -> tuple[tuple[Tensor, ...], Tensor, bool]:
        _check_whole(knots)
        knots.check_distinct("natural cubic")
        last, next_ = knots.neighbours(knots.observed)
        known = knots.active.unsqueeze(-1) & (knots.observed | (last < 0) | (next_ < 0))
        nearest = torch.where(last >= 0, last, next_)
        x = torch.where(nearest >= 0, knots.at(nearest, knots.values), 0).double()
        times = knots.times.unsqueeze(-1).expand(x.shape)
        here, after = knots.neighbours(known)
        below, above = _strictly(here, after, knots.series)
        slopes = _slopes(x, times, known, below, above, knots)
        # the segment of the spline around each gap, per channel
        p = torch.where(knots.before >= 0, knots.before, 0)
        i, j = knots.at(p, here), knots.at(p, above)
        inside = ~knots.fresh.unsqueeze(-1) & (i >= 0) & (j >= 0)
        length = torch.where(inside, knots.at(j, times) - knots.at(i, times), 1)
        secant = (knots.at(j, x) - knots.at(i, x)) / length
        k0, k1 = knots.at(i, slopes), knots.at(j, slopes)
        square, cube = (3 * secant - 2 * k0 - k1) / length, (k0 + k1 - 2 * secant) / length**2
        tau = torch.where(inside, knots.at(p, times) - knots.at(i, times), 0)
        h = knots.gap.unsqueeze(-1)
        start = torch.where(inside, knots.at(i, x) + tau * (k0 + tau * (square + tau * cube)), _hold(knots, x))
        rest = ((k0 + tau * (2 * square + 3 * tau * cube)) * h, (square + 3 * tau * cube) * h**2, cube * h**3)
        bent = (start, *(torch.where(inside, part, 0) for part in rest))
        return tuple(part.to(knots.values.dtype) for part in bent), x.to(knots.values.dtype), True


def _legs(first: Tensor, second: Tensor) -> Tensor:
    return torch.stack([first, second], 2).flatten(1, 2)


def _hold(knots: Knots, x: Tensor) -> Tensor:
    return torch.where(knots.fresh.unsqueeze(-1), x, knots.at(knots.before, x))


def _strictly(here: Tensor, after: Tensor, series: Tensor) -> tuple[Tensor, Tensor]:
    """Neighbours strictly before and strictly after each row, from those at or before and at or after it."""
    change = (series[:, 1:] != series[:, :-1]).unsqueeze(-1)
    none = torch.full_like(here[:, :1], -1)
    below = torch.cat([none, here[:, :-1].masked_fill(change, -1)], 1)
    return below, torch.cat([after[:, 1:].masked_fill(change, -1), none], 1)


def _slopes(x: Tensor, times: Tensor, known: Tensor, below: Tensor, above: Tensor, knots: Knots) -> Tensor:
    """Slope of the spline at its knots, 0 elsewhere, (b, l, c)."""
    below, above = (torch.where(known, index, -1) for index in (below, above))
    ends = [(below, -1.0), (above, 1.0)]
    inverse, rises = [], []
    for index, sign in ends:
        gap = sign * (knots.at(index, times) - times)
        inverse.append(torch.where(index >= 0, 1 / torch.where(index >= 0, gap, 1), 0))
        rises.append(sign * (knots.at(index, x) - x))
    diagonal = 2 * (inverse[0] + inverse[1])
    diagonal = torch.where(diagonal > 0, diagonal, 1)
    right = 3 * (rises[0] * inverse[0] ** 2 + rises[1] * inverse[1] ** 2) / diagonal
    low, high = inverse[0] / diagonal, inverse[1] / diagonal
    for _ in range(min(PASSES, (x.shape[1] - 1).bit_length())):
        # put the equations of both neighbours into each: it then names their neighbours
        low_b, high_b, right_b = (knots.at(below, part) for part in (low, high, right))
        low_a, high_a, right_a = (knots.at(above, part) for part in (low, high, right))
        scale = 1 / (1 - low * high_b - high * low_a)
        right = (right - low * right_b - high * right_a) * scale
        low, high = -low * low_b * scale, -high * high_a * scale
        below = torch.where(below >= 0, knots.at(below, below), -1)
        above = torch.where(above >= 0, knots.at(above, above), -1)
    return right


def _check_whole(knots: Knots) -> None:
    if bool(knots.active[:, :2].any()):
        raise ValueError(
            explain(
                must="a natural cubic path needs whole series",
                came="the state of an earlier piece came",
                do="Use a causal path, such as Rectilinear, for streams",
            )
        )
