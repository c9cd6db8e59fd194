"""Comparison of models over many data sets: mean ranks with their critical difference, and wins, ties, losses."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata, studentized_range

# Accuracies of the same count of right answers may differ in the last bits after averages over seeds.
SAME = 1e-9


def mean_ranks(scores: np.ndarray) -> np.ndarray:
    """Give the rank of each model, 1 for the best, averaged over data sets; equal scores share their ranks.

    Parameters
    ----------
    scores : (sets, k) ndarray
        Higher is better.

    Examples
    --------
    >>> mean_ranks(np.array([[0.9, 0.8, 0.8], [0.5, 0.7, 0.6]]))
    array([2.  , 1.75, 2.25])
    """
    return rankdata(-np.round(scores / SAME), axis=1).mean(axis=0)


def critical_difference(k: int, n_sets: int, alpha: float = 0.05) -> float:
    """Give the difference of mean ranks beyond which two of k models differ, by Nemenyi's test.

    q sqrt(k (k + 1) / (6 N)), where q is the quantile of the studentized range of k normal variables with infinitely
    many degrees of freedom, over sqrt(2) (Demsar 2006, section 3.2.2).

    Examples
    --------
    >>> round(critical_difference(4, 14), 2)
    1.25
    """
    q = studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(k * (k + 1) / (6 * n_sets)))


def wins_ties_losses(scores: np.ndarray, peer: np.ndarray) -> tuple[int, int, int]:
    """Count the sets on which a model is better than, equal to and worse than a peer, (sets,) both."""
    difference = scores - peer
    better, worse = int((difference > SAME).sum()), int((difference < -SAME).sum())
    return better, len(difference) - better - worse, worse
