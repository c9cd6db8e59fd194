"""Ridge: a linear map of many more features than series, its penalty chosen on held-out series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsssm.features.columns import Columns
from tsssm.features.relevance import Sums, weights
from tsssm.features.systems import System, dual, gram, primal, scatter

# penalties that are tried, in units of the mean eigenvalue
PENALTIES = np.logspace(1.0, -4.0, 10)
# up to so many series each penalty is tried; with more only those down to the nearest least error
TRY_ALL = 1000
START = 3
# the penalty where no series tells
UNTOLD = 4
# held-out series that are enough to choose a penalty and to calibrate probabilities
ENOUGH = 1600
# series that are enough to choose among weights of the columns
FEW = 1000
# rows in one product of a prediction
AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class Ridge:
    """A fitted ridge: z @ coef + intercept of standardised columns z.

    Attributes
    ----------
    columns : Columns
        The standardisation.
    coef : ndarray, (f, t)
    intercept : ndarray, (t,)
    variance : ndarray, (f,)
        Of the standardised columns: 1 less what the limit cut off.
    penalty : float
        The penalty chosen, in units of the mean eigenvalue.
    errors : ndarray, (penalties,)
        Mean squared held-out error at each of `PENALTIES`, infinite where it was not tried.
    rows : ndarray, (h,)
        Numbers of the series that were held out once; none that is alone in its class.
    held_out : ndarray, (h, t)
        What a ridge of the other series says of them, at the penalty chosen.
    """

    columns: Columns
    coef: np.ndarray
    intercept: np.ndarray
    variance: np.ndarray
    penalty: float
    errors: np.ndarray
    rows: np.ndarray
    held_out: np.ndarray

    def shares(self) -> np.ndarray:
        """How much each column decides, (f,): squared coefficients times variance, as shares of their sum."""
        size = (self.coef**2).sum(1) * self.variance
        total = size.sum()
        return size / total if total > 0 else size

    def decide(self, X: np.ndarray) -> np.ndarray:
        """Values of rows (n, f), (n, t), in float64 so that they do not depend on what else is asked."""
        parts = (self.columns.transform(X[i : i + AT_ONCE]) for i in range(0, len(X), AT_ONCE))
        return np.concatenate([part.astype(np.float64) @ self.coef for part in parts]) + self.intercept


@dataclass(frozen=True, eq=False)
class Problem:
    """Standardised columns X (n, f), targets Y (n, t), weights of the rows (n,), and what relevance is read from.

    `marks` (n, m) are the indicators of the classes, or the targets themselves where these are numbers; `prior` (f,)
    weighs the columns beside their relevance.
    """

    X: np.ndarray
    prior: np.ndarray
    Y: np.ndarray
    rows: np.ndarray
    marks: np.ndarray
    classes: bool

    @property
    def wide(self) -> bool:
        """Whether there are at least as many columns as rows, so that the dual form is smaller."""
        return self.X.shape[1] >= len(self.X)

    def systems(self, parts: list[np.ndarray]) -> list[tuple[np.ndarray, System]]:
        """Weights of the columns and equations of the rest, for each part of the rows held out."""
        total = Sums.of(self.X, self.marks)
        square = None if self.wide else scatter(self.X, self.rows)
        out = []
        for test in parts:
            rest = total - Sums.of(self.X[test], self.marks[test]) if len(test) else total
            weight = weights(rest, self.classes) * self.prior
            if square is None:
                system = dual(gram(self.X, weight), self.Y, self.rows, np.delete(np.arange(len(self.X)), test), test)
            else:
                inner = square - scatter(self.X[test], self.rows[test])
                system = primal(inner, self.X, weight, self.Y, self.rows, test)
            out.append((weight, system))
        return out

    def coefficients(self, weight: np.ndarray, solution: np.ndarray) -> np.ndarray:
        """Solution of the equations of all rows as coefficients of the columns, (f, t) float64."""
        if not self.wide:
            return weight[:, None] * solution
        # the columns are centred by making the solution sum to 0, which it does but for rounding
        solution = solution - solution.mean(0)
        return (weight.astype(np.float64) ** 2)[:, None] * (self.X.T @ solution.astype(np.float32))


def fit_classes(
    F: np.ndarray, priors: Sequence[np.ndarray], number: np.ndarray, rows: np.ndarray, rng: np.random.Generator
) -> Ridge:
    """One class against the rest, with targets 1 and -1; two classes share one decision, that for the second.

    Parameters
    ----------
    F : ndarray, (n, f) float32
        Features.
    priors : sequence of ndarray, each (f,)
        Weights of the standardised columns beside those by relevance, of which the one with the least held-out error is
        taken.
    number : ndarray, (n,)
        Class numbers 0 to C - 1, each of which comes.
    rows : ndarray, (n,)
        Positive weights of the series.
    rng : Generator
        Shuffles the series into parts to hold out.
    """
    marks = np.eye(int(number.max()) + 1)[number]
    Y = 2.0 * marks - 1.0
    return _choose(F, priors, Y[:, 1:] if Y.shape[1] == 2 else Y, rows, marks, number, rng)


def fit_numbers(F: np.ndarray, priors: Sequence[np.ndarray], Y: np.ndarray, rng: np.random.Generator) -> Ridge:
    """Numbers Y (n, t), in units of which all have about the same spread; see `fit_classes`."""
    return _choose(F, priors, Y, np.ones(len(Y)), None, Y[:, 0], rng)


def _choose(
    F: np.ndarray,
    priors: Sequence[np.ndarray],
    Y: np.ndarray,
    rows: np.ndarray,
    marks: np.ndarray | None,
    order: np.ndarray,
    rng: np.random.Generator,
) -> Ridge:
    """Fit with the prior that a few series prefer; of equal ones the first."""
    if len(priors) > 1:
        few = _some(order, rng) if len(F) > FEW else np.arange(len(F))
        seed, marked = int(rng.integers(2**31)), marks if marks is None else marks[few]
        trials = [
            _fit(F[few], prior, Y[few], rows[few], marked, order[few], np.random.default_rng(seed)) for prior in priors
        ]
        best = int(np.argmin([trial.errors.min() for trial in trials]))
        if len(few) == len(F):
            return trials[best]
        priors = [priors[best]]
    return _fit(F, priors[0], Y, rows, marks, order, rng)


def _some(order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A few rows that stand for all in `order`: class numbers or a target."""
    every = np.lexsort((rng.random(len(order)), order))
    return np.sort(every[np.linspace(0, len(order) - 1, FEW).astype(int)])


def _fit(
    F: np.ndarray,
    prior: np.ndarray,
    Y: np.ndarray,
    rows: np.ndarray,
    marks: np.ndarray | None,
    order: np.ndarray,
    rng: np.random.Generator,
) -> Ridge:
    columns = Columns.fit(F)
    # a weight of 0 would divide by 0 in the dual form
    rows = np.maximum(rows / rows.mean(), 1e-6)
    problem = Problem(
        columns.transform(F), prior.astype(np.float32), Y, rows, Y if marks is None else marks, marks is not None
    )
    held = parts_of(order, rng)
    if marks is not None:
        # a series alone in its class is nothing to the others: what they say of it tells no penalty from another
        alone = (marks.sum(0) == 1)[order]
        held = [part[~alone[part]] for part in held if not alone[part].all()]
    systems = [system for _, system in problem.systems(held)]
    number = np.concatenate(held) if held else np.empty(0, int)
    errors, told = search(systems, Y[number], rows[number], len(Y) <= TRY_ALL)
    best = int(np.argmin(errors)) if held else UNTOLD
    [(weight, system)] = problem.systems([np.empty(0, int)])
    solution = None
    while solution is None:
        # the largest penalty always has a solution; the matrix of all rows may be a little worse than those of parts
        solution, penalty = system.solve(PENALTIES[best]), float(PENALTIES[best])
        best -= 1
    coef = problem.coefficients(weight, solution)
    middle = ((rows / rows.sum()).astype(np.float32) @ problem.X).astype(np.float64)
    variance = problem.X.var(0, dtype=np.float64)
    return Ridge(columns, coef, system.mean - middle @ coef, variance, penalty, errors, number, told)


def parts_of(order: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Parts of the rows to hold out in turn, alike in `order`: class numbers or a target.

    Each row by itself up to 50 rows, else tenths up to 200 rows, else fifths, of which no more are given than hold
    enough rows together.
    """
    n = len(order)
    if n < 2:
        return []
    k = n if n <= 50 else 10 if n <= 200 else 5
    part = np.empty(n, int)
    part[np.lexsort((rng.random(n), order))] = np.arange(n) % k
    used = int(np.clip(np.ceil(ENOUGH * k / n), 1, k))
    return [np.flatnonzero(part == i) for i in range(used)]


def search(systems: list[System], Y: np.ndarray, rows: np.ndarray, everywhere: bool) -> tuple[np.ndarray, np.ndarray]:
    """Held-out errors at the penalties, and the held-out values at the best: of equal ones the largest penalty."""
    errors, told = np.full(len(PENALTIES), np.inf), np.zeros_like(Y)

    def judge(i: int) -> None:
        nonlocal told
        values = [system.held_out(PENALTIES[i]) for system in systems]
        if not values or any(value is None for value in values):
            return
        value = np.concatenate(values)
        error = float((rows @ (value - Y) ** 2).sum() / len(Y))
        if error < errors.min():
            told = value
        errors[i] = error

    if everywhere:
        for i in range(len(PENALTIES)):
            judge(i)
        return errors, told
    judge(START)
    for step in (-1, 1):
        i = START + step
        while 0 <= i < len(PENALTIES):
            judge(i)
            if errors[i] >= errors[i - step]:
                break
            i += step
        if i != START + step:
            break
    return errors, told
