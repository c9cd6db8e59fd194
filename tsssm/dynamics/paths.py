"""Control paths: partly observed series as continuous signals with a value and a derivative at every time.

A path has one cubic for each gap of each series, in the fraction s of the gap, so each series keeps its own times. Sources:
Kidger et al., 2020, arXiv 2005.08926; Morrill et al., 2021, arXiv 2106.11028.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from tsssm.dynamics.gap import Signal
from tsssm.dynamics.knots import Knots, PathState, knots_of
from tsssm.errors import explain
from tsssm.grid import Grid

Causality = Literal["strict", "knots", "none"]


@dataclass(frozen=True, eq=False)
class ControlPath(Signal):
    """A path ``X(s) = a + s (b + s (c + s d))`` over each gap, s in [0, 1].

    Parameters
    ----------
    coefficients : tuple of Tensor, (b, l legs, c) each
        a, b, c, d, as many as the scheme needs.
    gap : Tensor, (b, l legs), in time scales
        How long the pieces last. 0 where a series starts, in padding, and where a jump takes no time.
    times : Tensor of float64, (b, l legs)
        When they start, since the first active row of the series.
    fresh : Tensor of bool, (b, l legs)
        Rows before which nothing of their series came: X is constant there and the state starts anew.
    active : Tensor of bool, (b, l legs)
        Rows that bring input; pieces of the others start at the same place and leave no trace.
    legs : int
        Pieces of a gap; only `Rectilinear` has two. What holds after row k is after its last leg.
    causality : "strict", "knots" or "none"
        Strict: X at t depends on what was observed at or before t. Knots: on the next active row as well, so that a
        state at an active row has seen only the past. None: on anything.

    Notes
    -----
    The derivative at a knot is that of the piece it is asked of: one-sided.

    Examples
    --------
    >>> import torch
    >>> from tsssm.grid import Grid
    >>> values = torch.tensor([[[1.0], [3.0]]])
    >>> path, _ = Linear().path(values, torch.ones(1, 2, 1, dtype=torch.bool), Grid.regular(1, 2, 0.5))
    >>> path.value(0.5)[0, 1], path.derivative(0.5)[0, 1]  # time, then the value
    (tensor([0.2500, 2.0000]), tensor([1., 4.]))
    """

    coefficients: tuple[Tensor, ...]
    gap: Tensor
    times: Tensor
    fresh: Tensor
    active: Tensor
    legs: int
    causality: Causality

    def value(self, s: float | Tensor) -> Tensor:
        """X at the fraction s of every gap, (b, l legs, c); s is a number or broadcasts with that."""
        total = self.coefficients[-1]
        for coefficient in reversed(self.coefficients[:-1]):
            total = coefficient + s * total
        return total

    def rates(self) -> ControlPath:
        """The path dX/ds: what X does in a gap as a whole, finite where a jump takes no time."""
        powers = enumerate(self.coefficients[1:], 1)
        rates = tuple(coefficient * power for power, coefficient in powers)
        return replace(self, coefficients=rates or (torch.zeros_like(self.coefficients[0]),))

    def derivative(self, s: float | Tensor) -> Tensor:
        """dX/dt at the fraction s of every gap, (b, l legs, c); 0 where the gap is 0."""
        gap = self.gap.unsqueeze(-1)
        return torch.where(gap > 0, self.rates().value(s) / torch.where(gap > 0, gap, 1), 0)

    def tensors(self) -> tuple[Tensor, ...]:
        return self.coefficients

    def pieces(self) -> list[ControlPath]:
        """Each piece of all rows of the batch: tensors lose their second axis.

        All at once, for the gradient of every slice would be as large as the whole.
        """
        many = (*self.coefficients, self.gap, self.times, self.fresh, self.active)
        count = len(self.coefficients)
        slices = zip(*(part.unbind(1) for part in many), strict=True)
        return [ControlPath(part[:count], *part[count:], self.legs, self.causality) for part in slices]


def check_causal(path: ControlPath) -> ControlPath:
    """The path itself, unless it looks ahead: for forecasters and streams.

    Raises
    ------
    ValueError
        If ``path.causality`` is "none".

    Examples
    --------
    >>> check_causal(Hold().path(torch.ones(1, 2, 1), torch.ones(1, 2, 1).bool(), Grid.regular(1, 2))[0]).causality
    'strict'
    """
    if path.causality == "none":
        raise ValueError(
            explain(
                must="a path for forecasts must not look ahead",
                came="this one uses later observations, as natural splines and filled missing channels do",
                do="Use Rectilinear or Hold, or Linear and Hermite on rows without missing channels",
            )
        )
    return path


class Interpolation(ABC):
    """A scheme that turns observations into a `ControlPath`.

    Attributes
    ----------
    causality : "strict", "knots" or "none"
        Of paths through complete rows; missing channels make "knots" "none".
    """

    causality: ClassVar[Causality]

    @abstractmethod
    def pieces(self, knots: Knots) -> tuple[tuple[Tensor, ...], Tensor, bool]:
        """Coefficients of each gap, (b, l, c) each; the filled values at the knots; and whether any looks ahead."""

    def path(
        self,
        values: Tensor,
        observed: Tensor,
        grid: Grid,
        counts: Literal["none", "rows", "channels"] = "none",
        state: PathState | None = None,
    ) -> tuple[ControlPath, PathState]:
        """The path through a batch, with channels time, counts, values.

        Parameters
        ----------
        values : Tensor, (b, l, c)
        observed : Tensor of bool, (b, l, c)
            A channel that is missing at a row is skipped there; before its first observation it is 0, the training
            mean of scaled values, and after its last it is held.
        grid : Grid
            Silent rows see the path held since the last active row, unless the scheme looks ahead anyway.
        counts : "none", "rows" or "channels"
            Cumulative numbers of observed rows, one channel, or of observed values, one for each channel; where what
            is missing says something.
        state : PathState, optional
            What the piece before returned.

        Returns
        -------
        path : ControlPath, of 1 + counts + c channels
            Time counts from the first active row of each series, in time scales, so it is of order 1 over a gap.
        state : PathState
            For the next piece.

        Raises
        ------
        ValueError
            If shapes do not fit, observed values or gaps are not finite, or times repeat where slopes are needed.
        """
        values, observed = _with_counts(values, observed, grid, counts, state)
        knots = knots_of(values, observed, grid, state)
        coefficients, filled, ahead = self.pieces(knots)
        seen = knots.at(knots.before, knots.times.unsqueeze(-1))
        starts = torch.where(knots.fresh.unsqueeze(-1), knots.times.unsqueeze(-1), seen)
        clock = (starts, knots.gap.unsqueeze(-1))
        zero = torch.zeros_like(coefficients[0])
        orders = max(2, len(coefficients))
        stacked = []
        for k in range(orders):
            time = clock[k] if k < 2 else torch.zeros_like(starts)
            part = coefficients[k] if k < len(coefficients) else zero
            stacked.append(torch.cat([time.to(values.dtype), part], -1)[:, 2:])
        path = ControlPath(
            coefficients=tuple(stacked),
            gap=knots.gap[:, 2:].to(values.dtype),
            times=starts.squeeze(-1)[:, 2:],
            fresh=knots.fresh[:, 2:],
            active=knots.active[:, 2:],
            legs=1,
            causality="none" if ahead else self.causality,
        )
        return path, knots.last(filled)


@dataclass(frozen=True)
class Hold(Interpolation):
    """Each value held until the next: X(t) = x_i for t_i <= t < t_{i+1}; only the time channel moves.

    Strictly causal. A state driven by it learns of x_i after row i. Cost O(b l c).

    Examples
    --------
    >>> Hold().causality
    'strict'
    """

    causality: ClassVar[Causality] = "strict"

    def pieces(self, knots: Knots) -> tuple[tuple[Tensor, ...], Tensor, bool]:
        return (_start(knots, knots.held),), knots.held, False


@dataclass(frozen=True)
class Linear(Interpolation):
    """``X = x_i + s (x_{i+1} - x_i)``: continuous, second order; for fixed steps, to which kinks cost nothing.

    Where times repeat it jumps. Causal at knots. Cost O(b l c).

    Examples
    --------
    >>> Linear().causality
    'knots'
    """

    causality: ClassVar[Causality] = "knots"

    def pieces(self, knots: Knots) -> tuple[tuple[Tensor, ...], Tensor, bool]:
        filled, ahead = knots.interpolated
        start = _start(knots, filled)
        return (start, torch.where(knots.moves, filled - start, 0)), filled, ahead


@dataclass(frozen=True)
class Hermite(Interpolation):
    """Cubic with the secant before each knot as its slope there: once differentiable, for adaptive solvers.

    With the secants m_i and D = (m_i - m_{i-1}) h the piece is ``x_i + s h m_{i-1} + 2 D s^2 - D s^3``; m_0 is m_1.
    Causal at knots. Cost O(b l c). Source: Morrill et al., 2021, arXiv 2106.11028, section 3.

    Examples
    --------
    >>> Hermite().causality
    'knots'
    """

    causality: ClassVar[Causality] = "knots"

    def pieces(self, knots: Knots) -> tuple[tuple[Tensor, ...], Tensor, bool]:
        knots.check_distinct("Hermite")
        filled, ahead = knots.interpolated
        start = _start(knots, filled)
        rise = torch.where(knots.moves, filled - start, 0)
        gap = torch.where(knots.gap > 0, knots.gap, 1).unsqueeze(-1).to(filled.dtype)
        secant = rise / gap
        first = knots.at(knots.before, knots.fresh.unsqueeze(-1))
        slope = torch.where(first, secant, knots.at(knots.before, secant)) * gap
        slope = torch.where(knots.moves, slope, 0)
        bend = rise - slope
        return (start, slope, 2 * bend, -bend), filled, ahead


def _start(knots: Knots, filled: Tensor) -> Tensor:
    """Value at the start of each gap; at a row before which nothing came, its own."""
    return torch.where(knots.fresh.unsqueeze(-1), filled, knots.at(knots.before, filled))


def _with_counts(
    values: Tensor, observed: Tensor, grid: Grid, counts: str, state: PathState | None
) -> tuple[Tensor, Tensor]:
    if counts not in ("none", "rows", "channels"):
        raise ValueError(
            explain("`counts` must be none, rows or channels", f"counts={counts!r} came", "Choose one of the three")
        )
    if counts == "none":
        return values, observed
    # a row counts only if it brings input; time alone always does
    seen = grid.active.unsqueeze(-1) if counts == "rows" else observed & grid.active.unsqueeze(-1)
    number = seen.to(values.dtype).cumsum(1)
    rows = torch.arange(grid.dt.shape[1], device=values.device).expand(grid.dt.shape)
    start = torch.where(grid.reset, rows, 0).cummax(1).values.unsqueeze(-1)
    before = (number - seen.to(values.dtype)).gather(1, start.expand(number.shape))
    carried = 0 if state is None else state.values[:, 1:, : number.shape[-1]] * state.known[:, 1:, None]
    number = number - torch.where(grid.reset.cumsum(1).unsqueeze(-1) > 0, before, -carried * torch.ones_like(before))
    return torch.cat([number, values], -1), torch.cat([torch.ones_like(number, dtype=torch.bool), observed], -1)
