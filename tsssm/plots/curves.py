"""Curves of several classifiers in one picture: receiver operating characteristic, and precision against recall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from tsssm.errors import explain
from tsssm.plots.axes import COLORS, GREY, new_axes, tidy


@dataclass(frozen=True, eq=False)
class RocDisplay:
    """True positive rate against false positive rate, one curve a model, with the areas in the legend.

    Parameters
    ----------
    curves : dict of str to (ndarray, ndarray)
        False and true positive rates of each model.
    areas : dict of str to float

    Examples
    --------
    >>> from tsssm.plots import RocDisplay
    >>> RocDisplay.from_predictions([0, 0, 1, 1], {"a model": [0.1, 0.4, 0.35, 0.8]}).areas
    {'a model': 0.75}
    """

    curves: dict[str, tuple[np.ndarray, np.ndarray]]
    areas: dict[str, float]

    @classmethod
    def from_predictions(cls, y: Any, scores: Mapping[str, Any]) -> RocDisplay:
        """Curves of scores or probabilities (n,) of the positive class, the larger label in y, of each model."""
        positive = _positive(y)
        curves = {name: roc_curve(positive, score)[:2] for name, score in scores.items()}
        return cls(curves, {name: float(roc_auc_score(positive, score)) for name, score in scores.items()})

    @classmethod
    def from_estimators(cls, estimators: Mapping[str, Any], X: Any, y: Any) -> RocDisplay:
        """Curves of fitted classifiers on the same data."""
        return cls.from_predictions(y, {name: each.predict_proba(X)[:, 1] for name, each in estimators.items()})

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, name: str | None = None) -> RocDisplay:
        """Curve of one fitted classifier."""
        return cls.from_estimators({name or type(estimator).__name__: estimator}, X, y)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the curves and the line of chance."""
        ax = new_axes(ax)
        ax.plot([0, 1], [0, 1], ":", color=GREY, lw=1)
        _draw(ax, self.curves, self.areas)
        ax.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
        return ax


@dataclass(frozen=True, eq=False)
class PrecisionRecallDisplay:
    """Precision against recall, one curve a model, with average precisions in the legend.

    Parameters
    ----------
    curves : dict of str to (ndarray, ndarray)
        Recall and precision of each model.
    areas : dict of str to float
        Average precisions.
    prevalence : float
        Share of the positive class: the precision of chance.

    Examples
    --------
    >>> from tsssm.plots import PrecisionRecallDisplay
    >>> PrecisionRecallDisplay.from_predictions([0, 0, 1, 1], {"a model": [0.1, 0.4, 0.35, 0.8]}).prevalence
    0.5
    """

    curves: dict[str, tuple[np.ndarray, np.ndarray]]
    areas: dict[str, float]
    prevalence: float

    @classmethod
    def from_predictions(cls, y: Any, scores: Mapping[str, Any]) -> PrecisionRecallDisplay:
        """Curves of scores or probabilities (n,) of the positive class, the larger label in y, of each model."""
        positive = _positive(y)
        curves = {name: precision_recall_curve(positive, score)[1::-1] for name, score in scores.items()}
        areas = {name: float(average_precision_score(positive, score)) for name, score in scores.items()}
        return cls(curves, areas, float(positive.mean()))

    @classmethod
    def from_estimators(cls, estimators: Mapping[str, Any], X: Any, y: Any) -> PrecisionRecallDisplay:
        """Curves of fitted classifiers on the same data."""
        return cls.from_predictions(y, {name: each.predict_proba(X)[:, 1] for name, each in estimators.items()})

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, name: str | None = None) -> PrecisionRecallDisplay:
        """Curve of one fitted classifier."""
        return cls.from_estimators({name or type(estimator).__name__: estimator}, X, y)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the curves and the line of chance."""
        ax = new_axes(ax)
        ax.axhline(self.prevalence, ls=":", color=GREY, lw=1)
        # precision jumps between thresholds; a straight line between two points would promise what none reaches
        _draw(ax, self.curves, self.areas, drawstyle="steps-post")
        ax.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02), aspect="equal")
        return ax


def _positive(y: Any) -> np.ndarray:
    y = np.asarray(y)
    classes = np.unique(y)
    if len(classes) != 2:
        came = f"{len(classes)} came: {classes[:5].tolist()}"
        raise ValueError(explain("y must have two classes", came, "Draw one class against the rest: pass y == label"))
    return y == classes[1]


def _draw(ax: Axes, curves: Mapping, areas: Mapping, drawstyle: str = "default") -> None:
    for i, (name, (x, y)) in enumerate(curves.items()):
        color = COLORS[i % len(COLORS)]
        ax.plot(x, y, color=color, lw=1.6, drawstyle=drawstyle, label=f"{name} ({areas[name]:.3f})")
    ax.legend(frameon=False, fontsize="small")
    tidy(ax)
