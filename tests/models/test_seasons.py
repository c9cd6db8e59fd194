"""What was seen whole periods before: beside plain loops, and never from later than was shown."""

from __future__ import annotations

import numpy as np
import torch

from tsssm.grid import Grid
from tsssm.models.seasons import NEAR_GAPS, NEAR_SHARE, Shown, seasons

PERIOD = 5.0


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, Grid]:
    """Two rows of two series each: irregular rows shown, with rows asked in between, for which time goes on and back."""
    rng = np.random.default_rng(seed)
    dt, reset, active = [], [], []
    for _ in range(2):
        gaps: list[float] = []
        for _ in range(2):
            times, kinds, t = [], [], 1.0
            for _ in range(14):
                t += rng.uniform(0.3, 1.8)
                times.append(t)
                kinds.append(True)
                if rng.random() < 0.3:
                    times += [t + 2.0, t + 7.5]
                    kinds += [False, False]
            own = np.diff(times, prepend=times[0] - 1.0)
            gaps += own.tolist()
            reset += [True] + [False] * (len(times) - 1)
            active += kinds
        dt.append(gaps)
    width = max(map(len, dt))
    whole = torch.zeros(2, width, dtype=torch.float64)
    masks = torch.zeros(3, 2, width, dtype=torch.bool)
    place = 0
    for i, gaps in enumerate(dt):
        n = len(gaps)
        whole[i, :n] = torch.tensor(gaps)
        masks[0, i, :n] = True
        masks[1, i, :n] = torch.tensor(reset[place : place + n])
        masks[2, i, :n] = torch.tensor(active[place : place + n])
        place += n
    grid = Grid(whole, *masks)
    observed = masks[2].unsqueeze(-1) & torch.from_numpy(rng.random((2, width, 2)) < 0.8)
    values = torch.from_numpy(rng.normal(size=(2, width, 2))) * observed + 0.0
    return values, observed, grid


def plainly(values: np.ndarray, observed: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The same by loops: interpolation among the rows shown so far, and means over them."""
    out, known = np.zeros((*values.shape, 4)), np.zeros((*values.shape, 4), dtype=bool)
    time = grid.dt.numpy().cumsum(1)
    near = max(NEAR_GAPS, NEAR_SHARE * PERIOD)
    for i, row, channel in np.ndindex(*values.shape):
        start = np.flatnonzero(grid.reset[i, : row + 1].numpy())[-1]
        rows = np.arange(start, row + 1)
        rows = rows[observed[i, start : row + 1, channel]]
        if not len(rows):
            continue
        t, x, last = time[i, rows], values[i, rows, channel], time[i, rows[-1]]
        back = max(1, np.ceil((time[i, row] - last - 0.5) / PERIOD)) * PERIOD
        for k in (0, 1):
            at = time[i, row] - back - k * PERIOD
            if at >= t[0]:
                out[i, row, channel, k] = np.interp(at, t, x)
                known[i, row, channel, k] = np.abs(t - at).min() <= near
            begin, end = last - (k + 1) * PERIOD + 0.5, last - k * PERIOD + 0.5 * (k > 0)
            inside = (t > begin) & (t <= end)
            if begin >= t[0] and inside.any():
                out[i, row, channel, 2 + k], known[i, row, channel, 2 + k] = x[inside].mean(), True
    return np.where(known, out, 0.0), known


def test_equals_loops():
    values, observed, grid = batch()
    found = seasons(Shown(values, observed, grid), PERIOD)
    truth, known = plainly(values.numpy(), observed.numpy(), grid)
    valid = grid.valid.numpy()
    np.testing.assert_array_equal(found.known.numpy()[valid], known[valid])
    np.testing.assert_allclose(found.values.numpy()[valid], truth[valid], atol=1e-9)
    assert known[valid].mean() > 0.2 and (~known[valid]).mean() > 0.2


def test_nothing_comes_from_later_rows():
    values, observed, grid = batch(1)
    first = seasons(Shown(values, observed, grid), PERIOD).values
    cut = 12
    later = values.clone()
    later[:, cut:] += 100.0 * observed[:, cut:]
    torch.testing.assert_close(seasons(Shown(later, observed, grid), PERIOD).values[:, :cut], first[:, :cut])
    assert not torch.allclose(seasons(Shown(later, observed, grid), PERIOD).values[:, cut:], first[:, cut:])


def test_a_wild_series_leaves_its_neighbour_alone():
    values, observed, grid = batch(2)
    wild = values.clone()
    second = int(torch.nonzero(grid.reset[0])[1])
    wild[0, :second] = torch.where(observed[0, :second], 1e30, 0.0)
    first, other = (seasons(Shown(x, observed, grid), PERIOD).values[0, second:] for x in (values, wild))
    torch.testing.assert_close(other, first, rtol=1e-6, atol=1e-6)


def test_months_of_leap_years_are_those_of_a_year_ago():
    """In days, with 365.2425 days a year; the mean over a year holds twelve months."""
    days = np.array("2018-01", "M8[M]") + np.arange(49)
    time = days.astype("M8[D]").astype(float)
    gap, month = torch.tensor(np.diff(time, prepend=time[0] - 30) / 30.4369), np.arange(49) % 12
    grid = Grid.from_gaps(gap.unsqueeze(0))
    values = torch.tensor(month + 100.0 * (np.arange(49) // 12)).view(1, -1, 1)
    found = seasons(Shown(values, torch.ones_like(values, dtype=torch.bool), grid), 365.2425 / 30.4369).values[
        0, 24:, 0
    ]
    np.testing.assert_allclose(found[:, 0], values[0, 12:-12, 0], atol=3.5)
    np.testing.assert_allclose(found[:, 2], [values[0, i - 11 : i + 1, 0].mean() for i in range(24, 49)])
