"""Plots: matplotlib functions that take `ax=` and return it, and displays in the manner of scikit-learn."""

from importlib.util import find_spec

from tsssm.errors import explain

if find_spec("matplotlib") is None:
    raise ImportError(explain("plots need matplotlib", "it is not installed", "Run pip install 'tsssm[plot]'"))

from tsssm.plots.curves import PrecisionRecallDisplay, RocDisplay
from tsssm.plots.features import FeatureReport, feature_report
from tsssm.plots.forecast import ForecastDisplay
from tsssm.plots.generation import plot_densities, plot_embedding
from tsssm.plots.imputation import ImputationDisplay
from tsssm.plots.paths import plot_paths
from tsssm.plots.series import plot_channels, plot_events, plot_interval, plot_series
from tsssm.plots.systems import plot_bode, plot_impulse_response, plot_poles

__all__ = [
    "FeatureReport",
    "ForecastDisplay",
    "ImputationDisplay",
    "PrecisionRecallDisplay",
    "RocDisplay",
    "feature_report",
    "plot_bode",
    "plot_channels",
    "plot_densities",
    "plot_embedding",
    "plot_events",
    "plot_impulse_response",
    "plot_interval",
    "plot_paths",
    "plot_poles",
    "plot_series",
]
