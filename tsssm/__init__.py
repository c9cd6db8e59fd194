"""State-space models for irregular, multivariate and ragged time series.

Importing this package loads neither torch nor pandas: a name is imported when it is first used.

Examples
--------
>>> import tsssm
>>> "Panel" in dir(tsssm)
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsssm import (
        data,
        datasets,
        diagnostics,
        dynamics,
        estimators,
        heads,
        io,
        layers,
        metrics,
        models,
        plots,
        sktime,
        training,
    )
    from tsssm.data import Panel, as_panel
    from tsssm.estimators import (
        KalmanForecaster,
        KoopmanForecaster,
        KoopmanVAE,
        LatentSDEForecaster,
        SSMClassifier,
        SSMFeatures,
        SSMForecaster,
        SSMImputer,
        SSMRegressor,
        SSMRidgeClassifier,
        SSMRidgeRegressor,
        SSMSequenceClassifier,
        SSMSequenceRegressor,
    )
    from tsssm.io import export
    from tsssm.layers.base import Recipe

__version__ = "0.1.0"

_HOMES = {
    "KalmanForecaster": "tsssm.estimators",
    "KoopmanForecaster": "tsssm.estimators",
    "KoopmanVAE": "tsssm.estimators",
    "LatentSDEForecaster": "tsssm.estimators",
    "Panel": "tsssm.data",
    "as_panel": "tsssm.data",
    "export": "tsssm.io",
    "Recipe": "tsssm.layers.base",
    "SSMClassifier": "tsssm.estimators",
    "SSMFeatures": "tsssm.estimators",
    "SSMForecaster": "tsssm.estimators",
    "SSMImputer": "tsssm.estimators",
    "SSMRegressor": "tsssm.estimators",
    "SSMRidgeClassifier": "tsssm.estimators",
    "SSMRidgeRegressor": "tsssm.estimators",
    "SSMSequenceClassifier": "tsssm.estimators",
    "SSMSequenceRegressor": "tsssm.estimators",
}
_SUBMODULES = (
    "data",
    "datasets",
    "diagnostics",
    "dynamics",
    "estimators",
    "heads",
    "io",
    "layers",
    "metrics",
    "models",
    "plots",
    "sktime",
    "training",
)

# A literal list, since type checkers and `from tsssm import *` read it; a test compares it with the table above.
__all__ = [
    "KalmanForecaster",
    "KoopmanForecaster",
    "KoopmanVAE",
    "LatentSDEForecaster",
    "Panel",
    "Recipe",
    "SSMClassifier",
    "SSMFeatures",
    "SSMForecaster",
    "SSMImputer",
    "SSMRegressor",
    "SSMRidgeClassifier",
    "SSMRidgeRegressor",
    "SSMSequenceClassifier",
    "SSMSequenceRegressor",
    "__version__",
    "as_panel",
    "data",
    "datasets",
    "diagnostics",
    "dynamics",
    "estimators",
    "export",
    "heads",
    "io",
    "layers",
    "metrics",
    "models",
    "plots",
    "sktime",
    "training",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    if name in _SUBMODULES:
        return import_module(f"tsssm.{name}")
    raise AttributeError(f"module 'tsssm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
