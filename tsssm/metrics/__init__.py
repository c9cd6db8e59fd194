"""Metrics: how close generated series come to real ones."""

from tsssm.metrics.distances import (
    Memorisation,
    autocorrelation_distance,
    cross_correlation_distance,
    marginal_distance,
    memorisation,
)
from tsssm.metrics.fidelity import context_frechet_distance
from tsssm.metrics.pairs import minmax
from tsssm.metrics.timegan import Score, discriminative_score, predictive_score, predictive_score_multichannel

__all__ = [
    "Memorisation",
    "Score",
    "autocorrelation_distance",
    "context_frechet_distance",
    "cross_correlation_distance",
    "discriminative_score",
    "marginal_distance",
    "memorisation",
    "minmax",
    "predictive_score",
    "predictive_score_multichannel",
]
