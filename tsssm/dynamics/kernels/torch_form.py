"""The modal scan in plain torch, for any device: products of matrices on even grids, else chunks of rows.

Chunks are computed again in the backward pass.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.autograd import Function

from tsssm.dynamics.kernels.double_backward import double_backward
from tsssm.dynamics.kernels.equal_gaps import equal_gap, modal_even
from tsssm.dynamics.kernels.loop import Modal, modal_loop
from tsssm.dynamics.kernels.side_by_side import in_pieces
from tsssm.dynamics.kernels.torch_chunks import ROWS, STATES, Buffers, Chunk, blocks, rows_first, shared_gaps

# States of a row at which the 5 microseconds of a launch are small beside its traffic, by arithmetic: 2^18 of 24 bytes
# take 2 microseconds at 3 TB/s. Not measured.
WIDE_STATES = 1 << 18


def modal_torch(modal: Modal) -> tuple[Tensor, Tensor]:
    """Run a modal scan on any device; arguments and result are those of `modal_loop`.

    Parameters
    ----------
    modal : Modal

    Returns
    -------
    y : Tensor, (b, l, h)
    end : Tensor, (b, h, n)

    Notes
    -----
    O(b l h n) work. Autograd keeps the inputs and every 64th state, every 32nd on short even grids; the states between
    are computed again. The second derivative is that of the loop. Source of the recomputation: Mamba, arXiv 2312.00752,
    section 3.3.2.

    Examples
    --------
    >>> import torch
    >>> rate = torch.tensor([[-1.0]])
    >>> modal_torch(Modal(rate, 1 / rate, torch.ones(1, 2), hold=torch.ones(1, 2, 1)))[0].flatten()
    tensor([0.6321, 0.8647])
    """
    if not (modal.inputs.numel() and modal.rate.numel()):
        return modal_loop(modal)
    gap = equal_gap(modal)
    if gap is not None:
        return modal_even(modal, gap, _scan)
    count = 1 if modal.alpha is not None else pieces_of(modal)
    return in_pieces(modal, count, _scan) if count > 1 else _scan(modal)


def pieces_of(modal: Modal) -> int:
    """Pieces of the rows to run side by side: 1 where a row is work enough.

    Twice the work has to be repaid: measured on one core with 1024 rows, from 8 pieces on, at up to 256 states a row.
    With 64 states a row it takes 7.5 ms forward and backward, in one piece 20 ms.
    """
    l, row = modal.inputs.shape[1], modal.inputs.shape[0] * modal.rate.numel()
    wide = STATES // 2 if modal.rate.device.type == "cpu" else WIDE_STATES
    count = min(wide // row, math.isqrt(l))
    return count if count >= 8 else 1


def _scan(modal: Modal) -> tuple[Tensor, Tensor]:
    return _ModalScan.apply(*modal)


class _ModalScan(Function):
    @staticmethod
    def forward(ctx, *fields: Tensor | float | None) -> tuple[Tensor, Tensor]:
        modal = Modal(*fields)
        b, l, h = modal.inputs.shape
        end = modal.rate.new_zeros(b, *modal.rate.mT.shape) if modal.start is None else modal.start.mT.clone()
        y = modal.inputs.new_empty(l, b, h)
        starts = end.new_empty(-(-l // ROWS), *end.shape)
        shared, buffers = shared_gaps(modal), Buffers(end)
        for block in blocks(modal, shared, buffers):
            for chunk in block:
                start = starts[chunk.rows.start // ROWS, chunk.batch].copy_(end[chunk.batch])
                _, _, after, last = chunk.states(start, buffers)
                end[chunk.batch] = last
                weighted = torch.mul(chunk.modal.weight, after, out=buffers("scratch", after.shape))
                if modal.C is not None:
                    weighted *= chunk.modal.C
                y[chunk.rows, chunk.batch] = _like(weighted.sum(2), y)
        ctx.alpha, ctx.shared = modal.alpha, shared
        ctx.save_for_backward(*modal[:8], *modal[9:], starts)
        return y.transpose(0, 1), end.mT

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *fields, starts = ctx.saved_tensors
        modal = Modal(*fields[:8], ctx.alpha, *fields[8:])
        if torch.is_grad_enabled():
            return double_backward(lambda *fields: modal_loop(Modal(*fields)), modal, ctx.needs_input_grad, grads)
        grad_y = rows_first(grads[0].conj(), 2, starts.dtype).resolve_conj()
        adjoint = _Adjoint(
            modal, ctx.needs_input_grad, grads[1].conj().mT.clone(memory_format=torch.contiguous_format).resolve_conj()
        )
        buffers = Buffers(starts)
        for block in blocks(modal, ctx.shared, buffers):
            for chunk in reversed(block):
                start = starts[chunk.rows.start // ROWS, chunk.batch]
                adjoint.cross(chunk, start, grad_y[chunk.rows, chunk.batch], buffers)
        return adjoint.gradients()


class _Adjoint:
    """The scan back in time, which gathers the gradients of the wanted fields chunk by chunk.

    It runs on the conjugates of gradients, where no state and no rate is conjugated: with g of a row after it, and g_y,

        G = g + g_y C weight,  d pull = -G (X + B hold),  d hold = sum of -pull B G,  g of the row before = G - pull G
    """

    def __init__(self, modal: Modal, wanted: tuple[bool, ...], carried: Tensor) -> None:
        self.modal, self.wanted, self.carried = modal, Modal(*wanted), carried
        fields = {name: getattr(modal, name) for name in ("rate", "weight", "gap", "hold", "push", "B", "C")}
        # rows first, and n before h, as in the chunks
        self.found = {
            name: part.new_zeros(part.transpose(0, 1).shape) for name, part in fields.items() if part is not None
        }

    def cross(self, chunk: Chunk, start: Tensor, grad_y: Tensor, buffers: Buffers) -> None:
        pull, before, after, _ = chunk.states(start, buffers)
        direct = torch.mul(grad_y, chunk.modal.weight, out=buffers("direct", after.shape))
        if chunk.modal.C is not None:
            direct *= chunk.modal.C
        self.read(chunk, after, grad_y, buffers)
        G, passed = self.back(chunk, pull, direct, buffers)
        if self.wanted.rate or self.wanted.gap:
            self.move(chunk, pull, before, G, passed, buffers)
        if chunk.modal.hold is not None and (self.wanted.hold or self.wanted.B):
            self.feed(chunk, "hold", torch.mul(pull, G, out=passed).neg_())
        if chunk.modal.push is not None and (self.wanted.push or self.wanted.B):
            self.feed(chunk, "push", G)

    def read(self, chunk: Chunk, after: Tensor, grad_y: Tensor, buffers: Buffers) -> None:
        """Gradients of what reads the states: weight and C."""
        if not (self.wanted.weight or self.wanted.C):
            return
        C = chunk.modal.C
        seen = torch.mul(grad_y, after, out=buffers("scratch", after.shape))
        if self.wanted.C:
            self.add(chunk, "C", (seen * chunk.modal.weight).sum(3))
        self.found["weight"] += (seen if C is None else seen.mul_(C)).sum((0, 1))

    def back(self, chunk: Chunk, pull: Tensor, direct: Tensor, buffers: Buffers) -> tuple[Tensor, Tensor]:
        """G of each row, and G - pull G, what reaches the row before."""
        on, silent = chunk.modal.active, None
        G, passed = direct, buffers("passed", direct.shape)
        if on is not None:
            silent = direct - pull * direct
            G = torch.where(on, direct, silent)
        carried, zero = self.carried[chunk.batch], direct.new_zeros(())
        rows = list(zip(G.unbind(0), chunk.chain(pull), passed.unbind(0), strict=True))
        for k in range(len(rows) - 1, -1, -1):
            G_k, pull_k, passed_k = rows[k]
            G_k += carried
            carried = chunk.remembered(torch.lerp(G_k, zero, pull_k, out=passed_k), k)
        self.carried[chunk.batch] = carried
        if on is None:
            return G, passed
        return torch.where(on, G, direct), torch.where(on, passed, silent)

    def move(self, chunk: Chunk, pull: Tensor, before: Tensor, G: Tensor, passed: Tensor, buffers: Buffers) -> None:
        """Gradients of what moves the state: rate and gap, through z."""
        modal, rest = chunk.modal, chunk.spread(chunk.modal.hold, -1)
        slope = torch.sub(before, 0 if rest is None else rest, out=buffers("scratch", G.shape))
        if modal.alpha is None:
            slope *= passed
        else:
            slope = slope.mul_(G) * (1 - modal.alpha * pull) ** 2
        if modal.gap.shape[-1] > 1:
            self.found["rate"] += (modal.gap * slope).sum((0, 1))
            self.add(chunk, "gap", (modal.rate * slope).sum(2))
            return
        # as products of real matrices, which read the slopes once and write nothing
        flat = _real(slope).view(modal.gap.numel(), -1)
        _real(self.found["rate"]).view(-1).addmv_(flat.T, modal.gap.reshape(-1))
        if self.wanted.gap:
            found = self.found["gap"][chunk.rows, chunk.batch]
            found.copy_((flat @ _real(modal.rate.conj().resolve_conj()).view(-1)).view(found.shape))

    def feed(self, chunk: Chunk, name: str, effect: Tensor) -> None:
        """Gradients of an input and its B; `effect` is that of the input on each mode."""
        modal, part = chunk.modal, getattr(chunk.modal, name)
        if modal.active is not None:
            effect = torch.where(modal.active, effect, 0)
        self.add(chunk, name, (effect if modal.B is None else effect * modal.B).sum(2))
        if self.wanted.B:
            self.add(chunk, "B", (effect * part).sum(3))

    def add(self, chunk: Chunk, name: str, part: Tensor) -> None:
        self.found[name][chunk.rows, chunk.batch] += _like(part, self.found[name])

    def gradients(self) -> tuple[Tensor | None, ...]:
        found = {name: part.transpose(0, 1) for name, part in self.found.items()} | {"start": self.carried.mT}
        wanted = self.wanted._asdict()
        return tuple(found[name].conj().resolve_conj() if wants else None for name, wants in wanted.items())


def _like(part: Tensor, other: Tensor) -> Tensor:
    """The real part, where the other is real."""
    return part.real if part.is_complex() and not other.is_complex() else part


def _real(part: Tensor) -> Tensor:
    return torch.view_as_real(part) if part.is_complex() else part
