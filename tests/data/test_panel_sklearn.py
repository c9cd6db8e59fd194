"""A panel passes unharmed through scikit-learn's own machinery."""

from __future__ import annotations

import io

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    train_test_split,
)
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import resample, shuffle

from tsssm.data.panel import Panel, as_panel
from tsssm.data.synthetic import damped_oscillators, noisy_sines


def speed(panel: Panel) -> np.ndarray:
    """Mean absolute slope of each series: tells fast sines from slow ones, and only if times are intact."""
    return np.array([np.abs(np.diff(x[:, 0]) / (np.diff(t) + 0.05)).mean() for t, x in panel])


class SpeedClassifier(ClassifierMixin, BaseEstimator):
    """Nearest mean of log speed; refuses anything but a panel."""

    def __init__(self, shift=0.0, example=None):
        self.shift = shift
        self.example = example

    def fit(self, X, y):
        assert isinstance(X, Panel) and len(X) == len(y)
        self.classes_ = np.unique(y)
        self.centers_ = np.array([np.log(speed(X))[np.asarray(y) == k].mean() for k in self.classes_]) + self.shift
        return self

    def predict_proba(self, X):
        assert isinstance(X, Panel)
        logits = -8.0 * np.abs(np.log(speed(X))[:, None] - self.centers_)
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Doubler(TransformerMixin, BaseEstimator):
    """Panel to panel."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X.with_values(2.0 * X.values)


class Speeds(TransformerMixin, BaseEstimator):
    """Panel to matrix."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return speed(X)[:, None]


@pytest.fixture(scope="module")
def data():
    return noisy_sines(60, (0.2, 1.0), noise=0.01, random_state=0)


def test_train_test_split_shuffle_and_resample_keep_series_whole(data):
    panel, labels = data
    for parts in (train_test_split(panel, labels, stratify=labels, random_state=0), shuffle(panel, labels)):
        for part, names in ((parts[0], parts[-2] if len(parts) == 4 else parts[1]),):
            assert isinstance(part, Panel) and np.array_equal(part.ids % 2, names)
            for (times, values), i in zip(part, part.ids, strict=True):
                assert np.array_equal(times, panel[int(i)].times) and np.array_equal(values, panel[int(i)].values)
    assert len(resample(panel, n_samples=100, random_state=0)) == 100


def test_indexing_agrees_with_a_list_of_series():
    panel, _ = damped_oscillators(7, random_state=0)
    series = list(panel)
    mask = np.array([True, False, True, False, False, True, True])
    keys = [2, -1, np.int64(3), slice(2, 5), slice(None, None, -2), slice(5, 2), mask, mask.tolist(), [3, 3, 0], []]
    for key in [*keys, np.array([-1, 2]), (np.array([4, 1]), ...), (slice(1, 3), slice(None))]:
        first = key[0] if isinstance(key, tuple) else key
        chosen = np.atleast_1d(
            np.arange(7)[np.array(first, dtype=int) if isinstance(first, list) and not first else first]
        )
        part = panel[key]
        assert part.ids.tolist() == chosen.tolist() and len(part) == len(chosen)
        assert part.static["damping"].tolist() == panel.static["damping"].iloc[chosen].tolist()
        for (times, values), i in zip(part, chosen, strict=True):
            assert np.array_equal(times, series[i][0]) and np.array_equal(values, series[i][1], equal_nan=True)


def test_cross_validation(data):
    panel, labels = data
    assert cross_val_score(SpeedClassifier(), panel, labels, cv=3).min() > 0.9


def test_cross_validation_by_group_and_prediction(data):
    panel, labels = data
    groups = np.arange(60) // 6
    done = cross_validate(SpeedClassifier(), panel, labels, groups=groups, cv=GroupKFold(3), error_score="raise")
    assert done["test_score"].min() > 0.9
    assert cross_val_predict(SpeedClassifier(), panel, labels, cv=3, method="predict_proba").shape == (60, 2)
    sizes, _, scores = learning_curve(SpeedClassifier(), panel, labels, cv=3, train_sizes=[0.5, 1.0], shuffle=True)
    assert sizes.tolist() == [20, 40] and scores.shape == (2, 3)


def test_grid_search_over_a_pipeline(data):
    panel, labels = data
    model = make_pipeline(FunctionTransformer(), Doubler(), SpeedClassifier())
    search = GridSearchCV(model, {"speedclassifier__shift": [0.0, 9.0]}, cv=3, error_score="raise")
    search.fit(panel, labels)
    assert search.best_params_ == {"speedclassifier__shift": 0.0} and search.score(panel, labels) > 0.9


def test_pipeline_from_panel_to_matrix(data):
    panel, labels = data
    model = make_pipeline(FeatureUnion([("a", Speeds()), ("b", Speeds())]), StandardScaler(), LogisticRegression())
    assert model.fit(panel, labels).score(panel, labels) > 0.9


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_voting(data, voting):
    panel, labels = data
    model = VotingClassifier([("a", SpeedClassifier()), ("b", SpeedClassifier(0.1))], voting=voting)
    assert model.fit(panel, labels).score(panel, labels) > 0.9


def test_stacking(data):
    panel, labels = data
    model = StackingClassifier([("a", SpeedClassifier()), ("b", SpeedClassifier(0.1))], cv=3)
    assert model.fit(panel, labels).score(panel, labels) > 0.9


def test_clone_and_joblib(data, tmp_path):
    panel, _ = data
    copied = clone(SpeedClassifier(example=panel)).example
    assert copied is not panel and np.array_equal(copied.values, panel.values)
    joblib.dump(panel, tmp_path / "panel.joblib")
    for mode in (None, "r"):
        back = joblib.load(tmp_path / "panel.joblib", mmap_mode=mode)
        assert np.array_equal(back.times, panel.times) and np.array_equal(back[[3, 1]].values, panel[[3, 1]].values)
    assert joblib.hash(panel) == joblib.hash(panel)
    assert np.array_equal(joblib.Parallel(2)(joblib.delayed(speed)(part) for part in [panel])[0], speed(panel))


def test_a_panel_never_turns_into_an_array_silently(data):
    with pytest.raises(TypeError, match="cannot become one array"):
        np.asarray(data[0])
    for name in ("iloc", "loc", "take", "fit"):
        assert not hasattr(data[0], name)


def test_read_only_memory_maps_are_accepted(tmp_path):
    array = np.random.default_rng(0).standard_normal((5, 8))
    path = tmp_path / "x.npy"
    np.save(path, array)
    panel = as_panel(np.load(path, mmap_mode="r"))
    assert np.array_equal(panel[[1, 0]].values.reshape(2, 8), array[[1, 0]])
    buffer = io.BytesIO()
    joblib.dump(panel, buffer)
    assert buffer.tell() < 3000
