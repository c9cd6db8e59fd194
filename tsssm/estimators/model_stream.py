"""Streams of trained models that look back only: layers, pools and summaries go on from what was kept."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from tsssm.data import Batch
from tsssm.data.stream import Stream, filled, flattened, one_row
from tsssm.data.summary import RunningSummary
from tsssm.errors import explain
from tsssm.estimators.covariates import flattened as flat_table
from tsssm.estimators.labels import geometric_mean
from tsssm.grid import Grid
from tsssm.heads import Label, Orientation, Value
from tsssm.heads.pooling import Pooled
from tsssm.layers.base import Carried
from tsssm.models import SequenceModel
from tsssm.models.embed import Seen, carried

if TYPE_CHECKING:
    from tsssm.estimators.classifier import SSMClassifier
    from tsssm.estimators.regressor import SSMRegressor
    from tsssm.estimators.sequence import SequenceEstimator

NOTHING, NO_ROWS = torch.empty(1, 0, dtype=torch.float64), torch.empty(0, dtype=torch.int64)


class Member(NamedTuple):
    """What one model keeps: the state of its layers, and its head's pools or the features of the last row (1, d)."""

    layers: Carried
    kept: Pooled | Tensor


class Carry(NamedTuple):
    """What is kept of all rows that showed something: the time of the last, (1,), and what was seen of each channel."""

    time: Tensor
    seen: Seen
    members: tuple[Member, ...]


class ModelStream(Stream):
    """Base of the streams whose models advance row by row; a kind says what is kept of features, and answers."""

    def __init__(self, estimator: SSMClassifier | SSMRegressor | SequenceEstimator, tolerance: Any):
        super().__init__(len(estimator.channels_), estimator.clock_kind_, tolerance)
        self._models: list[SequenceModel] = [copy.deepcopy(model).double().eval() for model in estimator.models_]
        if not all(model.layer.causal for model in self._models):
            came = f"the layer of this {type(estimator).__name__} looks at later rows too"
            do = "Fit with bidirectional=False and a causal layer, or predict whole series"
            raise ValueError(explain("a stream needs a model that looks back only", came, do))
        self._scaling, self._time_scale = estimator.scaling_, estimator.time_scale_
        self._carry: Carry | None = None

    @abstractmethod
    def _keep(self, number: int, features: Tensor, before: Any) -> Pooled | Tensor:
        """What a member keeps after the features (1, k, d) of new rows; `before` is None at the start."""

    def _absorb(self, times: np.ndarray, values: np.ndarray) -> None:
        self._carry = self._advanced(times, values)

    def _advanced(self, times: np.ndarray, values: np.ndarray) -> Carry | None:
        """The carry after more rows; those that show nothing leave no trace."""
        scaled = self._scaling.transform(values)
        observed = np.isfinite(scaled)
        rows = observed.any(1)
        if not rows.any():
            return self._carry
        return self._run(self._carry, times[rows] / self._time_scale, scaled[rows], observed[rows])[1]

    @torch.inference_mode()
    def _run(
        self, before: Carry | None, times: np.ndarray, scaled: np.ndarray, observed: np.ndarray
    ) -> tuple[list[Tensor], Carry]:
        """Features (1, k, d) of each member at the rows that follow a carry, and the carry after them."""
        piece = piece_of(before, times, scaled, observed)
        seen = carried(piece.values, piece.observed, piece.grid, before and before.seen)
        found, members = [], []
        for number, model in enumerate(self._models):
            layers, kept = before.members[number] if before else (None, None)
            features, after = model.advance(piece, seen, layers)
            found.append(features)
            members.append(Member(after, self._keep(number, features, kept)))
        return found, Carry(torch.from_numpy(times[-1:].copy()), seen.end(), tuple(members))

    def _silent(self, before: Carry | None, times: np.ndarray) -> tuple[list[Tensor], Carry]:
        """`_run` at times (k,) in time scales at which nothing is shown."""
        nothing = np.zeros((len(times), self._arrivals.channels))
        return self._run(before, times, nothing, nothing.astype(bool))

    def _kept(self) -> dict[str, Tensor]:
        return {} if self._carry is None else flattened(self._carry, "carry")

    def _restore(self, kept: Mapping[str, Tensor]) -> None:
        before, self._carry = self._carry, None
        try:
            if "carry.time" in kept:
                # what a first row leaves has the form of what any row leaves
                nothing = np.zeros((1, self._arrivals.channels))
                self._carry = filled(self._run(None, np.zeros(1), nothing, nothing == 0)[1], "carry", kept)
        except ValueError:
            self._carry = before
            raise


class PooledStream(ModelStream):
    """Base of the streams that answer for the series as a whole, from pools, statics and summary statistics."""

    def __init__(self, estimator: SSMClassifier | SSMRegressor, static: Any, tolerance: Any):
        super().__init__(estimator, tolerance)
        self._covariates, self._static = estimator.covariates_, one_row(static)
        self._covariates.encoder.transform(self._static, 1)
        self._summary = RunningSummary(self._arrivals.channels)
        self._heads: list[Label | Orientation | Value] = [model.head for model in self._models]

    @abstractmethod
    def predict(self) -> Any:
        """The answer for all that came so far."""

    def _keep(self, number: int, features: Tensor, before: Pooled | None) -> Pooled:
        return self._heads[number].pooling.grow(features, before)

    def _absorb(self, times: np.ndarray, values: np.ndarray) -> None:
        self._summary.add(values)
        super()._absorb(times, values)

    @torch.inference_mode()
    def _answer(self, name: str) -> np.ndarray:
        """Mean answer of the members, for all rows that came."""
        times, values = self._held()
        carry, summary = self._advanced(times, values), self._summary
        if len(times):
            summary = summary.copy()
            summary.add(values)
        if carry is None:
            # a series without any row is answered from one that shows nothing
            carry = self._silent(None, np.zeros(1))[1]
        numbers = self._covariates.numbers(flat_table(summary.table()[None]), self._static)
        static = torch.from_numpy(numbers.astype(np.float32)).double()
        pairs = zip(self._heads, carry.members, strict=True)
        answers = [head.answer(member.kept.vector(), static)[name] for head, member in pairs]
        return torch.cat(answers).mean(0).numpy()

    def _kept(self) -> dict[str, Tensor]:
        return {"summary": torch.from_numpy(self._summary.sums.copy()), **super()._kept()}

    def _restore(self, kept: Mapping[str, Tensor]) -> None:
        sums = filled(torch.from_numpy(self._summary.sums), "summary", kept)
        super()._restore(kept)
        self._summary.sums = sums.numpy()


class ClassStream(PooledStream):
    """The class of one series that grows, observation by observation; see `SSMClassifier.stream`."""

    def __init__(self, estimator: SSMClassifier, static: Any = None, tolerance: Any = None):
        super().__init__(estimator, static, tolerance)
        self._classes = estimator.classes_
        self._ridge = None if estimator.ridge_ is None else estimator.ridge_.stream(static, tolerance)

    def update(self, times: Any, values: Any) -> Self:
        if self._ridge is not None:
            self._ridge.update(times, values)
        return super().update(times, values)

    def predict_proba(self) -> np.ndarray:
        """Probability of each class, (classes,), from all that came so far."""
        out = self._answer("probability")
        return out / out.sum() if self._ridge is None else geometric_mean(out, self._ridge.predict_proba())

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        return state if self._ridge is None else {**state, "ridge": self._ridge.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        super().load_state_dict(state)
        if self._ridge is not None:
            self._ridge.load_state_dict(state.get("ridge", {}))
        return self

    def predict(self) -> Any:
        """Most probable class."""
        return self._classes[self.predict_proba().argmax()]


class NumberStream(PooledStream):
    """Numbers of one series that grows, observation by observation; see `SSMRegressor.stream`."""

    def __init__(self, estimator: SSMRegressor, static: Any = None, tolerance: Any = None):
        super().__init__(estimator, static, tolerance)
        self._kind, self._back = estimator._kind, estimator._back

    def predict(self) -> Any:
        """The number predicted from all that came so far, or numbers (n_out,) or a rotation as in training."""
        return self._back(self._kind.decode(self._answer(self._kind.answer[0])[None]))[0]


def piece_of(before: Carry | None, times: np.ndarray, scaled: np.ndarray, observed: np.ndarray) -> Batch:
    """Rows that follow a carry, as a batch; numbers are rounded as those of a `Source` are."""
    start = times[:1] - 1.0 if before is None else before.time.numpy()
    dt = torch.from_numpy(np.diff(times, prepend=start).astype(np.float32)).double()[None]
    active = torch.from_numpy(observed.any(1))[None]
    reset = torch.zeros_like(active)
    reset[:, 0] = before is None
    values = torch.from_numpy(np.where(observed, scaled, 0.0).astype(np.float32)).double()[None]
    grid = Grid(dt, torch.ones_like(active), reset, active)
    return Batch(values, torch.from_numpy(observed)[None], grid, NOTHING, NO_ROWS, NO_ROWS, NO_ROWS)
