"""Estimators: the scikit-learn surface, one class a task."""

from tsssm.estimators.base import Estimator
from tsssm.estimators.classifier import SSMClassifier
from tsssm.estimators.regressor import SSMRegressor

__all__ = ["Estimator", "SSMClassifier", "SSMRegressor"]
