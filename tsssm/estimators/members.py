"""Members: the same plan trained several times, each judged on another part of the series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.utils import check_random_state

from tsssm.data import Source, Task
from tsssm.models import Model
from tsssm.training import INTERRUPTED, History, Training

if TYPE_CHECKING:
    from tsssm.estimators.base import Estimator

# fewer series than this are all trained on: a tenth of them would judge by chance
ENOUGH_TO_JUDGE = 200
# steps of the optimizer that a fit takes when `epochs` is not given
STEPS = 600


# and the most of them that eight passes over very many series may take
MOST_STEPS = 8000
# and the most rows, some minutes of one core; a few series of a million rows would take days otherwise
MOST_ROWS = 10_000_000


@dataclass(frozen=True, eq=False)
class Plan:
    """What a fit trains: a maker of fresh models, the task, and the data it comes from.

    `series` are the numbers of the series in `source` of an epoch, where one may come several times; `strata` (same
    length) keeps classes in proportion when a part is held out. `judge` names the series to hold out where the plan
    itself knows them, and `steps` is about how many steps of the optimizer are taken.
    """

    make: Callable[[], Model]
    task: Task
    source: Source
    series: np.ndarray
    strata: np.ndarray | None = None
    judge: np.ndarray | None = None
    steps: int = STEPS


def train_members(plan: Plan, estimator: Estimator, start: list[Model] | None) -> tuple[list[Model], list[History]]:
    """Train the members an estimator asks for, in parallel where its `n_jobs` says so."""
    seeds = check_random_state(estimator.random_state).randint(0, 2**31 - 1, size=estimator.members)
    parts = held_out(plan, estimator.members, seeds[0])
    trainings = [training_of(plan, estimator, int(seed), member) for member, seed in enumerate(seeds)]
    jobs = (
        delayed(train_member)(plan, training, part, None if start is None else start[i].state_dict())
        for i, (training, part) in enumerate(zip(trainings, parts, strict=True))
    )
    if estimator.n_jobs in (None, 1):
        done = []
        for function, arguments, options in jobs:
            done.append(function(*arguments, **options))
            if done[-1][1].stopped == INTERRUPTED:
                break
    else:
        done = Parallel(n_jobs=estimator.n_jobs)(jobs)
    models, histories = zip(*done, strict=True)
    return list(models), list(histories)


def train_member(plan: Plan, training: Training, part: np.ndarray, start: dict | None) -> tuple[Model, History]:
    """Train one model, with its own seed, judged on the part of the series held out from it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.random_state)
        model = plan.make()
        if start is not None:
            model.load_state_dict(start)
        train = plan.series[~np.isin(plan.series, part)]
        history = training.run(model, plan.task, (plan.source, train), (plan.source, part))
    return model.cpu(), history


def held_out(plan: Plan, members: int, seed: int) -> list[np.ndarray]:
    """For each member the series it is judged on: another tenth each, none where there are too few series."""
    if plan.judge is not None:
        return [plan.judge] * members
    series = np.unique(plan.series)
    if len(series) < ENOUGH_TO_JUDGE:
        return [series[:0]] * members
    order = np.random.default_rng(seed).permutation(len(series))
    if plan.strata is not None:
        order = order[np.argsort(plan.strata[order], kind="stable")]
    folds = max(10, members)
    return [np.sort(series[order[k::folds]]) for k in range(members)]


def training_of(plan: Plan, estimator: Estimator, seed: int, member: int) -> Training:
    """The training of a member that an estimator's parameters describe."""
    per_epoch = max(1, -(-len(plan.series) // estimator.batch_size))
    # few series: passes until there are enough steps; very many: not even eight passes are needed
    steps = max(plan.steps, min(8 * per_epoch, MOST_STEPS))
    rows = int(plan.source.lengths[plan.series].sum())
    epochs = estimator.epochs or min(200, -(-steps // per_epoch), max(2, MOST_ROWS // max(1, rows)))
    return Training(
        epochs=epochs,
        lr=estimator.lr,
        batch_size=estimator.batch_size,
        # the rate falls to the end of the schedule, so a short pause in the middle is no reason to stop
        patience=max(10, epochs // 3),
        device=pick_device(estimator.device),
        random_state=seed,
        # members trained at once would write over each other's bars
        verbose=estimator.verbose if member == 0 or estimator.n_jobs in (None, 1) else 0,
        title=f"member {member + 1} of {estimator.members}" if estimator.members > 1 else "",
    )


def pick_device(device: str) -> str:
    """The device to run on: "auto" takes CUDA where there is one."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device
