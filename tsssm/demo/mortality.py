"""Death in hospital from the first 48 hours in intensive care: four models, one table, three pictures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, roc_auc_score

from tsssm.data import Panel
from tsssm.demo.baselines import gradient_boosting, logistic_regression
from tsssm.demo.page import Picture, Section, Table
from tsssm.estimators import SSMClassifier
from tsssm.plots import PrecisionRecallDisplay, RocDisplay, plot_channels, plot_events

VITALS = ("HR", "NISysABP", "Temp", "Urine", "Glucose")
Labelled = tuple[Panel, np.ndarray]


def models(members: int, jobs: int, random_state: int, epochs: int | None) -> Iterator[tuple[str, Any]]:
    """Give the models and what the table calls them."""
    options = {"n_jobs": jobs, "random_state": random_state, "epochs": epochs, "verbose": 1}
    yield f"S5, {count(members)}", SSMClassifier(members=members, **options)
    # two processes train two members in the time of one, and a third member would take that time again
    fewer = min(members, 2)
    yield f"GRU with gaps, {count(fewer)}", SSMClassifier(layer="gru", members=fewer, **options)
    yield "logistic regression on statistics", logistic_regression()
    yield "gradient boosting on statistics", gradient_boosting(random_state)


def count(members: int) -> str:
    """Say how many networks are averaged."""
    return f"{members} member{'s' * (members > 1)}"


def mortality(
    train: Labelled,
    test: Labelled,
    members: int = 3,
    jobs: int = 2,
    random_state: int = 0,
    epochs: int | None = None,
) -> Section:
    """Fit the models on one set of stays, judge them on another, and give the table and the pictures."""
    rows, scores = [], {}
    for name, model in models(members, jobs, random_state, epochs):
        print(f"  {name}", flush=True)
        start = time.perf_counter()
        model.fit(*train)
        seconds = time.perf_counter() - start
        scores[name] = model.predict_proba(test[0])[:, 1]
        areas = roc_auc_score(test[1], scores[name]), average_precision_score(test[1], scores[name])
        rows.append((name, *(f"{area:.3f}" for area in areas), f"{seconds:.1f}"))
    prevalence = float(np.mean(test[1]))
    rows.append(("share of deaths, the same for all", "0.500", f"{prevalence:.3f}", "0.0"))
    table = Table(("model", "AUROC", "AUPRC", "fit [s]"), rows)
    text = (
        f"{len(train[0]):,} stays to train on and {len(test[0]):,} others to judge by, of which {prevalence:.1%} ended "
        f"with death in hospital (PhysioNet challenge 2012). {len(train[0].channels)} variables are each measured at "
        f"times of their own; {1 - np.isfinite(test[0].values).mean():.0%} of the entries of the table of stamps and "
        "variables are empty, and the state space model and the GRU read it as it is. Each averages its members; the GRU "
        "has fewer, to save time here. One fit each: see the benchmarks for the spread over seeds, with equal members."
    )
    pictures = [
        Picture(draw_stay(test[0]), "One stay as it was observed: a line breaks where nothing was measured."),
        Picture(draw_events(test[0]), "When each variable of that stay was measured."),
        Picture(draw_curves(test[1], scores), "Both curves on the test stays; areas in brackets, dotted line: chance."),
    ]
    return Section("Death in hospital", text, [table], pictures)


def typical(panel: Panel) -> int:
    """Place of the first series that observed all of `VITALS` and is about as long as most."""
    seen = np.stack([np.isfinite(values[:, [panel.channels.index(v) for v in VITALS]]).sum(0) for _, values in panel])
    close = np.abs(panel.lengths - np.median(panel.lengths))
    return int(np.lexsort((close, -(seen >= 5).sum(1)))[0])


def draw_stay(panel: Panel) -> Figure:
    """Draw some variables of one stay over time."""
    figure, axes = plt.subplots(len(VITALS), 1, sharex=True, figsize=(8.4, 6.2), layout="constrained")
    plot_channels(panel, typical(panel), VITALS, axes=axes)
    axes[-1].set_xlabel("hours since admission")
    return figure


def draw_events(panel: Panel) -> Figure:
    """Draw the stamps of all variables of one stay."""
    figure, ax = plt.subplots(figsize=(8.4, 5.6), layout="constrained")
    plot_events(panel, typical(panel), ax=ax).set_xlabel("hours since admission")
    return figure


def draw_curves(y: np.ndarray, scores: dict[str, np.ndarray]) -> Figure:
    """Draw the two curves of all models side by side."""
    figure, axes = plt.subplots(1, 2, figsize=(10.4, 5.0), layout="constrained")
    RocDisplay.from_predictions(y, scores).plot(axes[0])
    PrecisionRecallDisplay.from_predictions(y, scores).plot(axes[1])
    return figure
