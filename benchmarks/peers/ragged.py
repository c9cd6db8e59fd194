"""Series of different lengths: padded to the longest one, and packed end to end."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmarks.peers import ours
from benchmarks.peers.problem import Maker, Problem, Results, Runner, Size, Truth, scan_problem, truth_of, with_autograd
from benchmarks.peers.problem import python_loop as loop

PER_ROW = ("y", "u", "dt")


def lognormal_lengths(n: int, middle: int, seed: int = 0) -> list[int]:
    """Lengths with the given median and a logarithm of standard deviation 1, cut at 10 and at ten times the median.

    Without the upper cut a single long series decides the share of padding.
    """
    draw = torch.Generator().manual_seed(seed)
    return (middle * torch.randn(n, generator=draw).exp()).long().clamp(10, 10 * middle).tolist()


def uniform_lengths(n: int, low: int, high: int, seed: int = 0) -> list[int]:
    """Lengths between two bounds."""
    return torch.randint(low, high + 1, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


def packed_problem(lengths: list[int], h: int, n: int) -> Problem:
    """All series in one row of the batch, with a reset where each one starts."""
    plain = scan_problem(Size(1, sum(lengths), h, n))
    reset = torch.zeros(1, sum(lengths), dtype=torch.bool)
    reset[0, torch.tensor([0, *lengths[:-1]]).cumsum(0)] = True
    return Problem(plain.parts | {"reset": reset}, plain.weight, plain.batched | {"reset"}, frozenset({"reset"}))


def padded_problem(packed: Problem, lengths: list[int]) -> Problem:
    """The same series, each in a row of its own: gap, input and weight 0 after its end."""
    parts = {name: part for name, part in packed.parts.items() if name != "reset"}
    parts |= {name: padded(parts[name], lengths) for name in ("u", "dt")}
    return Problem(parts, padded(packed.weight, lengths))


def padded(part: Tensor, lengths: list[int]) -> Tensor:
    """A packed part (1, sum of lengths, ...) as (series, longest, ...)."""
    return pad_sequence(list(part[0].split(lengths)), batch_first=True)


def truths(packed: Problem, lengths: list[int]) -> tuple[Truth, Truth]:
    """The float64 loop over each series on its own, laid out as the padded and as the packed problem."""
    rows, each = padded_problem(packed, lengths), []
    for i, length in enumerate(lengths):
        one = rows.series(i, i + 1)
        parts = {name: part[:, :length] if name in one.batched else part for name, part in one.parts.items()}
        each += truth_of(loop, Problem(parts, one.weight[:, :length]), 1).each
    joined: Results = {
        name: torch.cat([results[name] for results in each], 1)
        if name in PER_ROW
        else torch.stack([results[name] for results in each]).sum(0)
        for name in each[0]
    }
    for results in each:
        results.update({name: extended(results[name], max(lengths)) for name in PER_ROW})
    return Truth(each, rows.batched), Truth([joined], packed.batched - {"reset"})


def extended(part: Tensor, length: int) -> Tensor:
    """Zeros after the rows (1, l, ...) up to a length."""
    return torch.cat([part, part.new_zeros(1, length - part.shape[1], *part.shape[2:])], 1)


def masked(make: Maker, lengths: list[int]) -> Maker:
    """Read y only within the series, where nothing is left of the padding; not a part of the timed work."""
    inside = padded(torch.ones(1, sum(lengths), 1), lengths)

    def masking(problem: Problem) -> Runner:
        runner = make(problem)

        def results(answer: object) -> Results:
            found = runner.results(answer)
            return found | {"y": found["y"] * inside[: len(found["y"])]}

        return runner._replace(results=results)

    return masking


OURS = with_autograd(ours.scan)
