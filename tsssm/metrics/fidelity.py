"""The Fréchet distance of real and generated series in a space of features."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsssm.data import Panel
from tsssm.estimators.features import SSMFeatures
from tsssm.metrics.pairs import pair_of

# directions of features compared: their covariance must be known well from some thousand series
DIRECTIONS = 32


def context_frechet_distance(real: Any, generated: Any, n_features: int = 500, random_state: int = 0) -> float:
    r"""Fréchet distance of the features of real and generated series, as normal laws: 0 where they agree.

    :math:`\left[|m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^{1/2})\right] / tr\, C_1` of means m and covariances C.

    Parameters
    ----------
    real, generated : Panel or array (n, l, c)
    n_features : int, default 500
        Of `SSMFeatures`, fitted to the real series.
    random_state : int, default 0

    Notes
    -----
    The form of Context-FID (Jeha et al., 2022, PSA-GAN), whose features come from a network trained on each data set, so
    that its numbers cannot be compared between studies; the features here are random oscillators that need no training, in
    the 32 directions in which those of the real series vary most, beside their variance there.

    Examples
    --------
    >>> import numpy as np
    >>> from tsssm.metrics import context_frechet_distance
    >>> waves = np.sin(np.arange(12) + np.arange(60)[:, None])
    >>> bool(context_frechet_distance(waves, waves) < 1e-6 < context_frechet_distance(waves, 2 * waves))
    True
    """
    x, y = pair_of(real, generated)
    features = SSMFeatures(n_features=n_features, random_state=random_state)
    u = features.fit_transform(Panel.from_array(x))
    v = features.transform(Panel.from_array(y))
    center = u.mean(0)
    _, size, directions = np.linalg.svd((u - center) / np.sqrt(len(u)), full_matrices=False)
    basis = directions[:DIRECTIONS].T
    scale = max(float(np.square(size[:DIRECTIONS]).sum()), np.finfo(float).tiny)
    return frechet((u - center) @ basis, (v - center) @ basis) / scale


def frechet(u: np.ndarray, v: np.ndarray) -> float:
    """Fréchet distance of points (n, d) and (m, d), as normal laws."""
    first, second = np.atleast_2d(np.cov(u.T)), np.atleast_2d(np.cov(v.T))
    # tr (C1 C2)^(1/2) is the sum of roots of eigenvalues of C1^(1/2) C2 C1^(1/2)
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    return float(np.square(u.mean(0) - v.mean(0)).sum() + np.trace(first) + np.trace(second) - 2 * shared)
