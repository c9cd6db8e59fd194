"""Relevance: how much a column has to do with the target by itself, as a weight on the column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# what a column without any relevance of its own still weighs: it may matter together with others
FLOOR = 0.02


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over rows from which relevance follows; those of a part subtract from those of the whole.

    Parameters
    ----------
    n : int
        Rows.
    x, xx : ndarray, (f,)
        Sums of the columns and of their squares.
    y, yy : ndarray, (t,)
        Sums of the targets and of their squares.
    xy : ndarray, (t, f)
        Sums of the products.
    """

    n: int
    x: np.ndarray
    xx: np.ndarray
    y: np.ndarray
    yy: np.ndarray
    xy: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, Y: np.ndarray) -> Sums:
        """Sums of columns (n, f) and targets (n, t), in one product of float32."""
        both = (np.c_[Y, np.ones(len(Y))].astype(np.float32).T @ X).astype(np.float64)
        xx = np.einsum("nf,nf->f", X, X)
        return cls(len(X), both[-1], xx.astype(np.float64), Y.sum(0), (Y**2).sum(0), both[:-1])

    def __sub__(self, part: Sums) -> Sums:
        return Sums(
            self.n - part.n,
            self.x - part.x,
            self.xx - part.xx,
            self.y - part.y,
            self.yy - part.yy,
            self.xy - part.xy,
        )


def weights(sums: Sums, classes: bool) -> np.ndarray:
    """Weight sqrt(max(r2 - chance, 0) + 0.02) of each column, (f,) float32.

    r2 is the share of a column's variance that lies between the classes, whose indicators are the targets; or for
    numbers the squared correlation with the target, averaged over targets. By chance it is (C - 1) / (n - 1) for C
    classes, and 1 / (n - 1) for numbers.
    """
    n = max(sums.n, 1)
    spread = np.maximum(sums.xx - sums.x**2 / n, 0.0)
    if classes:
        present = sums.y > 0.5
        # classes that miss in these rows take no part
        square = np.divide(1.0, sums.y, out=np.zeros_like(sums.y), where=present)
        degrees = int(present.sum()) - 1
    else:
        vary = sums.yy - sums.y**2 / n
        known = vary > 1e-12 * sums.yy
        square = np.divide(1.0 / len(vary), vary, out=np.zeros_like(vary), where=known)
        degrees = 1
    together = sums.xy - sums.y[:, None] * (sums.x / n)
    together *= together
    between = square @ together
    # sums of float32 hold seven digits: a column that varies less than that in these rows says nothing
    r2 = np.divide(between, spread, out=np.zeros_like(between), where=spread > 1e-5 * np.maximum(sums.xx, 1e-9))
    chance = degrees / max(n - 1, 1)
    return np.sqrt(np.clip(r2 - chance, 0.0, 1.0) + FLOOR).astype(np.float32)
