"""HiSS: a fast layer within chunks of a series, a slower one over the chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from tsssm.errors import explain
from tsssm.grid import Grid, last_active, time_since
from tsssm.layers.base import Layer, Recipe
from tsssm.layers.chunks import Carried, Chunks, Coarse, coarse, cut
from tsssm.layers.driven import Steps, steps_of

Level = tuple[Any, "Recipe | type[Layer]"]


class State(NamedTuple):
    """What the next piece has to know: states of both layers, where the chunks stand, what was pooled of the open one,
    and what the last complete one said."""

    low: Any
    high: Any
    chunks: Carried
    pooled: Tensor
    weight: Tensor
    said: Tensor


class HiSS(Layer):
    """Hierarchical stack: the lowest layer reads each chunk of rows anew, the next one the chunks, and so on.

    A row gets what the lowest layer says of its own chunk so far, and what the layer above says of the last chunk that is
    complete by then, ``y_k = low_k + W high_j(k)``: no row sees what comes after it.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    levels : sequence of (chunk, layer)
        From the fastest to the slowest; the layer is a class or a `Recipe`. A chunk is a number of rows (int), or a
        window of time: in an estimator a duration, such as "100ms" for datetimes and 0.1 for times that are numbers;
        else a float in median gaps. That of the last level is None.
    pool : "last", "mean" or "attention", default "last"
        What stands for a chunk: the output of the lowest layer at its last row, or its mean, or a learned weighted mean.

    Raises
    ------
    ValueError
        If there are fewer than two levels, a chunk is not positive, or the last level has one.

    Notes
    -----
    The lowest layer answers at once; the one above hears of a row when its chunk is complete, at most `latency` later.
    Windows count from one median gap before the first row of a series; the first gap of a chunk is that from the start of
    its window, and empty windows only let time pass. Gaps between chunks are in chunks. O(b l) for the lowest layer
    and O(b l / rows in a chunk) for the next: on a CPU and with costly layers, that is the gain.

    References
    ----------
    Bhirangi et al., 2024, Hierarchical state space models for continuous sequence-to-sequence modeling (arXiv
    2402.10211), section 4. There a target sees the whole chunk it lies in, samples after it included; here it does not.

    Examples
    --------
    >>> import torch
    >>> from tsssm.layers import HiSS, S4D, S5
    >>> y, state = HiSS(8, [(10, S4D), (None, S5)])(torch.randn(2, 50, 8), Grid.regular(2, 50))
    >>> y.shape
    torch.Size([2, 50, 8])
    """

    def __init__(
        self,
        d_model: int,
        levels: Sequence[Level],
        pool: Literal["last", "mean", "attention"] = "last",
    ):
        super().__init__()
        (chunk, low), *above = _check(levels)
        if pool not in ("last", "mean", "attention"):
            raise ValueError(explain("`pool` must be last, mean or attention", f"{pool!r} came", "Check the spelling"))
        self.chunk, self.pool = chunk, pool
        self.low = _recipe(low).build(d_model)
        self.high = (
            _recipe(above[0][1]).build(d_model) if len(above) == 1 else HiSS(d_model, _relative(above, chunk), pool)
        )
        self.down, self.up = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model, bias=False)
        if pool == "attention":
            self.score = nn.Linear(d_model, 1)
        self.causal = self.low.causal and self.high.causal

    @property
    def latency(self) -> float:
        """How much later than a row, at most, the level above hears of it: one chunk, in rows or median gaps."""
        return self.chunk

    @classmethod
    def timed(cls, arguments: dict[str, Any], scales: Callable[[Any], float]) -> dict[str, Any]:
        """Arguments whose windows of time are numbers of median gaps, which `scales` gives."""
        levels = [
            (chunk if chunk is None or isinstance(chunk, int) else scales(chunk), _recipe(layer).timed(scales))
            for chunk, layer in arguments["levels"]
        ]
        return arguments | {"levels": levels}

    def forward(self, x: Tensor, grid: Grid, state: State | None = None) -> tuple[Tensor, State]:
        carried = None if state is None else state.chunks
        steps = steps_of(grid, carried)
        chunks = cut(self.chunk, steps, grid, carried)
        dt = torch.where(chunks.begins, chunks.gap, grid.dt)
        fine = Grid(dt, grid.valid, grid.reset | chunks.begins, grid.active)
        low, low_state = self.low(x, fine, None if state is None else state.low)
        rough = coarse(chunks, grid, steps.starts, carried)
        pooled, weight = self._pool(low, chunks, grid, rough, state)
        high, high_state = self.high(self.down(pooled / weight), rough.grid, None if state is None else state.high)
        said = self._heard(high, chunks, grid, rough, state)
        after = self._chunks_after(chunks, grid, steps, rough, carried)
        number = chunks.number[:, -1:].unsqueeze(-1)
        rest = (part.gather(1, number.expand(-1, 1, part.shape[-1])).squeeze(1) for part in (pooled, weight))
        return low + self.up(said), State(low_state, high_state, after, *rest, said[:, -1])

    def _pool(
        self, low: Tensor, chunks: Chunks, grid: Grid, rough: Coarse, state: State | None
    ) -> tuple[Tensor, Tensor]:
        """Sum of weights times outputs in each chunk, (b, m, d), and the sum of weights, (b, m, 1)."""
        if self.pool == "last":
            found = (rough.last >= 0).unsqueeze(-1)
            pooled = low.gather(1, rough.last.clamp_min(0).unsqueeze(-1).expand(-1, -1, low.shape[-1])) * found
            if state is not None:
                first = torch.where(found[:, 0], pooled[:, 0], state.pooled)
                pooled = torch.cat([first.unsqueeze(1), pooled[:, 1:]], 1)
            return pooled, torch.ones_like(pooled[..., :1])
        shows = (grid.active & grid.valid).unsqueeze(-1)
        # scores far apart would leave a chunk to one row for good, and overflow
        weight = (
            (4 * torch.tanh(self.score(low) / 4)).exp() if self.pool == "attention" else torch.ones_like(low[..., :1])
        )
        weight = weight * shows
        both = torch.cat([weight * low, weight], -1)
        sums = both.new_zeros(len(low), rough.last.shape[1], both.shape[-1])
        sums = sums.scatter_add(1, chunks.number.unsqueeze(-1).expand_as(both), both)
        if state is not None:
            kept = torch.cat([state.pooled, state.weight], -1) * state.chunks.open.unsqueeze(-1)
            sums = torch.cat([sums[:, :1] + kept.unsqueeze(1), sums[:, 1:]], 1)
        pooled, weight = sums.split([low.shape[-1], 1], -1)
        return pooled, torch.where(weight > 0, weight, 1.0)

    def _heard(self, high: Tensor, chunks: Chunks, grid: Grid, rough: Coarse, state: State | None) -> Tensor:
        """What the last complete chunk of its series said, at each row: (b, l, d), 0 before there is one."""
        b, l = grid.dt.shape
        carried = torch.zeros_like(high[:, 0]) if state is None else state.said
        if state is not None:
            high = torch.cat(
                [torch.where(state.chunks.open.unsqueeze(-1), high[:, 0], carried).unsqueeze(1), high[:, 1:]], 1
            )
        told = torch.cat([carried.unsqueeze(1), high], 1)
        rows = torch.arange(l, device=high.device).expand(b, l)
        here = torch.where(grid.active & grid.valid, rows, -1).cummax(1).values
        closed = (here >= 0) & chunks.closes.gather(1, here.clamp_min(0))
        # chunk 0 is complete from the start where the piece before left none open
        bare = torch.ones_like(closed[:, 0]) if state is None else ~state.chunks.open
        closed |= (chunks.number == 0) & bare.unsqueeze(1)
        index = chunks.number - 1 + closed.long()
        start = torch.where(grid.reset, rows, 0).cummax(1).values
        running = grid.reset.cumsum(1) == 0
        before = chunks.number - chunks.begins.long()
        first = torch.where(running, -1, before.gather(1, start) + 1)
        said = told.gather(1, (index + 1).unsqueeze(-1).expand(b, l, high.shape[-1]))
        return torch.where((index >= first).unsqueeze(-1), said, 0.0)

    def _chunks_after(
        self, chunks: Chunks, grid: Grid, steps: Steps, rough: Coarse, carried: Carried | None
    ) -> Carried:
        """Where the chunks stand at the last active row."""
        row = last_active(grid.reset, grid.active)
        found, fresh = row >= 0, grid.reset.any(1)
        at = row.clamp_min(0).unsqueeze(1)

        old = carried or Carried.none(grid.dt)

        def pick(here: Tensor, before: Tensor, none: float = 0) -> Tensor:
            here = here.gather(1, at).squeeze(1)
            return torch.where(found, here, torch.where(fresh, torch.full_like(here, none), before))

        number, closed = chunks.number[:, -1:], chunks.closes.gather(1, at).long()
        ends = torch.cat([old.end.unsqueeze(1), rough.end], 1).gather(1, number + closed).squeeze(1)
        moved = torch.where(steps.moves, steps.gap.double(), 0.0)
        return Carried(
            pick(~chunks.closes, old.open),
            pick(rough.first.gather(1, chunks.number), old.first),
            pick(chunks.window, old.window, -1),
            pick(chunks.end, old.reach),
            torch.where(found, ends, torch.where(fresh, 0.0, old.end)),
            time_since(grid.dt, grid.reset, grid.active, None if carried is None else carried.since),
            pick(steps.time + moved, old.time),
            pick(steps.count + 1, old.count),
        )


def _recipe(layer: Any) -> Recipe:
    return layer if isinstance(layer, Recipe) else Recipe(layer)


def _relative(levels: Sequence[Level], chunk: float) -> list[Level]:
    """Windows of time in units of the chunk below, so that rows of chunks have gaps of about 1."""
    by_time = isinstance(chunk, float)
    return [(size / chunk if by_time and isinstance(size, float) else size, layer) for size, layer in levels]


def _check(levels: Sequence[Level]) -> Sequence[Level]:
    sizes = [size for size, _ in levels]
    if len(sizes) < 2 or sizes[-1] is not None or any(size is None or isinstance(size, str) for size in sizes[:-1]):
        raise ValueError(
            explain(
                must="`levels` must be two or more pairs (chunk, layer), the chunk of the last one None",
                came=f"chunks {sizes} came",
                do='Write, say, [(10, S4D), (None, S5)]; durations such as "100ms" need an estimator, which knows the unit',
            )
        )
    if any(isinstance(size, bool) or not isinstance(size, (int, float)) or not size > 0 for size in sizes[:-1]):
        raise ValueError(
            explain("chunks must be positive numbers", f"chunks {sizes} came", "Give rows as int, median gaps as float")
        )
    return levels
