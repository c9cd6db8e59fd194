"""The common form gives each layer's own run back, and attention that of torch."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import elu, scaled_dot_product_attention

from tests.conformance.kinds import packed, small_layer, some_series
from tsssm.diagnostics import attention_form, dynamical_form
from tsssm.dynamics import ExponentialEuler, FirstOrderHold
from tsssm.grid import Grid
from tsssm.layers import GRU, LSSL, S4, S4D, S5, Bidirectional, Layer, Selective

CLOSE = {"rtol": 1e-10, "atol": 1e-10}
SMALL = [small_layer(kind) for kind in (S5, S4D, S4, LSSL, Selective, GRU)]
SMALL += [Selective(3, 2, ExponentialEuler(), (0.2, 1.0), "gate", positive=True).double(), S4D(1, 4).double()]
every_layer = pytest.mark.parametrize("layer", SMALL, ids=lambda layer: type(layer).__name__)


def case(layer: Layer) -> tuple[torch.Tensor, Grid]:
    torch.manual_seed(0)
    a, b, c = some_series([5, 3, 9])
    grid = packed([[a, b], [c]])
    return torch.randn(*grid.dt.shape, layer.D.shape[0] if hasattr(layer, "D") else 3, dtype=torch.float64), grid


@every_layer
def test_the_form_is_the_layer(layer):
    x, grid = case(layer)
    form = dynamical_form(layer, x, grid)
    truth = layer(x, grid)[0].detach()[grid.valid]
    torch.testing.assert_close(form.run()[grid.valid], truth, **CLOSE)
    given = torch.einsum("bijdm,bjm->bid", form.influence(), form.u)
    torch.testing.assert_close(given[grid.valid], truth, **CLOSE)


@pytest.mark.parametrize("kind", [S5, S4D, S4, LSSL], ids=lambda kind: kind.__name__)
def test_influence_of_a_linear_layer_is_its_jacobian(kind):
    layer = small_layer(kind)
    x, grid = case(layer)
    slope = torch.autograd.functional.jacobian(lambda x: layer(x, grid)[0], x)
    found = dynamical_form(layer, x, grid).influence()
    for i in range(2):
        torch.testing.assert_close(slope[i, :8, :, i, :8].permute(0, 2, 1, 3), found[i, :8, :8], **CLOSE)


def test_nothing_crosses_into_another_series_or_back_in_time():
    layer = SMALL[0]
    found = dynamical_form(layer, *case(layer)).influence()
    assert not bool(found[0, 5:8, :5].any()) and bool(found[1, 5:8, :5].any())
    assert not bool(found[1, 2, 3:].any())


@pytest.mark.parametrize("kernel", ["softmax", "linear"])
def test_attention_is_that_of_torch(kernel):
    torch.manual_seed(0)
    q, k = torch.randn(2, 2, 7, 4, dtype=torch.float64)
    v = torch.randn(2, 7, 3, dtype=torch.float64)
    form = attention_form(q, k, v, kernel)
    if kernel == "softmax":
        truth = scaled_dot_product_attention(q, k, v, is_causal=True)
    else:
        weight = ((elu(q) + 1) @ (elu(k) + 1).mT).tril()
        truth = weight / weight.sum(-1, keepdim=True) @ v
    torch.testing.assert_close(form.run(), truth, **CLOSE)
    torch.testing.assert_close(form.influence().sum(2), torch.eye(3).double().expand(2, 7, 3, 3), **CLOSE)


def test_what_has_no_such_form():
    x, grid = case(SMALL[0])
    with pytest.raises(TypeError, match="a Bidirectional came"):
        dynamical_form(small_layer(Bidirectional), x, grid)
    with pytest.raises(ValueError, match="FirstOrderHold"):
        dynamical_form(S5(3, 4, 1, FirstOrderHold()), x, grid)
    with pytest.raises(ValueError, match="silent rows"):
        dynamical_form(SMALL[0], x, Grid(grid.dt, grid.valid, grid.reset, grid.active & (grid.dt > 0.5)))
    with pytest.raises(ValueError, match="by_importance"):
        dynamical_form(Selective(3, 2, by_importance=True), x, grid)
    with pytest.raises(ValueError, match="'cosine'"):
        attention_form(x, x, x, "cosine")
