"""Selective copying and induction heads: series of tokens, drawn afresh from a seed, and what is to be recalled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Tokens(NamedTuple):
    """Token numbers (n, l), and the token to be answered at each row, -1 where none is asked."""

    given: np.ndarray
    asked: np.ndarray


def selective_copying(n: int, noise: int, count: int, kinds: int, rng: np.random.Generator) -> Tokens:
    """Draw `count` tokens at random places among noise; at the rows that follow they are to be said in order.

    Parameters
    ----------
    n : int
        Series.
    noise : int
        Rows of noise and tokens, before the `count` rows of answers.
    count, kinds : int
        How many tokens there are in a series, each of one of so many kinds. Noise is token `kinds`, and the cue
        at the rows of answers `kinds` + 1.
    rng : Generator

    References
    ----------
    Gu and Dao 2023 (arXiv 2312.00752), section 4.1.1: 16 tokens of 16 kinds among 4,096 rows.
    """
    tokens = rng.integers(kinds, size=(n, count))
    places = np.sort(rng.random((n, noise)).argsort(1)[:, :count], axis=1)
    given = np.full((n, noise + count), kinds)
    given[:, noise:] = kinds + 1
    np.put_along_axis(given, places, tokens, axis=1)
    asked = np.full_like(given, -1)
    asked[:, noise:] = tokens
    return Tokens(given, asked)


def induction_heads(n: int, length: int, kinds: int, rng: np.random.Generator) -> Tokens:
    """Draw random tokens with one cue among them, and a cue at the end: the token after the first cue is asked there.

    Parameters
    ----------
    n, length : int
        Series and their rows.
    kinds : int
        Kinds of tokens; the cue is token `kinds`.
    rng : Generator

    References
    ----------
    Gu and Dao 2023 (arXiv 2312.00752), section 4.1.2: 16 kinds, trained at 256 rows.
    """
    given = rng.integers(kinds, size=(n, length))
    place = rng.integers(length - 2, size=n)
    given[np.arange(n), place] = kinds
    given[:, -1] = kinds
    asked = np.full_like(given, -1)
    asked[:, -1] = given[np.arange(n), place + 1]
    return Tokens(given, asked)
