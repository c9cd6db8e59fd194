"""Layers to compare with that read rows without their times: an LSTM and a causal transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsssm.grid import Grid, previous_active
from tsssm.layers.base import Carried, Layer


class RowLayer(Layer):
    """A network over the rows of each series that show something; silent ones repeat what the last of these said."""

    # these baselines hand no state on: a series is run at once
    causal = False

    net: nn.Module

    def forward(self, x: Tensor, grid: Grid, state: Carried = None) -> tuple[Tensor, Carried]:
        shows = grid.active & grid.valid
        owner = grid.segment()[shows]
        lengths = torch.bincount(owner)
        place = torch.arange(len(owner)) - (lengths.cumsum(0) - lengths)[owner]
        series = x.new_zeros(len(lengths), int(lengths.max()), x.shape[-1])
        series[owner, place] = x[shows]
        said = torch.zeros_like(x)
        said[shows] = self.net(series)[owner, place]
        rows = torch.arange(x.shape[1]).expand(x.shape[:2])
        last = torch.where(shows, rows, previous_active(grid.reset, shows))
        heard = said.gather(1, last.clamp_min(0).unsqueeze(-1).expand_as(x))
        return heard * (last >= 0).unsqueeze(-1), None


class LSTM(RowLayer):
    """Long short-term memory, one layer."""

    def __init__(self, d_model: int):
        super().__init__()
        self.net = _First(nn.LSTM(d_model, d_model, batch_first=True))


class Attention(RowLayer):
    """Causal attention to the last `window` rows, whose scores fall with distance (ALiBi, Press et al. 2022).

    Parameters
    ----------
    d_model : int
        Width of the features.
    heads : int, default 2
        Number of heads.
    window : int, default 100
        How many rows back a row sees.
    """

    def __init__(self, d_model: int, heads: int = 2, window: int = 100):
        super().__init__()
        self.net = _Window(d_model, heads, window)


class _First(nn.Module):
    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)[0]


class _Window(nn.Module):
    """Attention of (n, l, d) within blocks of `window` rows and to the block before, so that it costs O(l window)."""

    def __init__(self, d_model: int, heads: int, window: int):
        super().__init__()
        self.heads, self.window = heads, window
        self.into, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        l = x.shape[1]
        w = min(self.window, l)
        padded = nn.functional.pad(self.into(x), (0, 0, 0, -l % w))
        # (n, blocks, heads, w, d / heads)
        q, k, v = (
            part.unflatten(1, (-1, w)).unflatten(-1, (self.heads, -1)).transpose(2, 3) for part in padded.chunk(3, -1)
        )
        # each block beside the one before it
        k, v = (torch.cat([torch.cat([torch.zeros_like(part[:, :1]), part[:, :-1]], 1), part], -2) for part in (k, v))
        y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=self._scores(w, q.shape[1], x))
        return self.out(y.transpose(2, 3).flatten(3).flatten(1, 2)[:, :l])

    def _scores(self, w: int, blocks: int, like: Tensor) -> Tensor:
        """What is added to the scores, (1, blocks, heads, w, 2 w): minus infinity for rows that are not seen."""
        back = w + torch.arange(w).unsqueeze(1) - torch.arange(2 * w)
        slopes = 2.0 ** (-8 * (1 + torch.arange(self.heads)) / self.heads)
        bias = (-slopes.view(-1, 1, 1) * back).masked_fill((back < 0) | (back >= w), -torch.inf)
        every = bias.repeat(blocks, 1, 1, 1)
        # nothing stands before the first block
        every[0, :, :, :w] = -torch.inf
        return every.unsqueeze(0).to(like)
