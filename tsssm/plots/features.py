"""What a ridge on random features decides by: channels, periods and windows of time, and ways of pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from sklearn.utils.validation import check_is_fitted

from tsssm.features.response import power
from tsssm.plots.axes import COLORS, GREY, UNITS, legend_above, tidy

# bars an octave of periods, and channels that have a colour of their own
BARS, MOST = 2, 6
STATIC, SUMMARY, REST, DRAWN = "static", "summary", "other channels", "share of the features"


@dataclass(frozen=True, eq=False)
class FeatureReport:
    """How much channels, windows and poolings decide in a fitted ridge estimator, and which periods they see.

    A column decides as much as its squared coefficients times its variance; what it shares with columns like it is not
    told apart. A feature of several channels counts for each of them in equal parts.

    Parameters
    ----------
    table : DataFrame
        A row a group: `by` ("channel", "window" or "pooling"), `group`, `share` of what all columns decide, and `drawn`,
        the share of the columns that are in the group. Windows go by octaves, in `unit`; statics and summary statistics
        have no window.
    periods : DataFrame
        A row a period in `unit`, a column a channel: the shares of the features, each spread over the periods by the
        power that its oscillators let through. The column "share of the features" spreads them all alike.
    unit : str
        Unit of time; empty for the user's own numbers.

    Examples
    --------
    >>> from tsssm import SSMRidgeClassifier
    >>> from tsssm.data.synthetic import noisy_sines
    >>> from tsssm.plots import feature_report
    >>> report = feature_report(SSMRidgeClassifier(400, random_state=0).fit(*noisy_sines(40, random_state=0)))
    >>> report.table.groupby("by")["share"].sum().round(6).tolist()
    [1.0, 1.0, 1.0]
    """

    table: pd.DataFrame
    periods: pd.DataFrame
    unit: str

    def plot(self, axes: Any = None) -> np.ndarray:
        """Draw shares over the period for each channel, and by pooling, beside the shares of the features drawn.

        Parameters
        ----------
        axes : sequence of two Axes, optional
            By default those of a new figure.

        Returns
        -------
        ndarray of Axes
        """
        if axes is None:
            axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", width_ratios=(2, 1))[1]
        self._draw_periods(axes[0])
        self._draw_poolings(axes[1])
        return np.asarray(axes)

    def _draw_periods(self, ax: Axes) -> None:
        edges = self.periods.index.to_numpy() * 2.0 ** (-0.5 / BARS)
        edges = np.append(edges, edges[-1] * 2.0 ** (1 / BARS))
        parts = self.periods.drop(columns=DRAWN)
        order = parts.sum().sort_values(ascending=False).index
        shown = parts[order[:MOST]]
        if len(order) > MOST:
            shown = shown.assign(**{REST: parts[order[MOST:]].sum(axis=1)})
        below = np.zeros(len(parts))
        for color, name in zip((*COLORS[:MOST], GREY), shown, strict=False):
            ax.bar(edges[:-1], shown[name], np.diff(edges), below, align="edge", color=color, lw=0, label=name)
            below += shown[name].to_numpy()
        ax.stairs(self.periods[DRAWN], edges, color="black", ls=":", lw=1.2, label=DRAWN)
        unit = f" [{self.unit}]" if self.unit else ""
        ax.set(xscale="log", xlabel=f"period{unit}", ylabel="share", xlim=(edges[0], edges[-1]))
        legend_above(ax)
        tidy(ax)

    def _draw_poolings(self, ax: Axes) -> None:
        rows = self.table[self.table["by"] == "pooling"]
        place = np.arange(len(rows))[::-1]
        ax.barh(place, rows["share"], color=COLORS[0], height=0.7)
        ax.plot(rows["drawn"], place, "|", color="black", ms=9, label=DRAWN)
        ax.set_yticks(place, rows["group"])
        ax.set_xlabel("share")
        legend_above(ax)
        tidy(ax)


def feature_report(estimator: Any) -> FeatureReport:
    """Sum up what decides in a fitted `SSMRidgeClassifier` or `SSMRidgeRegressor`.

    Raises
    ------
    NotFittedError
        Where the estimator is not fitted, or is of another kind.
    """
    check_is_fitted(estimator, ("features_", "covariates_", "ridge_"))
    features, share = estimator.features_, estimator.ridge_.shares()
    drawn, channel = features.table_, _channels(estimator)
    size, unit = _unit(drawn, estimator.clock_kind_)
    statics = estimator.covariates_.encoder.n_features
    rest = len(share) - len(drawn)
    octave = np.r_[np.floor(np.log2(drawn["window"] / size)), np.full(rest, np.inf)]
    windows = _grouped("window", octave, share).sort_values("group")
    windows["group"] = ["none" if np.isinf(n) else f"{2.0**n:.4g} to {2.0 ** (n + 1):.4g}" for n in windows["group"]]
    pooling = np.array([*drawn["pooling"], *[STATIC] * statics, *[SUMMARY] * (rest - statics)])
    table = pd.concat([_by_channel(channel, share), windows, _grouped("pooling", pooling, share)], ignore_index=True)
    numbered = channel.iloc[: len(drawn), : len(estimator.channels_)]
    return FeatureReport(table, _periods(features, share[: len(drawn)], numbered, size), unit)


def _channels(estimator: Any) -> pd.DataFrame:
    """Part of each channel in each column; statics are a channel of their own, the last, where there are any."""
    names, covariates = list(estimator.channels_), estimator.covariates_
    mixed = (estimator.features_.bank_.mix.numpy() != 0).T[estimator.features_.table_["group"].to_numpy()]
    mixed = mixed / np.maximum(mixed.sum(1, keepdims=True), 1)
    statics = covariates.encoder.n_features
    summary = np.repeat(np.eye(len(names)), len(covariates.center) // len(names), axis=0)
    parts = np.vstack([mixed, np.zeros((statics, len(names))), summary])
    table = pd.DataFrame(parts, columns=names)
    if statics:
        table[STATIC] = np.repeat([0.0, 1.0, 0.0], [len(mixed), statics, len(summary)])
    return table


def _periods(features: Any, share: np.ndarray, channel: pd.DataFrame, size: float) -> pd.DataFrame:
    """Shares of the features spread over periods by the power that each lets through."""
    drawn = features.table_
    first, last = np.log2(drawn["fastest"].min() / size), np.log2(2 * drawn["window"].max() / size)
    periods = 2.0 ** (np.arange(np.floor(first * BARS), np.ceil(last * BARS) + 1) / BARS)
    passed = power(features.bank_, periods * size / features.pace_.step)[:, drawn["readout"], drawn["group"]]
    passed /= np.maximum(passed.sum(0), np.finfo(float).tiny)
    table = pd.DataFrame((passed * share) @ channel.to_numpy(), columns=channel.columns)
    return table.assign(**{DRAWN: passed.mean(1) * share.sum()}).set_index(pd.Index(periods, name="period"))


def _unit(drawn: pd.DataFrame, kind: str) -> tuple[float, str]:
    """Length and name of the unit in which the windows read best; numbers have the user's own."""
    if kind not in ("datetime", "timedelta"):
        return 1.0, ""
    return next((size, name) for least, size, name in UNITS if drawn["window"].median() >= least)


def _by_channel(channel: pd.DataFrame, share: np.ndarray) -> pd.DataFrame:
    drawn = channel.mean().to_numpy()
    return pd.DataFrame(
        {"by": "channel", "group": channel.columns, "share": share @ channel.to_numpy(), "drawn": drawn}
    )


def _grouped(by: str, group: np.ndarray, share: np.ndarray) -> pd.DataFrame:
    """Shares and counts of groups, in the order in which they come."""
    sums = pd.Series(share).groupby(group, sort=False).agg(["sum", "size"])
    return pd.DataFrame({"by": by, "group": sums.index, "share": sums["sum"], "drawn": sums["size"] / len(share)})
