"""Small irregular panels with known truth, for tests, examples and first tries."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from tsssm.data.panel import Panel

Seed = int | np.random.RandomState | None


def noisy_sines(
    n: int = 60, frequencies: tuple[float, ...] = (0.5, 1.0), noise: float = 0.1, random_state: Seed = None
) -> tuple[Panel, np.ndarray]:
    """Give sines x(t) = sin(2 pi f t + phase) + noise at irregular times; the label says which frequency.

    Parameters
    ----------
    n : int
        Number of series; labels alternate, so that classes are balanced.
    frequencies : tuple of float
        One for each class, in cycles per unit of time.
    noise : float
        Standard deviation of the noise.
    random_state : int, RandomState or None
        Seed.

    Returns
    -------
    panel : Panel
        Series of 20 to 40 rows over 0 <= t < 10, one channel.
    labels : (n,) int64
        Index into `frequencies`.

    Examples
    --------
    >>> panel, labels = noisy_sines(4, random_state=0)
    >>> panel.shape, labels.tolist()
    ((4, 1), [0, 1, 0, 1])
    """
    rng = check_random_state(random_state)
    times, offsets = _irregular(n, 20, 40, 10.0, rng)
    labels = np.arange(n) % len(frequencies)
    owner = np.repeat(np.arange(n), np.diff(offsets))
    phase = rng.uniform(0.0, 2 * np.pi, n)
    clean = np.sin(2 * np.pi * np.asarray(frequencies)[labels[owner]] * times + phase[owner])
    values = (clean + noise * rng.standard_normal(len(times)))[:, None]
    return Panel(times, values, offsets, np.arange(n), ("x",)), labels


def damped_oscillators(n: int = 40, missing: float = 0.3, random_state: Seed = None) -> tuple[Panel, Panel]:
    """Give position and velocity of x'' = -w^2 x - 2 d x' at irregular times, and the same with nothing missing.

    Parameters
    ----------
    n : int
        Number of series.
    missing : float
        Share of the values that is not observed, each on its own.
    random_state : int, RandomState or None
        Seed.

    Returns
    -------
    panel, complete : Panel
        Series of 30 to 60 rows over 0 <= t < 10 with the channels `position` and `velocity`, and the static features
        `frequency` (w, 1 to 3 radians per unit of time) and `damping` (d, 0.05 to 0.4 per unit of time).

    Examples
    --------
    >>> panel, complete = damped_oscillators(3, random_state=0)
    >>> panel.channels
    ('position', 'velocity')
    """
    rng = check_random_state(random_state)
    times, offsets = _irregular(n, 30, 60, 10.0, rng)
    owner = np.repeat(np.arange(n), np.diff(offsets))
    static = pd.DataFrame({"frequency": rng.uniform(1.0, 3.0, n), "damping": rng.uniform(0.05, 0.4, n)})
    w, d = static["frequency"].to_numpy()[owner], static["damping"].to_numpy()[owner]
    phase = rng.uniform(0.0, 2 * np.pi, n)[owner]
    # Underdamped: x = exp(-d t) cos(v t + phase) with v^2 = w^2 - d^2.
    v = np.sqrt(w**2 - d**2)
    decay = np.exp(-d * times)
    position = decay * np.cos(v * times + phase)
    velocity = -d * position - v * decay * np.sin(v * times + phase)
    values = np.column_stack([position, velocity])
    complete = Panel(times, values, offsets, np.arange(n), ("position", "velocity"), static)
    return complete.with_values(np.where(rng.uniform(size=values.shape) < missing, np.nan, values)), complete


def decays(n: int = 60, noise: float = 0.02, random_state: Seed = None) -> tuple[Panel, np.ndarray]:
    """Give decays x(t) = 2^(-t / half-life) + noise at few irregular times; the target is the half-life.

    Parameters
    ----------
    n : int
        Number of series.
    noise : float
        Standard deviation of the noise.
    random_state : int, RandomState or None
        Seed.

    Returns
    -------
    panel : Panel
        Series of 8 to 20 rows over 0 <= t < 6, one channel.
    half_lives : (n,) float64
        From 0.5 to 4 units of time.

    Examples
    --------
    >>> panel, half_lives = decays(5, random_state=0)
    >>> half_lives.shape
    (5,)
    """
    rng = check_random_state(random_state)
    times, offsets = _irregular(n, 8, 20, 6.0, rng)
    half_lives = rng.uniform(0.5, 4.0, n)
    clean = np.exp2(-times / np.repeat(half_lives, np.diff(offsets)))
    values = (clean + noise * rng.standard_normal(len(times)))[:, None]
    return Panel(times, values, offsets, np.arange(n), ("x",)), half_lives


def tactile(n: int = 200, seconds: float = 20.0, channels: int = 8, random_state: Seed = None) -> tuple[Panel, Panel]:
    """Give what a skin feels of a body drawn over it, 50 times a second, and its velocity, 5 times a second.

    The velocity v drives a bristle p'' = w^2 (v - p) - 2 d w p' with w = 2 pi 6 Hz and d = 0.15, which sticks: h follows p
    with a play of 0.3. Channels mix p, p' / w and h, scaled by gains of each series, drift, and are noisy.

    Parameters
    ----------
    n : int
        Number of series.
    seconds : float
        Length of each.
    channels : int
        How many the skin has.
    random_state : int, RandomState or None
        Seed.

    Returns
    -------
    panel : Panel, (n, channels)
        Times in seconds, 0, 0.02, ...
    velocity : Panel, (n, 2)
        `v_x` and `v_y` at 0, 0.2, ..., of variance about 1.

    Examples
    --------
    >>> panel, velocity = tactile(2, seconds=4, random_state=0)
    >>> panel.lengths.tolist(), velocity.lengths.tolist()
    ([200, 200], [20, 20])
    """
    rng, gap, w, d = check_random_state(random_state), 0.02, 2 * np.pi * 6, 0.15
    length = round(seconds / gap)
    mixing = rng.standard_normal((6, channels)) / np.sqrt(6)
    # two lags of a quarter of a second, run in from before the start
    noise, keep = rng.standard_normal((100 + length, n, 2)), np.exp(-gap / 0.25)
    slow = np.zeros((2, n, 2))
    v, felt = np.empty((length, n, 2)), np.empty((length, n, 6))
    p = q = h = np.zeros((n, 2))
    for k, kick in enumerate(noise, start=-100):
        slow[0] = keep * slow[0] + np.sqrt(1 - keep**2) * kick
        slow[1] = keep * slow[1] + (1 - keep**2) / np.sqrt(1 + keep**2) * slow[0]
        # four steps of a semi-implicit rule a sample keep the bristle's energy to a per cent
        for _ in range(4):
            q = q + gap / 4 * (w**2 * (slow[1] - p) - 2 * d * w * q)
            p = p + gap / 4 * q
            h = np.clip(h, p - 0.3, p + 0.3)
        if k >= 0:
            v[k], felt[k] = slow[1], np.concatenate([p, q / w, h], 1)
    gains = np.exp(0.2 * rng.standard_normal((n, channels)))
    drift = np.cumsum(0.01 * rng.standard_normal((length, n, channels)), 0) + rng.standard_normal((n, channels))
    values = felt @ mixing * gains + drift + 0.05 * rng.standard_normal((length, n, channels))
    return _even(values, gap, [f"s{j}" for j in range(channels)]), _even(v[::10], 10 * gap, ["v_x", "v_y"])


def _even(values: np.ndarray, gap: float, channels: list[str]) -> Panel:
    """Give a panel of values (l, n, c) on one even clock."""
    length, n, c = values.shape
    times, offsets = np.tile(np.arange(length) * gap, n), np.arange(n + 1) * length
    return Panel(times, values.transpose(1, 0, 2).reshape(-1, c), offsets, np.arange(n), tuple(channels))


def _irregular(n: int, low: int, high: int, end: float, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Give increasing times in [0, end) of n series with `low` to `high` rows each, and offsets."""
    lengths = rng.randint(low, high + 1, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    owner = np.repeat(np.arange(n), lengths)
    times = rng.uniform(0.0, end, int(offsets[-1]))
    return times[np.lexsort((times, owner))], offsets
