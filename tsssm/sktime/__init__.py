"""Estimators of sktime around the same models: forecaster, classifier, regressor, imputer and features.

They take sktime's containers and pass its checks. Installed with ``pip install tsssm[sktime]``.
"""

from tsssm.sktime.classifier import SSMClassifier
from tsssm.sktime.features import SSMFeatures
from tsssm.sktime.forecaster import SSMForecaster
from tsssm.sktime.frames import timed
from tsssm.sktime.imputer import SSMImputer
from tsssm.sktime.irregular import check_irregular
from tsssm.sktime.regressor import SSMRegressor
from tsssm.sktime.splitter import TailSplitter

__all__ = [
    "SSMClassifier",
    "SSMFeatures",
    "SSMForecaster",
    "SSMImputer",
    "SSMRegressor",
    "TailSplitter",
    "check_irregular",
    "timed",
]
