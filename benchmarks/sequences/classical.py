"""Rows beside the models: the mean, ridge on the last inputs, a linear system, an inertial filter and its correction."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from scipy.linalg import lstsq, qr, svd
from scipy.spatial.transform import Rotation
from sklearn.linear_model import RidgeCV

from benchmarks.sequences.tasks import Problem, Sides, Task
from tsssm import SSMSequenceRegressor
from tsssm.data.rotations import RotationForm, nearest

ORDERS = range(1, 7)


def mean(problem: Problem, task: Task, seed: int = 0) -> np.ndarray:
    """The mean of the training targets, of rotations the nearest rotation to it."""
    y, rows = problem.train.y, problem.test.y.n_rows
    if task.rotation is None:
        return np.tile(np.nanmean(y.values, 0), (rows, 1))
    form = RotationForm.of(y.channels)
    middle = nearest(np.nanmean(form.matrices(y.values), 0)[None])
    return np.repeat(form.columns(middle), rows, 0)


def ridge(problem: Problem, task: Task, seed: int = 0) -> np.ndarray:
    """Ridge on the inputs of the last five chunks, each tenth of a chunk, the penalty chosen by leaving one out."""
    inputs = [lagged(side, task.chunk / 10, 50) for side in problem]
    model = RidgeCV(np.logspace(-3, 5, 9)).fit(inputs[0], problem.train.y.values)
    return model.predict(inputs[1]).reshape(len(inputs[1]), -1)


def lagged(side: Sides, gap: float, lags: int) -> np.ndarray:
    """Inputs at the rows of y and at `lags` - 1 times before, (m, lags c), the last known ones; the first ones before all."""
    parts = []
    for (times, values), (asked, _) in zip(side.X, side.y, strict=True):
        wish = asked[:, None] - gap * np.arange(lags)
        # rounding must not put a time before the row that it names
        row = np.searchsorted(times, wish + 1e-6 * gap, side="right") - 1
        parts.append(np.nan_to_num(values[row.clip(0)]).reshape(len(asked), -1))
    return np.concatenate(parts)


class Linear(NamedTuple):
    """x' = A x + B u, y = C x + D u + d with x of the first row, in discrete time."""

    A: np.ndarray
    B: np.ndarray
    C: np.ndarray
    D: np.ndarray
    first: np.ndarray
    offset: np.ndarray

    def simulate(self, u: np.ndarray) -> np.ndarray:
        """Outputs (l, t) of inputs (l, c)."""
        x, out = self.first, np.empty((len(u), len(self.C)))
        for k, row in enumerate(u):
            out[k] = self.C @ x + self.D @ row + self.offset
            x = self.A @ x + self.B @ row
        return out


def linear_system(u: np.ndarray, y: np.ndarray, order: int, horizon: int = 30) -> Linear:
    """Subspace identification with past inputs and outputs as instruments (PO-MOESP, Verhaegen 1994).

    A and C come from the row space of future outputs, B, D, the offset and the first state by least squares of the
    simulation, in which they are linear.
    """
    l, (c, t) = len(u), (u.shape[1], y.shape[1])

    def hankel(x: np.ndarray, start: int) -> np.ndarray:
        return np.concatenate([x[start + i : l - 2 * horizon + start + i + 1].T for i in range(horizon)])

    past = np.concatenate([hankel(u, 0), hankel(y, 0)])
    # a row of ones takes the offset away
    rows = np.concatenate([np.ones((1, past.shape[1])), hankel(u, horizon), past, hankel(y, horizon)])
    lower = qr(rows.T, mode="r", check_finite=False)[0][: len(rows)].T
    known = 1 + horizon * c
    left = svd(lower[known + len(past) :, known : known + len(past)])[0][:, :order]
    C = left[:t]
    A = lstsq(left[:-t], left[t:])[0]
    radius = np.abs(np.linalg.eigvals(A)).max()
    # an unstable estimate cannot be simulated over a record
    A = A * min(1.0, 0.999 / radius)
    regressors = _responses(A, C, u)
    solution = lstsq(regressors, y.reshape(-1))[0]
    B, first, D, offset = np.split(solution, np.cumsum([order * c, order, t * c]))
    return Linear(A, B.reshape(order, c), C, D.reshape(t, c), first, offset)


def _responses(A: np.ndarray, C: np.ndarray, u: np.ndarray) -> np.ndarray:
    """What outputs (l t, ...) become of a unit in each entry of B, of the first state, of D and of the offset."""
    (n, t), (l, c) = (len(A), len(C)), u.shape
    x, first = np.zeros((n, n * c)), np.eye(n)
    out = np.empty((l, t, n * c + n + t * c + t))
    for k in range(l):
        direct = np.kron(np.eye(t), u[k])
        out[k] = np.concatenate([C @ x, C @ first, direct, np.eye(t)], 1)
        x = A @ x + np.kron(np.eye(n), u[k])
        first = A @ first
    return out.reshape(l * t, -1)


def linear(problem: Problem, task: Task, seed: int = 0) -> np.ndarray:
    """The linear system whose order simulates the last third of the training record best, of its first 6,000 rows."""
    u, y = (side.values[:6_000].astype(float) for side in problem.train)
    cut = 2 * len(u) // 3

    def error(order: int) -> float:
        found = linear_system(u[:cut], y[:cut], order).simulate(u)
        return float(np.mean((found[cut:] - y[cut:]) ** 2))

    return linear_system(u, y, min(ORDERS, key=error)).simulate(problem.test.X.values.astype(float))


def filtered(side: Sides) -> tuple[np.ndarray, np.ndarray]:
    """VQF with magnetometer (Laidig and Seel 2023), default settings: matrices (m, 3, 3) and IMU (m, 9) at the rows of y."""
    found, inputs = [], []
    for (times, values), (asked, _) in zip(side.X, side.y, strict=True):
        acc, gyr, mag = (np.ascontiguousarray(part, dtype=np.float64) for part in np.split(values, 3, axis=1))
        vqf = import_module("vqf").VQF(float(times[1] - times[0]))
        rows = np.searchsorted(times, asked + 1e-6) - 1
        found.append(vqf.updateBatch(gyr, acc, mag)["quat9D"][rows])
        inputs.append(values[rows])
    return Rotation.from_quat(np.concatenate(found), scalar_first=True).as_matrix(), np.concatenate(inputs)


def inertial_filter(problem: Problem, task: Task, seed: int = 0) -> np.ndarray:
    """Orientation by the filter alone."""
    return RotationForm.of(problem.test.y.channels).columns(filtered(problem.test)[0])


def corrected(problem: Problem, task: Task, seed: int) -> np.ndarray:
    """The filter, and a rotation in the frame of the earth that S5 predicts from what the sensors feel in that frame.

    A target that is near the identity throughout is easier to learn than the orientation itself.
    """
    form, (train, test) = RotationForm.of(problem.train.y.channels), problem
    sides, matrices = [], []
    for side in (train, test):
        found, inputs = filtered(side)
        felt = np.einsum("mij,msj->msi", found, inputs.reshape(-1, 3, 3)).reshape(-1, 9)
        sides.append(side.y.with_values(felt, channels=side.X.channels))
        matrices.append(found)
    error = form.matrices(train.y.values) @ matrices[0].mT
    y = train.y.with_values(form.columns(error))
    model = SSMSequenceRegressor(rotation="6d", depth=2, context=512, batch_size=8, random_state=seed)
    turn = form.matrices(model.fit(sides[0], y).predict(sides[1], test.y).values)
    return form.columns(turn @ matrices[1])


CLASSICAL = {
    "mean": ("mean of training", mean),
    "ridge": ("ridge on the inputs of five chunks", ridge),
    "linear": ("linear state space, by subspaces", linear),
    "vqf": ("VQF, nine axes", inertial_filter),
    "corrected": ("VQF, corrected by S5", corrected),
}


def apply(row: str, name: str, task: Task) -> bool:
    """Whether a row has a meaning for a task, and its package is there."""
    if row == "mean":
        return True
    if row in ("vqf", "corrected"):
        return name == "orientation" and find_spec("vqf") is not None
    if row == "linear":
        return task.later is None
    return task.rotation is None and task.later is not None
