"""Pictures of generated series beside real ones: where they lie among each other, and their values."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import KernelDensity

from tsssm.data import as_panel
from tsssm.errors import explain
from tsssm.metrics.pairs import pair_of
from tsssm.plots.axes import COLORS, legend_above, new_axes, tidy

METHODS = ("pca", "tsne")
# series that are drawn, and values that a density is estimated from
MOST, VALUES = 1000, 2000


def plot_embedding(
    real: Any, generated: Any, method: str = "pca", ax: Axes | None = None, random_state: int = 0
) -> Axes:
    """Draw real and generated series as points of a plane: near each other where the series are alike.

    Parameters
    ----------
    real, generated : Panel or array (n, l, c)
        Series of equal length without gaps, channels scaled alike; up to 1,000 of each are drawn.
    method : {"pca", "tsne"}, default "pca"
        Principal components of the real series, onto which both are projected, or t-SNE of both together.
    ax : Axes, optional
    random_state : int, default 0

    Raises
    ------
    ValueError
        If the method is another, or the series do not fit each other.

    Notes
    -----
    Whole series are embedded. The pictures of TimeGAN are of the means of channels, in which errors of one channel against
    another do not show.

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm.plots import plot_embedding
    >>> rng = np.random.default_rng(0)
    >>> len(plot_embedding(rng.normal(size=(20, 5, 1)), rng.normal(size=(30, 5, 1))).collections)
    2
    """
    if method not in METHODS:
        must = "`method` must be 'pca' or 'tsne'"
        raise ValueError(explain(must, f"{method!r} came", "Pass one of them"))
    rng = np.random.default_rng(random_state)
    x, y = (_some(part.reshape(len(part), -1), MOST, rng) for part in pair_of(real, generated))
    if method == "pca":
        plane = PCA(2).fit(x)
        places = plane.transform(x), plane.transform(y)
    else:
        both = TSNE(perplexity=min(30, (len(x) + len(y)) / 4), random_state=random_state).fit_transform(np.r_[x, y])
        places = both[: len(x)], both[len(x) :]
    ax = new_axes(ax)
    for points, color, label in zip(places, COLORS, ("real", "generated"), strict=False):
        ax.scatter(*points.T, s=6, color=color, alpha=0.4, linewidths=0, label=label)
    ax.set(xlabel=f"{method} 1", ylabel=f"{method} 2")
    legend_above(ax)
    return tidy(ax)


def plot_densities(real: Any, generated: Any, channel: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the density of the values of a channel, of real and of generated series.

    Parameters
    ----------
    real, generated : Panel or what `as_panel` takes
        Of any lengths; what is missing is left out.
    channel : str, optional
        By default the only one.
    ax : Axes, optional

    Raises
    ------
    ValueError
        If there is no such channel, or nothing was observed in it.

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm.plots import plot_densities
    >>> rng = np.random.default_rng(0)
    >>> len(plot_densities(rng.normal(size=(20, 5)), rng.normal(size=(30, 5))).lines)
    2
    """
    panels = [as_panel(real), as_panel(generated)]
    names = panels[0].channels
    if channel is None and len(names) == 1:
        channel = names[0]
    if channel not in names or channel not in panels[1].channels:
        came = f"{channel!r} came, and there are {', '.join(names[:6])}"
        raise ValueError(explain("`channel` must be one of both panels", came, "Name one of them"))
    found = []
    for panel, name in zip(panels, ("real", "generated"), strict=True):
        values = panel.select(channel).values[:, 0]
        found.append(values[np.isfinite(values)])
        if not len(found[-1]):
            raise ValueError(
                explain("there must be values to draw", f"`{name}` has none in {channel!r}", "Name another")
            )
    ax = new_axes(ax)
    rng, at = np.random.default_rng(0), _range(np.concatenate(found))
    for values, color, label in zip(found, COLORS, ("real", "generated"), strict=False):
        # Silverman's rule, with the smaller of both spreads as heavy tails widen one of them
        spread = min(values.std(), np.subtract(*np.quantile(values, [0.75, 0.25])) / 1.349) or values.std() or 1.0
        width = max(0.9 * spread * len(values) ** -0.2, 1e-3 * float(np.ptp(at)))
        density = KernelDensity(bandwidth=width).fit(_some(values, VALUES, rng)[:, None])
        ax.plot(at, np.exp(density.score_samples(at[:, None])), color=color, label=label)
    ax.set(xlabel=channel, ylabel="density")
    legend_above(ax)
    return tidy(ax)


def _some(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= most else rows[rng.choice(len(rows), most, replace=False)]


def _range(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    edge = 0.05 * (high - low) or 1.0
    return np.linspace(low - edge, high + edge, 200)
