"""Pictures of generated series show what they say."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tsssm.plots import plot_densities, plot_embedding


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_an_embedding_puts_copies_on_top_and_others_elsewhere():
    x = np.random.default_rng(0).normal(size=(40, 6, 2))
    for method in ("pca", "tsne"):
        real, drawn = plot_embedding(x, x + 20, method).collections
        apart = np.linalg.norm(real.get_offsets().mean(0) - drawn.get_offsets().mean(0))
        assert len(real.get_offsets()) == 40
        assert method == "tsne" or apart > 2 * np.std(real.get_offsets())
    real, drawn = plot_embedding(x, x).collections
    np.testing.assert_allclose(real.get_offsets(), drawn.get_offsets())


def test_densities_integrate_to_one_and_lie_where_values_are():
    rng = np.random.default_rng(0)
    ax = plot_densities(rng.normal(size=(200, 5)), rng.normal(3, 1, size=(200, 5)))
    for line, mean in zip(ax.lines, (0, 3), strict=True):
        x, density = line.get_data()
        assert np.trapezoid(density, x) == pytest.approx(1, abs=0.02)
        assert np.trapezoid(x * density, x) == pytest.approx(mean, abs=0.15)
    constant = plot_densities(np.ones((10, 4)), rng.normal(size=(10, 4)))
    assert all(np.isfinite(line.get_ydata()).all() for line in constant.lines)


def test_what_is_not_there_is_refused():
    x = np.zeros((20, 5, 2))
    with pytest.raises(ValueError, match="`method` must be"):
        plot_embedding(x, x, "umap")
    with pytest.raises(ValueError, match="`channel` must be"):
        plot_densities(x, x)
