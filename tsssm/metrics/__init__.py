"""Metrics: how close generated series come to real ones."""

from tsssm.metrics.pairs import minmax
from tsssm.metrics.timegan import Score, discriminative_score, predictive_score, predictive_score_multichannel

__all__ = ["Score", "discriminative_score", "minmax", "predictive_score", "predictive_score_multichannel"]
