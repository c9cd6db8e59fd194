"""Every estimator either streams, equal to what it says of the series so far, or refuses in words of three parts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.estimators import LATEST, case_of, ragged
from tests.conformance.kinds import finals
from tsssm.data import Panel
from tsssm.estimators import PanelEstimator

KINDS = finals(PanelEstimator, "tsssm.estimators")
# an imputer completes from both sides, and what thinks of latent paths does so of all states at once
LOOK_AHEAD = {"SSMImputer", "LatentSDEForecaster", "KoopmanForecaster", "KoopmanVAE"}
BY_ROWS = {"SSMSequenceClassifier", "SSMSequenceRegressor"}


def fitted(kind: type[PanelEstimator]) -> PanelEstimator:
    case, panel = case_of(kind), ragged(24)
    return case.make().fit(panel, case.target(panel))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.__name__ not in LOOK_AHEAD])
def test_streams_say_what_is_said_of_the_series_so_far(kind):
    model, ((times, values),) = fitted(kind), ragged(1, 7)[0]
    assert kind.__name__ in LATEST, "add how to ask its stream to tests/conformance/estimators.py"
    stream = model.stream()
    for k in range(len(times)):
        stream.update(times[k], values[k])
        if np.isnan(values[k]).all():
            continue
        so_far = Panel.from_series([(times[: k + 1], values[: k + 1])])
        (expected,) = case_of(kind).answers(model, so_far, 1.0)
        found = LATEST[kind.__name__](stream)
        if kind.__name__ in BY_ROWS:
            expected = expected[-1]
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.__name__ in LOOK_AHEAD])
def test_what_looks_ahead_refuses_in_three_parts(kind):
    with pytest.raises(ValueError, match=r"^a stream needs .+; .+\. .+\.$"):
        fitted(kind).stream()
