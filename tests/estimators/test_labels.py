"""Classifier and regressors: what they learn, refuse and keep."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

from tests.conformance.estimators import QUICK, ragged
from tsssm import Panel, SSMClassifier, SSMRegressor, SSMRidgeClassifier, SSMSequenceRegressor
from tsssm.data.synthetic import decays, noisy_sines
from tsssm.errors import NonFiniteLossError
from tsssm.estimators.labels import some_of_each

LABELS = np.array(["a", "b"] * 12)


def test_classifier_learns_frequencies_from_irregular_noisy_series():
    panel, labels = noisy_sines(120, random_state=0)
    est = SSMClassifier(epochs=20, members=1, lr=0.01, dropout=0.1, random_state=0).fit(panel[:80], labels[:80])
    assert est.score(panel[80:], labels[80:]) >= 0.9


def test_regressor_learns_half_lives():
    panel, half_lives = decays(120, random_state=0)
    target = np.log(half_lives)
    est = SSMRegressor(epochs=20, members=1, lr=0.01, dropout=0.0, random_state=0).fit(panel[:80], target[:80])
    assert est.score(panel[80:], target[80:]) >= 0.7


def test_regressor_with_several_targets():
    panel, half_lives = decays(30, random_state=0)
    both = np.c_[half_lives, -half_lives]
    assert SSMRegressor(**QUICK).fit(panel, both).predict(panel).shape == (30, 2)


def test_sequence_regressor_learns_an_integral_over_true_gaps():
    rng = np.random.default_rng(0)
    series, integrals = [], []
    for _ in range(60):
        gaps, values = rng.exponential(1, 30), rng.normal(size=(30, 1))
        series.append((np.cumsum(gaps), values))
        integrals.append(np.cumsum(values * gaps[:, None], 0))
    panel = Panel.from_series(series)
    target = panel.with_values(np.concatenate(integrals), channels=["integral"])
    est = SSMSequenceRegressor(epochs=40, lr=0.01, dropout=0.0, depth=2, random_state=0).fit(panel[:50], target[:50])
    assert est.score(panel[50:], target[50:]) > 0.7
    assert est.predict(panel).channels == ("integral",)


def test_sequence_regressor_from_arrays():
    X = np.random.default_rng(0).normal(size=(10, 6))
    est = SSMSequenceRegressor(**QUICK)
    assert est.fit(X, X**2).predict(X).shape == (10, 6)
    assert est.fit(X, np.stack([X, -X], 2)).predict(X).shape == (10, 6, 2)
    with pytest.raises(ValueError, match="column for each row"):
        est.fit(X, X[:, :4])


def test_missing_targets_do_not_count():
    panel = ragged()
    values = panel.values[:, :1].copy()
    values[::2] = np.nan
    est = SSMSequenceRegressor(**QUICK).fit(panel, panel.with_values(values, channels=["y"]))
    assert np.isfinite(est.predict(panel).values).all()


@pytest.mark.parametrize("kind", [SSMClassifier, SSMRegressor, SSMSequenceRegressor])
def test_target_missing(kind):
    with pytest.raises(ValueError, match="requires y"):
        kind(**QUICK).fit(ragged())


@pytest.mark.parametrize("kind", [SSMClassifier, SSMRegressor, SSMSequenceRegressor])
def test_predict_before_fit(kind):
    with pytest.raises(NotFittedError):
        kind().predict(ragged())


def test_one_class():
    with pytest.raises(ValueError, match="two classes"):
        SSMClassifier(**QUICK).fit(ragged(), ["a"] * 24)


def test_class_weights_move_the_probabilities():
    panel = ragged()
    plain = SSMClassifier(**QUICK).fit(panel, LABELS).predict_proba(panel)[:, 0].mean()
    heavy = SSMClassifier(class_weight={"a": 50.0, "b": 1.0}, **QUICK).fit(panel, LABELS)
    assert heavy.predict_proba(panel)[:, 0].mean() > plain


def test_members_are_averaged():
    panel = ragged()
    est = SSMClassifier(**{**QUICK, "members": 3, "features": False}).fit(panel, LABELS)
    together = est.predict_proba(panel)
    models, apart = est.models_, []
    for model in models:
        est.models_ = [model]
        apart.append(est.predict_proba(panel))
    np.testing.assert_allclose(np.mean(apart, 0), together, rtol=1e-12)
    assert not np.allclose(apart[0], apart[1])


def test_probabilities_are_averaged_with_those_of_a_ridge_on_features():
    panel = ragged()
    both = SSMClassifier(**QUICK).fit(panel, LABELS)
    alone = SSMClassifier(**QUICK, features=False).fit(panel, LABELS)
    ridge = SSMRidgeClassifier(random_state=QUICK["random_state"]).fit(panel, LABELS)
    mean = np.sqrt(alone.predict_proba(panel) * ridge.predict_proba(panel))
    np.testing.assert_allclose(both.predict_proba(panel), mean / mean.sum(1, keepdims=True), rtol=1e-9)


def test_a_ridge_beside_many_series_sees_some_of_each_class():
    y = np.array(["a"] * 500 + ["b"])
    some = some_of_each(y, 20, np.random.RandomState(0))
    assert len(np.unique(some)) == 20 and 500 in some
    assert (some_of_each(y, 501, np.random.RandomState(0)) == np.arange(501)).all()


def test_whether_a_ridge_stands_beside_is_that_of_the_fit():
    panel = ragged()
    est = SSMClassifier(**QUICK).fit(panel, LABELS)
    before = est.predict_proba(panel)
    assert (est.set_params(features=False).predict_proba(panel) == before).all()
    assert est.fit(panel, LABELS).ridge_ is None


def test_warm_start_goes_on():
    panel = ragged()
    est = SSMClassifier(warm_start=True, **QUICK).fit(panel, LABELS)
    first = est.history_[0].train[0]
    scaling = est.scaling_
    est.set_params(epochs=30).fit(panel, LABELS)
    assert est.scaling_ is scaling
    assert est.fit(panel, LABELS).history_[0].train[0] < first
    with pytest.raises(ValueError, match="warm_start"):
        est.fit(panel, ["a", "c"] * 12)


def test_global_seed_is_untouched_and_does_not_matter():
    panel = ragged()
    torch.manual_seed(1)
    one = SSMClassifier(**QUICK).fit(panel, LABELS).predict_proba(panel)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))
    torch.manual_seed(2)
    assert np.array_equal(one, SSMClassifier(**QUICK).fit(panel, LABELS).predict_proba(panel))


def test_diverging_training_leaves_the_estimator_as_it_was():
    panel = ragged()
    est = SSMRegressor(**QUICK).fit(panel, np.arange(24.0))
    before = est.predict(panel)
    with torch.no_grad():
        for parameter in est.models_[0].parameters():
            parameter.fill_(1e30)
    broken = est.set_params(warm_start=True)
    with pytest.raises(NonFiniteLossError, match="Lower `lr`"):
        broken.fit(panel, np.arange(24.0))
    assert broken.history_ is est.history_ and before.shape == (24,)


@pytest.mark.parametrize("setting", [{"epochs": 0}, {"dropout": 1.0}, {"lr": -1}, {"members": 0}, {"d_model": 2.5}])
def test_bad_parameters(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        SSMClassifier(**{**QUICK, **setting}).fit(ragged(), LABELS)


def test_nothing_observed():
    panel = ragged()
    with pytest.raises(ValueError, match="observed values"):
        SSMClassifier(**QUICK).fit(panel.with_values(panel.values * np.nan), LABELS)


def test_channel_unseen_in_training_is_ignored():
    panel = ragged()
    values = panel.values.copy()
    values[:, 1] = np.nan
    est = SSMClassifier(**QUICK).fit(panel.with_values(values), LABELS)
    np.testing.assert_array_equal(est.predict_proba(panel), est.predict_proba(panel.with_values(values)))


def test_static_covariates_are_used():
    panel = ragged()
    frame = panel.to_frame()
    static = pd.DataFrame({"group": LABELS}, index=pd.Index(panel.ids, name="id"))
    told = Panel.from_frame(frame, id="id", time="time", static=static)
    est = SSMClassifier(**{**QUICK, "epochs": 40, "lr": 0.02, "dropout": 0.0}).fit(told, LABELS)
    assert est.score(told, LABELS) == 1.0


def test_huge_values_at_prediction_stay_finite():
    panel = ragged()
    est = SSMClassifier(**QUICK).fit(panel, LABELS)
    assert np.isfinite(est.predict_proba(panel.with_values(panel.values * 1e30))).all()


def test_long_series():
    rng = np.random.default_rng(0)
    panel = Panel.from_series([(np.cumsum(rng.exponential(1, 50_000)), rng.normal(size=50_000)) for _ in range(2)])
    est = SSMClassifier(**{**QUICK, "epochs": 1}).fit(panel, ["a", "b"])
    assert np.isfinite(est.predict_proba(panel)).all()
