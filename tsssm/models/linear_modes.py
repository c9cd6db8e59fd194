"""The modes of series that move linearly in time, found by least squares."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

# of what a row can tell of a mode, the least that keeps columns that nearly agree apart
RIDGE = 1e-10
# share of squares below which nothing is left but rounding
ROUNDING = 1e-8
# numbers that candidates of one mode are compared on
SCANNED = 4096
# decays of candidates, over the length of a series
DECAYS = (0.1, 1.0, 5.0)
# most frequencies of candidates
TURNS = 128


class Pieces(NamedTuple):
    """Series as a table: times since each began (n, l), values and whether they are seen (n, l, c)."""

    times: Tensor
    values: Tensor
    seen: Tensor

    @property
    def span(self) -> float:
        """Mean time from the first row to the last."""
        return float(self.times.amax(1).mean().clamp_min(1e-9))


class Modes(NamedTuple):
    """Rates (m,), complex, per time scale, and the share that they leave unexplained of what follows."""

    rates: Tensor
    left: float


def find_modes(pieces: Pieces, most: int, held: Tensor, conserved: int = 0) -> Modes:
    r"""Rates of ``x_c(t) = b_c + Re sum_j A_jc exp(r_j t)`` that explain series best, amplitudes A free in each series.

    Modes are added one by one, the best of a table of candidates each time, and all rates are refined together, until a
    further one explains no more than its amplitudes would explain of noise.

    Parameters
    ----------
    pieces : Pieces
        In float64, of standardised values.
    most : int
        Most modes, with those held.
    held : Tensor, (p,)
        Frequencies that are known, of modes that do not fade.
    conserved : int, default 0
        How many modes after those held do not fade either; they are found first.

    Returns
    -------
    Modes
        Those held first, and those that need several pictures again at the end, see `share_pictures`.

    Notes
    -----
    Amplitudes and b are solved for, so that the rates alone are sought, by L-BFGS: O(n c l m^2) each time. Gaps may be uneven.

    References
    ----------
    Askham and Kutz, 2018, Variable projection methods for an optimized dynamic mode decomposition; Golub and Pereyra, 1973.
    The choice of how many is by the Bayesian information criterion.

    Examples
    --------
    >>> t = torch.arange(20.0, dtype=torch.float64).repeat(5, 1)
    >>> x = (torch.exp(-0.1 * t) * torch.cos(t + torch.arange(5.0)[:, None])).unsqueeze(-1)
    >>> find_modes(Pieces(t, x, torch.ones_like(x, dtype=torch.bool)), 2, torch.zeros(0)).rates[:1]
    tensor([-0.1000+1.0000j], dtype=torch.complex128)
    """
    rates = torch.complex(torch.zeros_like(held, dtype=torch.float64), held.double())
    fixed = len(rates) + conserved
    left, total = _left_over(pieces, rates), float(pieces.values.square().sum())
    count, series = int(pieces.seen.sum()), int(pieces.seen.any(1).sum())
    # each amplitude is told by the rows of its own series and channel
    price = 2 * series * math.log(max(2.0, count / max(1, series))) + 2 * math.log(max(2, count))
    while len(rates) < most and 4 * series * (len(rates) + 1) <= count and left > ROUNDING * total:
        still = len(rates) < fixed
        more = _refined(pieces, torch.cat([rates, _best_candidate(pieces, rates, still)]), len(held), fixed)
        now = _left_over(pieces, more)
        gain = count * (math.log(left) - math.log(now))
        if not gain > price:
            break
        rates, left = more, now
    if not len(rates):
        return Modes(rates, 1.0)
    pictures, share = share_pictures(pieces, rates, most)
    again = [rate for rate, count in zip(rates, pictures, strict=True) for _ in range(count - 1)]
    return Modes(torch.cat([rates, torch.stack(again)]) if again else rates, min(1.0, share))


def _left_over(pieces: Pieces, rates: Tensor) -> float:
    return float(left_over(pieces, rates))


def left_over(pieces: Pieces, rates: Tensor) -> Tensor:
    """Sum of squares that modes of these rates (m,) leave of series, differentiable; at least what rounding leaves."""
    xx, x1, one = _projected(pieces, rates)
    floor = 1e-12 * pieces.values.square().sum().clamp_min(1e-300)
    return (xx - x1.square() / one.clamp_min(1e-9)).sum().clamp_min(floor)


def share_pictures(pieces: Pieces, rates: Tensor, most: int) -> tuple[list[int], float]:
    """How many pictures each mode needs, at most `most` in all, and the share of what follows that they leave.

    A mode of a linear system has one picture: its amplitudes are alike in all series but for a factor. Where they are not,
    several modes must have its rate. Told from the earlier half of each series, judged by the squares of the later one.
    """
    _, x1, one = _projected(pieces, rates)
    values = pieces.values - x1 / one.clamp_min(1e-9)
    early = (pieces.times <= pieces.times.amax(1, keepdim=True) / 2).unsqueeze(-1) & pieces.seen
    late, weight = pieces.seen & ~early, early.to(values)
    columns = _columns(pieces, rates)
    aim = torch.einsum("nlk,nlc->nck", columns, values * weight).unsqueeze(-1)
    real, turned = torch.cholesky_solve(aim, _root(columns, weight)).squeeze(-1).chunk(2, -1)
    # (m, n, c): one table of amplitudes for each mode, whose rank counts its pictures
    U, S, V = torch.linalg.svd(torch.complex(real, -turned).permute(2, 0, 1), full_matrices=False)
    paths, total = torch.exp(rates * pieces.times.unsqueeze(-1)), (values.square() * late).sum().clamp_min(1e-300)

    def left(ranks: list[int]) -> float:
        kept = S * (torch.arange(S.shape[1]) < torch.tensor(ranks)[:, None])
        told = torch.einsum("nlm,mnr,mrc->nlc", paths, U * kept.unsqueeze(1).to(U.dtype), V).real
        return float(((told - values).square() * late).sum() / total)

    ranks = [1] * len(rates)
    best = left(ranks)
    while sum(ranks) < most and best > ROUNDING:
        tried = [[r + (i == j) for i, r in enumerate(ranks)] for j in range(len(ranks)) if ranks[j] < S.shape[1]]
        found = [left(each) for each in tried]
        # a picture more must tell more than noise does
        if not found or min(found) > 0.9 * best:
            break
        best = min(found)
        ranks = tried[found.index(best)]
    return ranks, best


def _projected(pieces: Pieces, rates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Products (c,) of what modes leave of series and of ones, ``x x``, ``x 1`` and ``1 1``, over all series.

    The constant, which all series share, is projected like a series.
    """
    seen = pieces.seen.to(pieces.values)
    sides = torch.stack([pieces.values * seen, seen], -1)
    inner = torch.einsum("nlca,nlcb->cab", sides, sides)
    if len(rates):
        columns = _columns(pieces, rates)
        aim = torch.einsum("nlk,nlca->ncka", columns, sides)
        half = torch.linalg.solve_triangular(_root(columns, seen), aim, upper=False)
        inner = inner - torch.einsum("ncka,nckb->cab", half, half)
    return inner[:, 0, 0], inner[:, 0, 1], inner[:, 1, 1]


def _root(columns: Tensor, weight: Tensor) -> Tensor:
    """Cholesky factors (n, c, k, k) of the products of columns (n, l, k) over the rows of a weight (n, l, c)."""
    gram = torch.einsum("nlk,nlc,nlm->nckm", columns, weight, columns)
    size = gram.diagonal(dim1=-2, dim2=-1).amax(-1, keepdim=True).clamp_min(1.0)
    return torch.linalg.cholesky(gram + RIDGE * torch.diag_embed(size.expand(gram.shape[:-1])))


def _columns(pieces: Pieces, rates: Tensor) -> Tensor:
    """Two real columns for each mode (n, l, 2 m)."""
    paths = torch.exp(rates * pieces.times.unsqueeze(-1))
    return torch.cat([paths.real, paths.imag], -1)


def _best_candidate(pieces: Pieces, rates: Tensor, still: bool) -> Tensor:
    """The rate (1,) that leaves least beside given ones, of a table."""
    l, c = pieces.values.shape[1:]
    few = Pieces(*(part[: max(8, SCANNED // (l * c))] for part in pieces))
    turns = _frequencies(pieces.span)
    decays = (0.0,) if still else tuple(each / pieces.span for each in DECAYS)
    table = [torch.complex(torch.full_like(turn, -a), turn) for a in decays for turn in turns.split(1)]
    found = [_left_over(few, torch.cat([rates, each])) for each in table]
    return table[min(range(len(table)), key=found.__getitem__)]


def _frequencies(span: float) -> Tensor:
    """As many as a series of this length can tell apart, up to half a turn a time scale, at most `TURNS`."""
    step, top = math.pi / span, 0.95 * math.pi
    if top / step <= TURNS:
        return torch.arange(0.25, max(1.0, top / step), 1.0, dtype=torch.float64) * step
    return torch.logspace(math.log10(step / 4), math.log10(top), TURNS, dtype=torch.float64)


def _refined(pieces: Pieces, rates: Tensor, held: int, fixed: int) -> Tensor:
    """All rates moved to where they leave least; the first `held` stay, the first `fixed` do not fade."""
    first = rates[held:]
    still = (torch.arange(held, len(rates)) < fixed).double()
    turn = torch.zeros(len(first), dtype=torch.float64, requires_grad=True)
    fade = (-first.real).clamp_min(1e-9).log().requires_grad_()

    def now() -> Tensor:
        decay = fade.clamp(-14, 5).exp() * (1 - still)
        # a unit of `turn` is what a series can tell apart
        return torch.cat([rates[:held], torch.complex(-decay, (first.imag + turn / pieces.span).abs())])

    search = torch.optim.LBFGS([turn, fade], max_iter=40, line_search_fn="strong_wolfe", tolerance_change=1e-11)

    def loss() -> Tensor:
        search.zero_grad()
        value = left_over(pieces, now()).log()
        value.backward()
        return value

    search.step(loss)
    found = now().detach()
    return found if _left_over(pieces, found) <= _left_over(pieces, rates) else rates
