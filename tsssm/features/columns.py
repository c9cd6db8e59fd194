"""Columns: features on one scale, without those that are constant, and without outliers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# where standardised values are cut off: one odd series must not bend a linear map of thousands of columns
LIMIT = 3.0


@dataclass(frozen=True, eq=False)
class Columns:
    """Standardises features: z = clip((x - center) * factor, -3, 3).

    Parameters
    ----------
    center : ndarray, (f,) float32
        Means of the training rows.
    factor : ndarray, (f,) float32
        1 / standard deviation, and 0 for a column that was constant.

    Examples
    --------
    >>> import numpy as np
    >>> Columns.fit(np.array([[1.0, 7.0], [3.0, 7.0]], np.float32)).transform(np.array([[2.5, 9.0]], np.float32))
    array([[0.5, 0. ]], dtype=float32)
    """

    center: np.ndarray
    factor: np.ndarray

    @classmethod
    def fit(cls, X: np.ndarray) -> Columns:
        """Learn from training rows (n, f)."""
        center = X.mean(0, dtype=np.float64)
        spread = np.sqrt(np.maximum(np.einsum("nf,nf->f", X, X, dtype=np.float64) / len(X) - center**2, 0.0))
        # the difference of squares keeps half of the digits of float64, a column of float32 itself seven
        varies = spread > 1e-6 * (np.abs(center) + 1e-3)
        factor = np.divide(1.0, spread, out=np.zeros_like(spread), where=varies)
        return cls(center.astype(np.float32), factor.astype(np.float32))

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Give the standardised rows, (n, f) float32."""
        Z = np.subtract(X, self.center, dtype=np.float32)
        Z *= self.factor
        return np.clip(Z, -LIMIT, LIMIT, out=Z)
