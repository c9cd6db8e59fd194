"""The checks for irregular data: ours pass them, and estimators that ignore stamps do not."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sktime.classification.dummy import DummyClassifier
from sktime.forecasting.base import BaseForecaster
from sktime.param_est.fixed import FixedParams

from tsssm import sktime
from tsssm.sktime import check_irregular


@pytest.mark.parametrize("name", [name for name in sktime.__all__ if name.startswith("SSM")])
def test_ours_pass(name: str):
    results = check_irregular(getattr(sktime, name), raise_exceptions=True)
    assert len(results) == 2 * (10 if name == "SSMForecaster" else 6)
    assert set(results.values()) == {"PASSED"}


class Last(BaseForecaster):
    """Repeats the last value, at whatever stamps are asked."""

    _tags: ClassVar = {"requires-fh-in-fit": False, "capability:exogenous": False}
    _config: ClassVar = {"remember_data": False}

    def _fit(self, y, X=None, fh=None):
        self.last_ = y.iloc[-1]
        return self

    def _predict(self, fh, X=None):
        stamps = fh.to_pandas() if not fh.is_relative else self.cutoff[0] + fh.to_pandas()
        return pd.Series(self.last_, index=stamps, name=self._get_varnames()[0])


def test_what_ignores_stamps_fails():
    results = check_irregular(Last())
    assert isinstance(results.pop("times_count-0"), AssertionError)
    assert results.pop("own_stamps_in_panels-0") == "SKIPPED: covariates are not claimed"
    assert results.pop("missing_is_no_row-0").startswith("SKIPPED")
    assert results.pop("missing_covariates_are_taken-0").startswith("SKIPPED")
    assert results["unit_of_time_is_free-0"] == results["stamps_are_answered-0"] == "PASSED"
    with pytest.raises(AssertionError, match="gaps change nothing"):
        check_irregular(DummyClassifier(), raise_exceptions=True)


def test_what_has_no_checks_is_refused():
    with pytest.raises(TypeError, match="param_est came"):
        check_irregular(FixedParams({"a": 1}))


def test_answers_are_compared(monkeypatch: pytest.MonkeyPatch):
    """A forecaster that reads the count of rows as time fails where rows without values come and go."""

    class Trend(Last):
        _tags: ClassVar = {"capability:missing_values": True}

        def _fit(self, y, X=None, fh=None):
            self.last_ = float(np.nan_to_num(y.iloc[-1])) + len(y)
            return self

    assert "Mismatch" in str(check_irregular(Trend())["missing_is_no_row-0"])
