"""Ridge: equal to scikit-learn's on the same columns, in both forms, and sound where there is little to learn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.feature_selection import f_classif, r_regression
from sklearn.linear_model import Ridge, RidgeCV

from tsssm.features import ridge
from tsssm.features.columns import Columns
from tsssm.features.relevance import FLOOR, Sums, weights
from tsssm.features.systems import dual, gram, primal, scatter

NOTHING = np.empty(0, int)


def drawn(n: int = 40, f: int = 90, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of which a third differ between the classes, and class numbers."""
    rng = np.random.default_rng(seed)
    number = rng.permutation(np.arange(n) % classes)
    means = np.where(np.arange(f) % 3 == 0, rng.normal(size=(classes, f)), 0.0)
    return (5 + 2 * (means[number] + rng.normal(size=(n, f)))).astype(np.float32), number


def plain_weights(Z: np.ndarray, number: np.ndarray) -> np.ndarray:
    n, classes = len(number), len(np.unique(number))
    F = f_classif(Z, number)[0] * (classes - 1) / (n - classes)
    return np.sqrt(np.maximum(F / (1 + F) - (classes - 1) / (n - 1), 0) + FLOOR)


def test_columns_are_standardised_and_cut_off():
    X, _ = drawn()
    X[:, 4] = 7.0
    X[0, 5] = 1e6
    Z = Columns.fit(X).transform(X)
    others = np.delete(np.arange(X.shape[1]), [4, 5])
    z = (X[:, others] - X[:, others].mean(0)) / X[:, others].std(0)
    np.testing.assert_allclose(Z[:, others], np.clip(z, -3, 3), atol=1e-4)
    assert (Z[:, 4] == 0).all() and Z[0, 5] == 3.0


def test_relevance_of_columns_for_classes():
    X, number = drawn()
    got = weights(Sums.of(X, np.eye(3)[number]), True)
    np.testing.assert_allclose(got, plain_weights(X, number), rtol=1e-4)


def test_relevance_of_columns_for_numbers():
    X, _ = drawn()
    Y = X[:, :2] + np.random.default_rng(1).normal(size=(40, 2))
    r2 = np.mean([r_regression(X, y) ** 2 for y in Y.T], 0)
    got = weights(Sums.of(X, Y), False)
    np.testing.assert_allclose(got, np.sqrt(np.maximum(r2 - 1 / 39, 0) + FLOOR), rtol=1e-4)


def test_sums_of_a_part_subtract():
    X, number = drawn()
    marks = np.eye(3)[number]
    rest = Sums.of(X, marks) - Sums.of(X[:9], marks[:9])
    np.testing.assert_allclose(weights(rest, True), weights(Sums.of(X[9:], marks[9:]), True), rtol=1e-4)


@pytest.mark.parametrize("f", [20, 90])
def test_both_forms_are_scikit_learns_ridge(f):
    X, number = drawn(f=f)
    rng = np.random.default_rng(2)
    rows, weight, test = rng.random(40) + 0.3, rng.random(f).astype(np.float32), np.arange(5)
    train, Y = np.arange(5, 40), np.eye(3)[number]
    forms = [
        dual(gram(X, weight), Y, rows, train, test),
        primal(scatter(X[train], rows[train]), X, weight, Y, rows, test),
    ]
    peer = Ridge(alpha=0.3 * forms[0].size).fit(X[train] * weight, Y[train], rows[train])
    for form in forms:
        told = replace(form, size=forms[0].size).held_out(0.3)
        assert form.size * min(35, f if form is forms[1] else 35) == pytest.approx(forms[0].size * 35, rel=1e-5)
        np.testing.assert_allclose(told, peer.predict(X[test] * weight), atol=2e-4)


@pytest.mark.parametrize(("n", "f"), [(30, 60), (120, 200), (300, 40)])
def test_penalty_is_that_of_plain_cross_validation(n, f):
    X, number = drawn(n, f)
    fit = ridge.fit_classes(X, [np.ones(X.shape[1])], number, np.ones(n), np.random.default_rng(0))
    Z, Y = fit.columns.transform(X).astype(np.float64), 2 * np.eye(3)[number] - 1
    errors = np.zeros(len(ridge.PENALTIES))
    for test in ridge.parts_of(number, np.random.default_rng(0)):
        train = np.setdiff1d(np.arange(n), test)
        W = Z * plain_weights(Z[train], number[train])
        size = np.sum((W[train] - W[train].mean(0)) ** 2) / min(len(train), f)
        for i, penalty in enumerate(ridge.PENALTIES):
            peer = Ridge(alpha=penalty * size).fit(W[train], Y[train])
            errors[i] += np.sum((peer.predict(W[test]) - Y[test]) ** 2) / n
    np.testing.assert_allclose(fit.errors, errors, rtol=1e-3)
    assert fit.penalty == ridge.PENALTIES[errors.argmin()]
    W = Z * plain_weights(Z, number)
    size = np.sum((W - W.mean(0)) ** 2) / min(n, f)
    peer = Ridge(alpha=fit.penalty * size).fit(W, Y)
    np.testing.assert_allclose(fit.decide(X), peer.predict(W), atol=1e-3)


def test_one_out_is_that_of_ridge_cv():
    X, number = drawn(20, 50)
    Y, rows, K = np.eye(3)[number], np.ones(20), gram(X - 5, np.ones(50, np.float32))
    alphas = 100.0 * ridge.PENALTIES
    systems = [dual(K, Y, rows, np.delete(np.arange(20), i), np.array([i])) for i in range(20)]
    errors, told = ridge.search([replace(each, size=100.0) for each in systems], Y, rows, True)
    peer = RidgeCV(alphas, store_cv_results=True).fit(X - 5, Y)
    np.testing.assert_allclose(errors, peer.cv_results_.sum(1).mean(0), rtol=1e-4)
    assert alphas[errors.argmin()] == pytest.approx(peer.alpha_)
    assert told.shape == (20, 3)


def test_a_walk_down_the_penalties_finds_the_best_of_all():
    X, number = drawn(60, 100)
    Y, rows, K = np.eye(3)[number], np.ones(60), gram(X - 5, np.ones(100, np.float32))
    parts = ridge.parts_of(number, np.random.default_rng(0))
    systems = [dual(K, Y, rows, np.setdiff1d(np.arange(60), part), part) for part in parts]
    order = np.concatenate(parts)
    every, some = (ridge.search(systems, Y[order], rows, everywhere) for everywhere in (True, False))
    assert every[0].argmin() == some[0].argmin() and np.isinf(some[0]).any()
    np.testing.assert_array_equal(every[1], some[1])


def test_parts_hold_each_row_once_and_classes_alike():
    number = np.repeat([0, 1], [150, 30])
    parts = ridge.parts_of(number, np.random.default_rng(0))
    assert sorted(np.concatenate(parts)) == list(range(180))
    assert [np.bincount(number[part]).tolist() for part in parts] == [[15, 3]] * 10


def test_of_very_many_series_no_more_are_held_out_than_enough():
    assert [len(part) for part in ridge.parts_of(np.zeros(4000), np.random.default_rng(0))] == [800, 800]


def test_weights_of_rows_are_repetitions():
    X, number = drawn(30, 60)
    heavy = np.where(number == 1, 2.0, 1.0)
    twice = np.repeat(np.arange(30), heavy.astype(int))
    weight = np.ones(60, np.float32)
    Y = np.eye(3)[number]
    system = dual(gram(X, weight), Y, heavy, np.arange(30), np.arange(30))
    again = dual(gram(X[twice], weight), Y[twice], np.ones(len(twice)), np.arange(len(twice)), np.arange(len(twice)))
    first = np.searchsorted(twice, np.arange(30))
    same = replace(again, size=system.size).held_out(0.1)[first]
    np.testing.assert_allclose(system.held_out(0.1), same, atol=1e-4)


def test_every_series_its_own_class():
    X, _ = drawn(18, 50)
    fit = ridge.fit_classes(X, [np.ones(X.shape[1])], np.arange(18), np.ones(18), np.random.default_rng(0))
    assert fit.held_out.shape == (0, 18)
    assert fit.penalty < 0.1
    assert (fit.decide(X).argmax(1) == np.arange(18)).mean() > 0.9


def test_series_alone_in_their_class_are_not_held_out():
    X, number = drawn(30, 50)
    number[:2] = [number.max() + 1, number.max() + 2]
    fit = ridge.fit_classes(X, [np.ones(50)], number, np.ones(30), np.random.default_rng(0))
    assert set(fit.rows) == set(range(2, 30)) - set(np.flatnonzero(np.bincount(number)[number] == 1))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_series(n):
    X, _ = drawn(n, 30)
    y = np.arange(n, dtype=float)[:, None]
    fit = ridge.fit_numbers(X, [np.ones(X.shape[1])], y - y.mean(), np.random.default_rng(0))
    assert np.isfinite(fit.decide(X)).all() and fit.coef.shape == (30, 1)


@pytest.mark.parametrize("n", [10, 80])
def test_constant_columns_predict_the_mean_at_the_largest_penalty(n):
    y = np.random.default_rng(0).normal(size=(n, 1))
    fit = ridge.fit_numbers(np.full((n, 30), 3.0, np.float32), [np.ones(30)], y, np.random.default_rng(0))
    np.testing.assert_allclose(fit.decide(np.full((2, 30), 9.0, np.float32)), y.mean(), atol=1e-6)
    assert fit.penalty == ridge.PENALTIES[0]


def test_equal_series_of_different_classes_and_copies_of_series():
    X, number = drawn(12, 30)
    X = np.repeat(X, 5, axis=0)
    fit = ridge.fit_classes(X, [np.ones(X.shape[1])], np.repeat(number, 5), np.ones(60), np.random.default_rng(0))
    assert np.isfinite(fit.decide(X)).all()
    fit = ridge.fit_classes(X, [np.ones(X.shape[1])], np.arange(60) % 2, np.ones(60), np.random.default_rng(0))
    assert np.isfinite(fit.decide(X)).all() and fit.held_out.shape == (60, 1)


def test_a_decision_does_not_depend_on_the_other_rows():
    X, number = drawn(700, 40)
    fit = ridge.fit_classes(X, [np.ones(X.shape[1])], number, np.ones(700), np.random.default_rng(0))
    np.testing.assert_allclose(fit.decide(X)[600:601], fit.decide(X[600:601]), rtol=1e-12)


@pytest.mark.parametrize("n", [80, 1600])
@pytest.mark.parametrize("good", [0, 1])
def test_held_out_series_choose_the_weights_of_columns(n, good):
    X, number = drawn(n, 60)
    says = np.arange(60) % 3 == 0
    priors = [np.where(says, 0.01, 1.0), np.ones(60)]
    fit = ridge.fit_classes(X, priors[:: 1 if good else -1], number, np.ones(n), np.random.default_rng(0))
    only = ridge.fit_classes(X, [np.ones(60)], number, np.ones(n), np.random.default_rng(0))
    assert (fit.decide(X).argmax(1) == number).mean() > 0.95
    assert np.corrcoef(fit.decide(X).ravel(), only.decide(X).ravel())[0, 1] > 0.99
