"""Along: what runs row after row, as one operator of a graph whose length is open."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

# an associative scan would fix the length of the graph; this one becomes ONNX's Scan
from torch._higher_order_ops.scan import scan

Tensors = tuple[Tensor, ...]
Body = Callable[[Tensors, Tensors], tuple[Tensors, Tensors]]


def along(body: Body, carry: Tensors, rows: Tensors, single: bool) -> tuple[Tensors, Tensors]:
    """Run ``carry, out = body(carry, row)`` over the first axis of the rows; in plain sight where it is a `single` row.

    The body must return tensors of its own, none of them an argument or one twice. Nothing here wants gradients.

    Examples
    --------
    >>> import torch
    >>> along(lambda carry, row: ((carry[0] + row[0],), (2 * carry[0],)), (torch.ones(1),), (torch.ones(1, 1),), True)
    ((tensor([2.]),), (tensor([[2.]]),))
    """
    if not single:
        # the operator compares strides too
        carry, outs = scan(body, *(tuple(part.contiguous() for part in parts) for parts in (carry, rows)))
        return tuple(carry), tuple(outs)
    carry, outs = body(carry, tuple(row[0] for row in rows))
    return carry, tuple(out.unsqueeze(0) for out in outs)


class Constants(nn.Module, ABC):
    """Base of the parts of an exported graph: numbers of all members side by side, (members, ...), none of which learns.

    Parts take rows first: features are (l, members, b, d), gaps and masks (l, b).
    """

    def keep(self, name: str, value: Tensor, dtype: torch.dtype = torch.float32) -> None:
        """Store a constant as an attribute; graphs calculate in float32, but for times and the user's own units."""
        self.register_buffer(name, value.detach().to(dtype).contiguous())


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """One tensor (members, ...) of one a member."""
    return torch.stack([part.detach().double() for part in parts])


class Linear(Constants):
    """Linear maps of all members, (..., members, b, i) to (..., members, b, o); without a members' axis, it is made."""

    def __init__(self, layers: Sequence[nn.Linear]):
        super().__init__()
        self.keep("weight", side_by_side([layer.weight.mT for layer in layers]))
        self.biased = layers[0].bias is not None
        if self.biased:
            self.keep("bias", side_by_side([layer.bias for layer in layers]).unsqueeze(1))

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.weight
        return y + self.bias if self.biased else y


class Norm(Constants):
    """Layer norms of all members."""

    def __init__(self, layers: Sequence[nn.LayerNorm]):
        super().__init__()
        self.eps = layers[0].eps
        self.keep("weight", side_by_side([layer.weight for layer in layers]).unsqueeze(1))
        self.keep("bias", side_by_side([layer.bias for layer in layers]).unsqueeze(1))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.layer_norm(x, x.shape[-1:], eps=self.eps) * self.weight + self.bias
