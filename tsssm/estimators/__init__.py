"""Estimators: the scikit-learn surface, one class a task."""

from tsssm.estimators.base import Estimator
from tsssm.estimators.classifier import SSMClassifier

__all__ = ["Estimator", "SSMClassifier"]
