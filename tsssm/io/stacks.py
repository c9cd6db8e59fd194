"""Cells of the layers that are no modes, and of the stack that holds them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tsssm.errors import explain
from tsssm.io.along import Constants, Linear, Norm, Tensors, along, side_by_side
from tsssm.io.modes import Cell, Clock, FeatureModes, Modes, SelectiveCell
from tsssm.layers import GRU, LRU, S4D, S5, Bidirectional, Layer, Selective, Stack


class GRUCell(Cell):
    """GRU: active rows advance the hidden state, and silent ones read it beside the time that has passed."""

    def __init__(self, layers: Sequence[GRU]):
        super().__init__()
        cells = [layer.cell for layer in layers]
        self.keep("into", side_by_side([cell.weight_ih_l0.mT for cell in cells]))
        self.keep("into_bias", side_by_side([cell.bias_ih_l0 for cell in cells]).unsqueeze(1))
        self.keep("hidden", side_by_side([cell.weight_hh_l0.mT for cell in cells]))
        self.keep("hidden_bias", side_by_side([cell.bias_hh_l0 for cell in cells]).unsqueeze(1))
        self.read = Linear([layer.read for layer in layers])
        self.sizes = ((cells[0].hidden_size,),)

    def forward(self, x: Tensor, clock: Clock, state: Tensors) -> tuple[Tensor, Tensors]:
        gap = clock.gap.float().unsqueeze(1).unsqueeze(-1)
        passed = torch.where(clock.active.unsqueeze(1).unsqueeze(-1), 0.0, gap)
        gap, passed = (torch.log1p(part).expand(*x.shape[:-1], 1) for part in (gap, passed))
        fed = torch.cat([x, gap], -1) @ self.into + self.into_bias
        state, (seen,) = along(self._row, state, (clock.active, fed), clock.single)
        return self.read(torch.cat([seen, passed], -1)), state

    def _row(self, carry: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
        (h,), (active, fed) = carry, row
        r, z, n = fed.chunk(3, -1)
        own_r, own_z, own_n = (h @ self.hidden + self.hidden_bias).chunk(3, -1)
        z = torch.sigmoid(z + own_z)
        new = torch.tanh(n + torch.sigmoid(r + own_r) * own_n)
        h = torch.where(active.unsqueeze(-1), new + z * (h - new), h)
        return (h,), (h.clone(),)


class BothWays(Cell):
    """Bidirectional: whole series only, since the way back starts at the end."""

    def __init__(self, layers: Sequence[Bidirectional]):
        super().__init__()
        self.ahead, self.back = (cell_of([getattr(layer, way) for layer in layers]) for way in ("ahead", "back"))
        self.sizes = self.ahead.sizes + self.back.sizes

    def forward(self, x: Tensor, clock: Clock, state: Tensors) -> tuple[Tensor, Tensors]:
        count = len(self.ahead.sizes)
        y, ahead = self.ahead(x, clock, state[:count])
        turned = Clock(clock.back, clock.active.flip(0), None, clock.single)
        z, back = self.back(x.flip(0), turned, state[count:])
        return y + z.flip(0), (*ahead, *back)


KINDS: dict[type[Layer], Callable[[Any], Cell]] = {
    GRU: GRUCell,
    LRU: Modes,
    S4D: FeatureModes,
    S5: Modes,
    Selective: SelectiveCell,
    Bidirectional: BothWays,
}


def refuse_layer(layer: Layer) -> None:
    """Raise ValueError where a layer has no cell."""
    kind = type(layer)
    if kind not in KINDS:
        known = ", ".join(sorted(kind.__name__ for kind in KINDS))
        raise ValueError(
            explain(f"an exported layer must be one of {known}", f"{kind.__name__} came", "Fit with one of them")
        )
    if isinstance(layer, Bidirectional):
        refuse_layer(layer.ahead)
    if isinstance(layer, Selective) and not layer.causal:
        came = "Selective(by_importance=True) came"
        raise ValueError(explain("an exported layer must run in time", came, "Fit with by_importance=False"))
    rule = getattr(layer, "rule", None)
    if rule is not None:
        first, last = torch.zeros(1), torch.ones(1)
        modal = rule.modal(last, first, last)
        if modal is None or not bool(modal.inputs == 1):
            must = "the rule of an exported layer must use the input at the end of a gap only"
            raise ValueError(explain(must, f"{rule} came", "Fit with ZeroOrderHold() or ExponentialEuler()"))


def cell_of(layers: Sequence[Layer]) -> Cell:
    """The cell of one layer of all members."""
    return KINDS[type(layers[0])](layers)


class Block(Constants):
    """A residual block of a stack."""

    def __init__(self, blocks: Sequence[nn.Module]):
        super().__init__()
        self.norm, self.mix = Norm([block.norm for block in blocks]), Linear([block.mix for block in blocks])
        self.cell = cell_of([block.layer for block in blocks])

    def forward(self, x: Tensor, clock: Clock, state: Tensors) -> tuple[Tensor, Tensors]:
        y, state = self.cell(self.norm(x), clock, state)
        return x + nn.functional.glu(self.mix(nn.functional.gelu(y))), state


class StackCell(Cell):
    """The backbone of all members."""

    def __init__(self, stacks: Sequence[Stack]):
        super().__init__()
        self.blocks = nn.ModuleList(Block(blocks) for blocks in zip(*(stack.blocks for stack in stacks), strict=True))
        self.norm = Norm([stack.norm for stack in stacks])
        self.sizes = tuple(size for block in self.blocks for size in block.cell.sizes)

    def forward(self, x: Tensor, clock: Clock, state: Tensors) -> tuple[Tensor, Tensors]:
        after: Tensors = ()
        for block in self.blocks:
            count = len(block.cell.sizes)
            x, own = block(x, clock, state[len(after) : len(after) + count])
            after = (*after, *own)
        return self.norm(x), after
