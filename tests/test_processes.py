"""What runs in other processes says the same; here together, so that joblib starts its workers once."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import Tensor

from tests.conformance.estimators import QUICK, ragged
from tests.data.test_panel_sklearn import Doubler, SpeedClassifier
from tests.dynamics.kernels.test_fused import everything, results
from tsssm import SSMClassifier
from tsssm.data.synthetic import noisy_sines
from tsssm.dynamics.kernels.fused import modal_fused
from tsssm.dynamics.kernels.loop import Modal


def test_kernels_in_processes_of_joblib_and_forks():
    """A fork does not inherit the threads that have run here."""
    torch.manual_seed(0)
    modal = everything("complex", 20, 500, 40, 6)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        truth = results(modal_fused, modal)
        runs = Parallel(n_jobs=2)(delayed(results)(modal_fused, modal) for _ in range(2))
        child = multiprocessing.get_context("fork").Process(target=_agree_or_exit, args=(modal, truth))
        child.start()
        child.join(60)
        assert child.exitcode == 0
    finally:
        torch.set_num_threads(threads)
    for run in runs:
        assert all(torch.equal(one, other) for one, other in zip(run, truth, strict=True))


def _agree_or_exit(modal: Modal, truth: list[Tensor]) -> None:
    # as torch's own data loaders do: its threads hang in a fork
    torch.set_num_threads(1)
    same = all(torch.equal(one, other) for one, other in zip(results(modal_fused, modal), truth, strict=True))
    os._exit(0 if same else 1)


def test_members_in_parallel_are_those_in_turn():
    panel, labels = ragged(), np.array(["a", "b"] * 12)
    settings = {**QUICK, "members": 2}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a worker has one thread, and sums depend on their number
    try:
        turn = SSMClassifier(**settings).fit(panel, labels).predict_proba(panel)
    finally:
        torch.set_num_threads(threads)
    both = SSMClassifier(n_jobs=2, **settings).fit(panel, labels).predict_proba(panel)
    np.testing.assert_allclose(turn, both, rtol=1e-6)


def test_a_search_over_a_pipeline_of_panels():
    panel, labels = noisy_sines(60, (0.2, 1.0), noise=0.01, random_state=0)
    model = make_pipeline(Doubler(), SpeedClassifier())
    search = GridSearchCV(model, {"speedclassifier__shift": [0.0, 9.0]}, cv=3, n_jobs=2, error_score="raise")
    search.fit(panel, labels)
    assert search.best_params_ == {"speedclassifier__shift": 0.0} and search.score(panel, labels) > 0.9
