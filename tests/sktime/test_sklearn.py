"""The same objects inside scikit-learn's searches, pipelines and ensembles."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline

from tsssm.layers import S5, Recipe
from tsssm.sktime import SSMClassifier, SSMFeatures, SSMImputer, SSMRegressor

SMALL = {"d_model": 4, "epochs": 3, "members": 1, "random_state": 0}


@pytest.fixture(scope="module")
def waves() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(24) % 2
    phase = rng.uniform(0, 6, (24, 1))
    X = np.sin((0.5 + y[:, None]) * np.arange(20) + phase) + 0.1 * rng.normal(size=(24, 20))
    X[::3, 5] = np.nan
    return X[:, None], np.array(["slow", "fast"])[y]


def test_cross_validation(waves):
    X, y = waves
    assert cross_val_score(SSMClassifier(features=False, **SMALL), X, y, cv=3).shape == (3,)
    proba = cross_val_predict(SSMClassifier(features=False, **SMALL), X, y, cv=3, method="predict_proba")
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-6)
    assert np.isfinite(cross_val_score(SSMRegressor(**SMALL), X, np.nanmean(X, (1, 2)), cv=3)).all()


def test_grid_search_reaches_the_layer(waves):
    X, y = waves
    model = SSMClassifier(layer=Recipe(S5, d_state=4, blocks=1), features=False, **SMALL)
    search = GridSearchCV(model, {"layer__d_state": [2, 4], "lr": [0.01]}, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_["layer__d_state"] in (2, 4)
    assert model.layer.get_params()["d_state"] == 4
    assert search.predict(X).shape == y.shape


def test_pipelines(waves):
    X, y = waves
    short = {"d_model": 4, "depth": 1, "epochs": 1, "random_state": 0}
    chain = make_pipeline(SSMImputer(**short), SSMFeatures(160, random_state=0), RidgeClassifier())
    assert chain.fit(X, y).score(X, y) > 0.9
    search = GridSearchCV(chain, {"ssmfeatures__n_features": [80, 160]}, cv=2, error_score="raise").fit(X, y)
    assert search.best_estimator_.predict(X).shape == y.shape


def test_voting(waves):
    X, y = waves
    models = [(str(k), SSMClassifier(features=False, **{**SMALL, "random_state": k})) for k in range(2)]
    vote = VotingClassifier(models, voting="soft").fit(X, y)
    np.testing.assert_allclose(
        vote.predict_proba(X), np.mean([model.predict_proba(X) for model in vote.estimators_], axis=0)
    )
