"""Tables of stored accuracies: means at each share dropped, what is lost from the first to the last, mean ranks."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.feature_tables import Names, Records, collect, titled
from benchmarks.ranks import critical_difference, mean_ranks


def complete(records: Records, rates: Sequence[float], names: Names) -> Records:
    """Give the results of the sets and seeds that have every row at every rate."""
    found = {(each["set"], each["seed"], each["rate"], each["row"]) for each in records}
    pairs = {(name, seed) for name, seed, *_ in found}
    whole = {pair for pair in pairs if all((*pair, rate, row) in found for rate in rates for row in names)}
    return [each for each in records if (each["set"], each["seed"]) in whole]


def sections(records: Records, rates: Sequence[float], names: Names) -> str:
    """Give accuracies with their loss, mean ranks and seconds, over the sets and seeds that have everything asked."""
    kept = complete(records, rates, names)
    sets, results = collect(kept, rates, names)
    if not sets:
        return "No set has every row at every share yet.\n"
    seeds = {(each["set"], each["seed"]) for each in kept}
    broken = sum(not each["finite"] for each in records)
    title = (
        f"{len(sets)} sets, {len(seeds)} pairs of set and seed; {broken} of {len(records)} stored fits were not finite"
    )
    accuracy, n, k = results[..., 0], len(sets), len(names)
    heads = tuple(f"{rate:g}" for rate in rates)
    means = accuracy.mean(axis=0)
    by_rate = [mean_ranks(accuracy[:, i]) for i in range(len(rates))]
    lines, ranks = {}, {}
    for j, name in enumerate(names.values()):
        fit = results[:, :, j, 1].mean()
        lines[name] = [*(f"{x:.3f}" for x in means[:, j]), f"{means[0, j] - means[-1, j]:+.3f}", f"{fit:.1f}"]
        ranks[name] = [f"{line[j]:.2f}" for line in by_rate]
    ranks["critical difference, Nemenyi, 5 %"] = [f"{critical_difference(k, n):.2f}"] * len(rates)
    first = titled("accuracy at a share dropped of", (*heads, f"lost, {heads[0]} to {heads[-1]}", "fit [s]"), lines)
    return "\n\n".join([title, first, titled("mean rank", heads, ranks)]) + "\n"
