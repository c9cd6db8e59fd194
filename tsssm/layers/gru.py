"""GRU with time gaps: the recurrent baseline that every table needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from tsssm.grid import Grid, held_gap, previous_active, time_since
from tsssm.layers.base import Layer


class GRU(Layer):
    """Gated recurrent unit fed with [x, log(1 + gap)], known as GRU-dt.

    It runs over the active rows only; a silent row reads the last state beside the time that has passed since.

    Parameters
    ----------
    d_model : int
        Width of inputs, outputs and state.

    Notes
    -----
    O(b l d_model^2), step after step over the longest series; no padding is computed.

    References
    ----------
    Cho et al., 2014, equations 5 to 8; GRU-dt is the control row of Che et al., 2018.

    Examples
    --------
    >>> import torch
    >>> from tsssm.layers import GRU
    >>> y, state = GRU(8)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, d_model: int):
        super().__init__()
        self.cell = nn.GRU(d_model + 1, d_model, batch_first=True)
        self.read = nn.Linear(d_model + 1, d_model)

    def forward(self, x: Tensor, grid: Grid, state: tuple | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        b, l, d = x.shape
        hidden = x.new_zeros(b, d) if state is None else state[0]
        since = None if state is None else state[1]
        gap = held_gap(grid.dt, grid.reset, grid.active, since)
        h, last = self._run(torch.cat([x, gap.log1p().unsqueeze(-1)], -1), grid, hidden)
        # the state each row sees: its own if it is active, else that of the last active row before it
        before = previous_active(grid.reset, grid.active)
        own = torch.arange(l, device=x.device).expand(b, l)
        index = torch.where(grid.active, own, before)
        fresh = (grid.reset.cumsum(1) > 0).unsqueeze(-1)
        seen = h.gather(1, index.clamp_min(0).unsqueeze(-1).expand_as(h))
        seen = torch.where((index >= 0).unsqueeze(-1), seen, torch.where(fresh, 0.0, hidden.unsqueeze(1)))
        passed = torch.where(grid.active, 0.0, gap)
        y = self.read(torch.cat([seen, passed.log1p().unsqueeze(-1)], -1))
        return y, (last, time_since(grid.dt, grid.reset, grid.active, since))

    def _run(self, u: Tensor, grid: Grid, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states (b, l, d) at the active rows, zero elsewhere, and the last one of each batch row."""
        b, l, _ = u.shape
        # a run is what shares a state: a series, or the head of a row that carries on from the piece before
        run = grid.reset.cumsum(1) + torch.arange(b, device=u.device).unsqueeze(1) * (l + 1)
        rows = grid.active.flatten().nonzero().squeeze(-1)
        _, number, counts = run.flatten()[rows].unique_consecutive(return_inverse=True, return_counts=True)
        h = u.new_zeros(b * l, hidden.shape[-1])
        last = torch.where(grid.reset.any(1).unsqueeze(-1), 0.0, hidden)
        if rows.numel():
            starts = counts.cumsum(0) - counts
            place = torch.arange(len(rows), device=u.device) - starts[number]
            padded = u.new_zeros(len(counts), int(counts.max()), u.shape[-1])
            padded = padded.index_put((number, place), u.flatten(0, 1)[rows])
            owner = rows[starts] // l
            carried = grid.reset.cumsum(1).flatten()[rows[starts]] == 0
            first = torch.where(carried.unsqueeze(-1), hidden[owner], 0.0)
            packed = pack_padded_sequence(padded, counts.cpu(), batch_first=True, enforce_sorted=False)
            out, final = self.cell(packed, first.unsqueeze(0))
            h = h.index_put((rows,), _unpacked(out)[number, place].to(h.dtype))
            # what a row of the batch ends with: no run at all where its last series was silent so far
            ends = run[owner, -1] == run.flatten()[rows[starts]]
            last = last.index_put((owner[ends],), final[0][ends].to(last.dtype))
        return h.view(b, l, -1), last


def _unpacked(out: PackedSequence) -> Tensor:
    return pad_packed_sequence(out, batch_first=True)[0]
