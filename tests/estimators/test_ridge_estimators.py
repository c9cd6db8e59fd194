"""Ridge classifier and regressor: what they learn, refuse and keep."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score

from tests.conformance.estimators import ragged
from tsssm import Panel, SSMRidgeClassifier, SSMRidgeRegressor
from tsssm.data.synthetic import decays, noisy_sines
from tsssm.estimators import feature_estimator

LABELS = np.array(["a", "b"] * 12)
SMALL = {"n_features": 400, "random_state": 0}


def test_classifier_learns_frequencies_from_irregular_noisy_series():
    panel, labels = noisy_sines(200, random_state=0)
    est = SSMRidgeClassifier(n_features=1600, random_state=0).fit(panel[:120], labels[:120])
    assert est.score(panel[120:], labels[120:]) >= 0.95
    assert log_loss(labels[120:], est.predict_proba(panel[120:])) < 0.2


def test_regressor_learns_half_lives():
    panel, half_lives = decays(200, random_state=0)
    target = np.log(half_lives)
    est = SSMRidgeRegressor(n_features=1600, random_state=0).fit(panel[:120], target[:120])
    assert est.score(panel[120:], target[120:]) >= 0.8


def test_regressor_with_several_targets_in_their_own_units():
    panel, half_lives = decays(60, random_state=0)
    both = np.c_[half_lives, 1e6 - 1e3 * half_lives]
    est = SSMRidgeRegressor(**SMALL).fit(panel, both)
    told = est.predict(panel)
    assert told.shape == (60, 2)
    np.testing.assert_allclose(told[:, 1], 1e6 - 1e3 * told[:, 0], rtol=1e-6)


def test_one_column_of_numbers_keeps_its_shape():
    panel, half_lives = decays(20, random_state=0)
    assert SSMRidgeRegressor(**SMALL).fit(panel, half_lives[:, None]).predict(panel).shape == (20, 1)


def test_constant_target():
    assert SSMRidgeRegressor(**SMALL).fit(ragged(), np.full(24, 7.0)).predict(ragged()) == pytest.approx(7.0)


@pytest.mark.parametrize("labels", [np.arange(24) % 3, np.array(["x", "y", "z"] * 8), np.arange(24) % 2 == 0])
def test_labels_of_any_type_and_decisions_that_agree(labels):
    panel = ragged()
    est = SSMRidgeClassifier(**SMALL).fit(panel, labels)
    told, decision, chance = est.predict(panel), est.decision_function(panel), est.predict_proba(panel)
    assert told.dtype == labels.dtype and (est.classes_ == np.unique(labels)).all()
    best = decision.argmax(1) if decision.ndim == 2 else (decision > 0).astype(int)
    assert (est.classes_[best] == told).all() and (est.classes_[chance.argmax(1)] == told).all()
    np.testing.assert_allclose(chance.sum(1), 1.0)


def test_every_series_its_own_class():
    est = SSMRidgeClassifier(**SMALL).fit(ragged(18), np.arange(18))
    assert np.isfinite(est.predict_proba(ragged(18))).all()


def test_two_series():
    panel = ragged(2)
    assert np.isfinite(SSMRidgeClassifier(**SMALL).fit(panel, [0, 1]).predict_proba(panel)).all()
    assert np.isfinite(SSMRidgeRegressor(**SMALL).fit(panel, [0.0, 1.0]).predict(panel)).all()


def test_class_weights_move_the_probabilities():
    panel, labels = ragged(40), np.arange(40) % 10 == 0
    plain, even = (
        SSMRidgeClassifier(class_weight=weight, **SMALL).fit(panel, labels).predict_proba(panel)[:, 1].mean()
        for weight in (None, "balanced")
    )
    assert plain == pytest.approx(0.1, abs=0.06) and even > plain + 0.1


@pytest.mark.parametrize("kind", [SSMRidgeClassifier, SSMRidgeRegressor])
def test_target_missing_and_predict_before_fit(kind):
    with pytest.raises(ValueError, match="requires y"):
        kind(**SMALL).fit(ragged())
    with pytest.raises(NotFittedError):
        kind().predict(ragged())


def test_bad_targets():
    with pytest.raises(ValueError, match="two classes"):
        SSMRidgeClassifier(**SMALL).fit(ragged(), ["a"] * 24)
    with pytest.raises(ValueError, match="inconsistent"):
        SSMRidgeClassifier(**SMALL).fit(ragged(), LABELS[:5])
    with pytest.raises(ValueError, match="NaN"):
        SSMRidgeRegressor(**SMALL).fit(ragged(), np.full(24, np.nan))


@pytest.mark.parametrize("setting", [{"n_features": 0}, {"n_features": 2.5}, {"class_weight": "even"}])
def test_bad_parameters(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        SSMRidgeClassifier(**setting).fit(ragged(), LABELS)


def test_nothing_observed():
    panel = ragged()
    with pytest.raises(ValueError, match="observed values"):
        SSMRidgeClassifier(**SMALL).fit(panel.with_values(panel.values * np.nan), LABELS)


def test_static_covariates_are_used():
    frame = ragged(60).to_frame()
    groups = np.array(["a", "b"] * 30)
    static = pd.DataFrame({"group": groups}, index=pd.Index(ragged(60).ids, name="id"))
    told = Panel.from_frame(frame, id="id", time="time", static=static)
    est = SSMRidgeClassifier(**SMALL).fit(told[:40], groups[:40])
    assert est.score(told[40:], groups[40:]) == 1.0


def test_huge_values_at_prediction_stay_finite():
    panel = ragged()
    est = SSMRidgeClassifier(**SMALL).fit(panel, LABELS)
    assert np.isfinite(est.predict_proba(panel.with_values(panel.values * 1e30))).all()


def test_many_series_are_read_in_pieces(monkeypatch):
    panel = ragged()
    est = SSMRidgeClassifier(**SMALL).fit(panel, LABELS)
    whole = est.predict_proba(panel)
    monkeypatch.setattr(feature_estimator, "AT_ONCE", 7)
    np.testing.assert_allclose(est.predict_proba(panel), whole, rtol=1e-5)


def test_through_scikit_learn():
    panel, labels = noisy_sines(60, random_state=0)
    est = SSMRidgeClassifier(**SMALL)
    assert cross_val_score(est, panel, labels, cv=3).mean() > 0.7
    fitted = clone(est).fit(panel, labels)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(panel), fitted.predict_proba(panel))
