"""Calibration: decisions of one class against the rest become probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

# prior of the slope: its logarithm is normal around that of 2 with deviation 1. A decision of 1 against -1 is then
# e^4 : 1, and separable or very few decisions leave it finite. Biases are normal around 0 with deviation 1.
SLOPE = np.log(2.0)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Probabilities softmax(slope d + bias) of decisions d; for two classes of (0, slope d + bias).

    Parameters
    ----------
    slope : float
        Positive, so that a larger decision never makes a class less likely.
    bias : ndarray, (t,)

    Notes
    -----
    Fitted by the log loss on held-out decisions (Platt 1999 for two classes; temperature and biases after Guo et al.
    2017), with a mild normal prior on the biases and on the logarithm of the slope.

    Examples
    --------
    >>> import numpy as np
    >>> d = np.array([[-1.2], [-0.4], [0.3], [1.1]])
    >>> Calibration.fit(d, np.array([0, 0, 1, 1])).probability(d).round(2)[:, 1]
    array([0.01, 0.18, 0.77, 0.99])
    """

    slope: float
    bias: np.ndarray

    @classmethod
    def fit(cls, decisions: np.ndarray, number: np.ndarray, rows: np.ndarray | None = None) -> Calibration:
        """Fit to held-out decisions (n, t), t = 1 for two classes, class numbers (n,) and weights of the rows."""
        rows = np.ones(len(number)) if rows is None else rows
        told = np.zeros((len(number), max(2, decisions.shape[1])))
        told[np.arange(len(number)), number] = 1.0
        t = decisions.shape[1]

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            slope, bias = np.exp(theta[0]), theta[1:]
            logits = _logits(slope * decisions + bias)
            away = theta - start
            value = -rows @ log_softmax(logits, axis=1)[told > 0] + 0.5 * away @ away
            slack = rows[:, None] * (softmax(logits, axis=1) - told)[:, -t:]
            return value, away + np.r_[slope * (slack * decisions).sum(), slack.sum(0)]

        start = np.r_[SLOPE, np.zeros(t)]
        # a slope beyond e^8 is a step function; the bounds keep the line search from overflowing
        bounds = [(-8.0, 8.0)] + [(None, None)] * t
        theta = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12}).x
        return cls(float(np.exp(theta[0])), theta[1:])

    def logits(self, decisions: np.ndarray) -> np.ndarray:
        """Logits (n, t) of decisions (n, t): those of the second class against the first where t = 1."""
        return self.slope * decisions + self.bias

    def probability(self, decisions: np.ndarray) -> np.ndarray:
        """Probability of each class, (n, C)."""
        return softmax(_logits(self.logits(decisions)), axis=1)


def _logits(one_a_class: np.ndarray) -> np.ndarray:
    """Logits of all classes: the first of two has 0."""
    if one_a_class.shape[1] > 1:
        return one_a_class
    return np.concatenate([np.zeros_like(one_a_class), one_a_class], axis=1)
