"""RowEstimator: what the forecaster and the imputer share - inputs beside the channels, and numbers of channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.utils import check_random_state

from tsssm.data import Panel, Source, StaticEncoder
from tsssm.data.calendar import Calendar
from tsssm.estimators.base import Estimator


class RowEstimator(Estimator):
    """Base of the estimators that answer row by row about the channels themselves.

    Attributes
    ----------
    calendar_ : Calendar
        Cycles of the calendar that are inputs.
    encoder_ : StaticEncoder
        Static features as numbers.
    """

    def _learn_inputs(self, panel: Panel) -> None:
        """Learn the inputs beside the channels, unless an earlier fit is gone on with."""
        if not self._goes_on():
            self.calendar_, self.encoder_ = Calendar.fit(panel), StaticEncoder.fit(panel.static)

    def _source(self, panel: Panel) -> Source:
        static = self.encoder_.transform(panel.static, len(panel))
        calendar = self.calendar_.transform(panel.clock, panel.times) if self.calendar_.periods else None
        return Source(panel, self.scaling_, self.time_scale_, static, calendar=calendar)

    def _numbers(self, names: Sequence[str]) -> list[int]:
        return [self.channels_.index(name) for name in names]

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
