"""Estimators: the scikit-learn surface, one class a task."""

from tsssm.estimators.base import Estimator
from tsssm.estimators.classifier import SSMClassifier
from tsssm.estimators.door import PanelEstimator
from tsssm.estimators.features import SSMFeatures
from tsssm.estimators.forecaster import SSMForecaster
from tsssm.estimators.imputer import SSMImputer
from tsssm.estimators.kalman_forecaster import KalmanForecaster
from tsssm.estimators.koopman_forecaster import KoopmanForecaster
from tsssm.estimators.koopman_vae import KoopmanVAE
from tsssm.estimators.latent_sde_forecaster import LatentSDEForecaster
from tsssm.estimators.model_forecaster import ModelForecaster
from tsssm.estimators.regressor import SSMRegressor
from tsssm.estimators.ridge_classifier import SSMRidgeClassifier
from tsssm.estimators.ridge_regressor import SSMRidgeRegressor
from tsssm.estimators.sequence_classifier import SSMSequenceClassifier
from tsssm.estimators.sequence_regressor import SSMSequenceRegressor

__all__ = [
    "Estimator",
    "KalmanForecaster",
    "KoopmanForecaster",
    "KoopmanVAE",
    "LatentSDEForecaster",
    "ModelForecaster",
    "PanelEstimator",
    "SSMClassifier",
    "SSMFeatures",
    "SSMForecaster",
    "SSMImputer",
    "SSMRegressor",
    "SSMRidgeClassifier",
    "SSMRidgeRegressor",
    "SSMSequenceClassifier",
    "SSMSequenceRegressor",
]
