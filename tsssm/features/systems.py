"""Systems: the linear equations of a ridge, in the smaller of its two forms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

# columns in one product: what it adds up in float32 stays short, and the weighted copy small
AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class System:
    r"""Equations (matrix + alpha diag(diagonal)) solution = right of a ridge, and how held-out rows read the solution.

    With centred, weighted columns Z and row weights S the *dual* form is (Z Z' + alpha / S) a = y, for fewer rows than
    columns; the *primal* one is (Z' S Z + alpha) b = Z' S y.

    Parameters
    ----------
    matrix : ndarray, (m, m) float64
    diagonal : ndarray, (m,)
    right : ndarray, (m, t)
    left : ndarray, (held out, m)
        Held-out rows are predicted as left @ solution + mean.
    mean : ndarray, (t,)
        Weighted mean of the targets.
    size : float
        Mean of the eigenvalues that are not 0 by the shape alone, in which penalties are counted.
    """

    matrix: np.ndarray
    diagonal: np.ndarray
    right: np.ndarray
    left: np.ndarray
    mean: np.ndarray
    size: float

    def solve(self, penalty: float) -> np.ndarray | None:
        """Solution at alpha = penalty * size, (m, t); None where rounding leaves the matrix indefinite."""
        matrix = self.matrix.copy()
        matrix.flat[:: len(matrix) + 1] += penalty * self.size * self.diagonal
        try:
            factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            return None
        return cho_solve(factor, self.right, check_finite=False)

    def held_out(self, penalty: float) -> np.ndarray | None:
        """Predictions of the held-out rows, (held out, t)."""
        solution = self.solve(penalty)
        return None if solution is None else self.left @ solution + self.mean


def gram(X: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """X diag(weight^2) X', (n, n) float64 from products in float32. Cost n^2 f."""
    out = np.zeros((len(X), len(X)))
    for start in range(0, X.shape[1], AT_ONCE):
        Z = X[:, start : start + AT_ONCE] * weight[start : start + AT_ONCE]
        out += Z @ Z.T
    return out


def scatter(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """X' diag(rows) X, (f, f) float64 from products in float32. Cost n f^2."""
    out = np.zeros((X.shape[1], X.shape[1]))
    root = np.sqrt(rows).astype(np.float32)[:, None]
    for start in range(0, len(X), AT_ONCE):
        Z = X[start : start + AT_ONCE] * root[start : start + AT_ONCE]
        out += Z.T @ Z
    return out


def dual(K: np.ndarray, Y: np.ndarray, rows: np.ndarray, train: np.ndarray, test: np.ndarray) -> System:
    """System of the training rows from the products K (n, n) of all weighted rows.

    Centring at the weighted mean of the training rows is done on the products; it makes the intercept free of penalty.
    """
    share = rows[train] / rows[train].sum()
    inner, cross = K[np.ix_(train, train)], K[np.ix_(test, train)]
    mean = inner @ share
    whole = mean @ share
    inner -= mean[:, None]
    inner -= mean - whole
    cross -= (cross @ share)[:, None]
    cross -= mean - whole
    target = share @ Y[train]
    return System(
        inner, 1.0 / rows[train], Y[train] - target, cross, target, size_of(rows[train] * np.diag(inner), len(train))
    )


def primal(
    square: np.ndarray, X: np.ndarray, weight: np.ndarray, Y: np.ndarray, rows: np.ndarray, test: np.ndarray
) -> System:
    """System of all but the test rows from their `scatter` (f, f); X holds the columns before their weights.

    Centred at the weighted mean like `dual`. Test rows count nothing in the sums, so that no part of X is copied.
    """
    rows = rows.copy()
    rows[test] = 0.0
    share = rows / rows.sum()
    mean = (share.astype(np.float32) @ X).astype(np.float64)
    target = share @ Y
    right = X.T @ (rows[:, None] * (Y - target)).astype(np.float32)
    square = square - np.outer(rows.sum() * mean, mean)
    square *= weight
    square *= weight[:, None]
    left = (X[test] - mean) * weight
    n = np.count_nonzero(rows)
    return System(
        square,
        np.ones(len(square)),
        weight[:, None] * right,
        left,
        target,
        size_of(np.diag(square), min(n, len(square))),
    )


def size_of(squares: np.ndarray, n: int) -> float:
    """Trace by n eigenvalues, 1 where all columns are constant."""
    size = float(squares.sum()) / n
    return size if size > 0 else 1.0
