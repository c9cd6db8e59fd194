"""Plain forecasts of ETTh1, linear maps of the past among them: what a layer has to beat."""

from __future__ import annotations

import numpy as np

from benchmarks.accuracy.windows import DAY, futures, origins, pasts

PLAIN = {
    "last": "last value",
    "seasonal": "same hour of the last day",
    "mean": "training mean",
    "linear": "linear map of 512 hours, ridge",
    "nlinear": "NLinear of 512 hours, ridge",
}
LENGTH = 512
PENALTIES = (1e1, 1e2, 1e3, 1e4, 1e5)


def forecast(row: str, values: np.ndarray, horizon: int) -> np.ndarray:
    """Give the forecasts of all windows of the test part, (windows, channels, horizon), of standardised values."""
    hours = origins("test", horizon)
    if row == "mean":
        return np.zeros((len(hours), values.shape[1], horizon))
    if row in ("linear", "nlinear"):
        return ridge(values, horizon, relative=row == "nlinear")
    past = pasts(values, hours, DAY if row == "seasonal" else 1)
    return np.tile(past, -(-horizon // past.shape[-1]))[..., :horizon]


def ridge(values: np.ndarray, horizon: int, relative: bool) -> np.ndarray:
    """Give the forecasts of one linear map for all channels, its penalty chosen on the validation part.

    Parameters
    ----------
    values : ndarray, (hours, channels)
    horizon : int
    relative : bool
        Whether past and future are differences from the last value, as in NLinear. Otherwise it is the class of maps
        that DLinear is in: its trend and season are both linear in the past.

    References
    ----------
    Zeng et al. 2023, Are Transformers Effective for Time Series Forecasting? (arXiv 2205.13504).
    """
    past, future, _ = flat(values, "train", horizon, relative)
    gram, cross = past.T @ past, past.T @ future
    size, basis = np.linalg.eigh(gram)
    turned = basis.T @ cross
    past, future, _ = flat(values, "valid", horizon, relative)
    maps = [basis @ (turned / (size + penalty)[:, None]) for penalty in PENALTIES]
    best = maps[int(np.argmin([np.mean((past @ each - future) ** 2) for each in maps]))]
    past, _, level = flat(values, "test", horizon, relative)
    return (past @ best + level).reshape(-1, values.shape[1], horizon)


def flat(values: np.ndarray, part: str, horizon: int, relative: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the past and future of all windows of all channels, and the levels they are differences from."""
    hours = origins(part, horizon)
    hours = hours[hours >= LENGTH - 1]
    past, future = pasts(values, hours, LENGTH), futures(values, hours, horizon)
    level = past[..., -1:] if relative else np.zeros((*past.shape[:2], 1))
    return tuple(each.reshape(-1, each.shape[-1]) for each in (past - level, future - level, level))
