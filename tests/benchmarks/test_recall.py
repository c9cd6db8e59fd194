"""The tokens that the recall tasks draw: what is asked is what was given."""

from __future__ import annotations

import numpy as np

from benchmarks.accuracy.recall import induction_heads, selective_copying


def test_copying_asks_for_the_tokens_in_order() -> None:
    given, asked = selective_copying(50, noise=20, count=4, kinds=5, rng=np.random.default_rng(0))
    assert given.shape == asked.shape == (50, 24)
    assert (asked[:, :20] == -1).all()
    assert (given[:, 20:] == 6).all()
    for series, wanted in zip(given[:, :20], asked[:, 20:], strict=True):
        np.testing.assert_array_equal(series[series != 5], wanted)
    assert set(np.unique(asked[:, 20:])) == set(range(5))
    # places differ from series to series, and reach the first and the last row
    assert (given[:, 0] != 5).any() and (given[:, 19] != 5).any() and (given[:, 0] == 5).any()


def test_heads_ask_for_what_followed_the_cue() -> None:
    given, asked = induction_heads(200, length=12, kinds=4, rng=np.random.default_rng(1))
    assert ((given == 4).sum(1) == 2).all() and (given[:, -1] == 4).all()
    first = (given == 4).argmax(1)
    np.testing.assert_array_equal(asked[:, -1], given[np.arange(200), first + 1])
    assert (asked[:, :-1] == -1).all()
    assert first.min() == 0 and first.max() == 9
    assert (asked[:, -1] < 4).all()


def test_seeds_decide() -> None:
    for draw in (lambda rng: selective_copying(5, 10, 3, 4, rng), lambda rng: induction_heads(5, 10, 4, rng)):
        one, same, other = (draw(np.random.default_rng(seed)) for seed in (0, 0, 1))
        np.testing.assert_array_equal(one.given, same.given)
        assert (one.given != other.given).any()
