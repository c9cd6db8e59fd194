"""SSMSequenceClassifier: labels of every form, on the rows of X and on rows of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.conformance.estimators import QUICK, ragged
from tsssm import Panel, SSMSequenceClassifier

NAMES = np.array(["down", "up"])


def noisy(n: int, random_state: int = 0) -> tuple[Panel, pd.DataFrame]:
    """Noisy levels that switch now and then, and at other, fewer times a table of which level rules."""
    rng, series, tables = np.random.default_rng(random_state), [], []
    for i in range(n):
        times = np.cumsum(rng.exponential(1, 60))
        switch = np.sort(rng.uniform(0, times[-1], 3))
        level = np.searchsorted(switch, times) % 2
        series.append((times, (2 * level - 1 + 0.3 * rng.normal(size=60))[:, None]))
        asked = np.sort(rng.uniform(times[2], times[-1], 15))
        row = np.searchsorted(times, asked, side="right") - 1
        tables.append(pd.DataFrame({"id": i, "time": asked, "level": NAMES[level[row]]}))
    return Panel.from_series(series), pd.concat(tables)


def test_the_level_is_told_at_other_times_than_the_inputs():
    panel, table = noisy(40)
    est = SSMSequenceClassifier(epochs=12, lr=0.01, d_model=16, depth=1, random_state=0)
    est.fit(panel[:30], table[table["id"] < 30])
    rest = table[table["id"] >= 30]
    assert est.classes_.tolist() == ["down", "up"] and not est.on_rows_
    assert est.score(panel[30:], rest) > 0.95
    found = est.predict(panel[30:], rest)
    assert found.columns.tolist() == ["id", "time", "level"]
    assert np.mean(found["level"].to_numpy() == rest["level"].to_numpy()) == est.score(panel[30:], rest)
    assert est.predict_proba(panel[30:], rest).channels == ("level[down]", "level[up]")


def test_labels_in_every_form_say_the_same():
    panel = ragged(12)
    number = (np.nan_to_num(panel.values[:, 0]) > 0).astype(int)
    table = panel.to_frame()[["id", "time"]].assign(y=number)
    settings = {**QUICK, "epochs": 3}
    one = SSMSequenceClassifier(**settings).fit(panel, panel.with_values(number.astype(float), ["y"]))
    two = SSMSequenceClassifier(**settings).fit(panel, table)
    three = SSMSequenceClassifier(target="y", **settings).fit(
        Panel.from_frame(panel.to_frame().assign(y=number), "id", "time")
    )
    truth = one.predict_proba(panel)
    assert one.on_rows_ and two.on_rows_ and one.classes_.tolist() == [0, 1]
    assert two.predict_proba(panel).values == pytest.approx(truth.values, abs=0)
    assert three.predict_proba(panel).values == pytest.approx(truth.values, abs=0)
    assert truth.values.sum(1) == pytest.approx(1)
    assert one.score(panel, table) == one.score(panel, panel.with_values(number.astype(float), ["y"]))


def test_arrays_and_missing_labels():
    X = np.random.default_rng(0).normal(size=(10, 6))
    y = np.where(X > 0, "up", "down").astype(object)
    y[0, 0] = None
    est = SSMSequenceClassifier(**QUICK).fit(X, y)
    assert est.predict(X).shape == (10, 6) and est.predict_proba(X).shape == (10, 6, 2)
    assert set(est.predict(X).ravel()) <= {"up", "down"}
    assert est.score(X, y) == pytest.approx(np.mean((est.predict(X) == y).ravel()[1:]))
    with pytest.raises(ValueError, match="column for each row"):
        est.fit(X, y[:, :4])


def test_streams_classify_as_the_batch_does():
    panel = ragged(12)
    between = Panel.from_series([(t[:-1] + 0.02, np.arange(len(t) - 1)[:, None] % 3.0) for t, _ in panel])
    est = SSMSequenceClassifier(**{**QUICK, "members": 2}).fit(panel, between)
    ((times, values),) = ragged(1, 3)[0]
    stream = est.stream()
    for k in range(len(times)):
        asked = times[k] + np.array([0.0, 0.5])
        truth = est.predict_proba(Panel.from_series([(times[: k + 1], values[: k + 1])]), asked).values
        stream.update(times[k], values[k])
        assert stream.predict_proba(at=asked) == pytest.approx(truth, abs=1e-5)
        assert stream.predict() == est.classes_[truth[0].argmax()]


def test_class_weights_move_the_probabilities():
    panel = ragged(12)
    y = panel.with_values(np.arange(panel.n_rows) % 2.0, ["y"])
    plain = SSMSequenceClassifier(**QUICK).fit(panel, y).predict_proba(panel).values[:, 0]
    heavy = SSMSequenceClassifier(class_weight={0: 50.0, 1: 1.0}, **QUICK).fit(panel, y)
    assert heavy.predict_proba(panel).values[:, 0].mean() > plain.mean()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (lambda p: None, "requires y"),
        (lambda p: p.with_values(np.zeros(p.n_rows), ["y"]), "two classes"),
        (lambda p: p.with_values(np.full(p.n_rows, np.nan), ["y"]), "must have labels"),
        (lambda p: p, "one column"),
        (lambda p: p.with_values(np.arange(p.n_rows) / 7, ["y"]), "label type"),
    ],
)
def test_labels_that_do_not_fit_are_refused(y, message):
    panel = ragged(12)
    with pytest.raises(ValueError, match=message):
        SSMSequenceClassifier(**QUICK).fit(panel, y(panel))
