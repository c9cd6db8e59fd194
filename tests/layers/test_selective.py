"""Selective: against dense exponentials in numpy, closed forms, its own loop, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from torch import Tensor, nn

from tests.conformance.kinds import Series, packed, some_series
from tsssm import SSMClassifier
from tsssm.dynamics import (
    Bilinear,
    Diagonal,
    ExponentialEuler,
    FirstOrderHold,
    LinearDiscretization,
    ZeroOrderHold,
    evolve_selective,
    selective_loop,
)
from tsssm.dynamics.rows import gaps_between
from tsssm.grid import Grid
from tsssm.layers import S4D, Layer, Selective

CLOSE = {"rtol": 1e-10, "atol": 1e-10}
WIDTH = 3
OPTIONS = [{}, {"rule": ExponentialEuler()}, {"gaps": "gate"}, {"positive": True}]
every_option = pytest.mark.parametrize("options", OPTIONS, ids=str)


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def small(**options: object) -> Selective:
    return Selective(WIDTH, d_state=2, timescale=(0.2, 1.0), **options).double()


def gradient_of_everything(layer: Layer, x: Tensor, grid: Grid, weight: Tensor) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    y, _ = layer(x, grid)
    leaves = {"x": x} | dict(layer.named_parameters())
    grads = torch.autograd.grad((y * weight)[grid.valid].sum(), list(leaves.values()))
    return {"y": y[grid.valid].detach()} | dict(zip(leaves, grads, strict=True))


# The oracle: numpy on absolute times, an exponential of a dense matrix a row and feature.


def softplus(z: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(z))


def oracle(p: dict[str, np.ndarray], series: Series, options: dict) -> np.ndarray:
    """Outputs (l, d_model) of one series; also for complex numbers, whose imaginary parts then are derivatives."""
    x, gate, euler = p["x"], options.get("gaps") == "gate", "rule" in options
    d = x.shape[1]
    S_B, S_C = p.get("to_B"), p["to_C"]
    if options.get("positive"):
        S_C = np.triu(S_C, 1) + np.eye(*S_C.shape)
        S_B = (softplus(p["gain"]) + 0.7)[:, None] * S_C
    n = len(S_C)
    h, out, last = np.zeros((d, n), x.dtype), [], 0.0
    times = np.cumsum([1.0, *(gap for gap, _ in series[1:])])
    first = True
    for k, (_, shown) in enumerate(series):
        # the first row that shows anything has the gap of the first row
        gap = 1.0 if first and shown else times[k] - last
        wish = p["step_out"] @ (p["step_in"] @ x[k]) + p["step_bias"]
        step = softplus(wish + np.log(gap)) if gate else softplus(wish) * gap
        B = S_B @ x[k] * shown
        moved = np.empty_like(h)
        for i in range(d):
            A = np.diag(-np.exp(p["log_decay"][i]))
            if euler:
                moved[i] = expm(A * step[i]) @ h[i] + step[i] * B * x[k, i]
            else:
                # exp of [[A, b], [0, 0]] holds the integral of the input beside exp(A)
                wide = np.zeros((n + 1, n + 1), x.dtype)
                wide[:n, :n], wide[:n, n] = A * step[i], B * x[k, i] * step[i]
                wide = expm(wide)
                moved[i] = wide[:n, :n] @ h[i] + wide[:n, n]
        out.append(moved @ (S_C @ x[k]) + p["D"] * x[k])
        if shown:
            h, last, first = moved, times[k], False
    return np.stack(out)


@every_option
def test_outputs_and_gradients_equal_dense_exponentials(options: dict):
    layer = small(**options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    series = [(1.0, True), (0.4, True), (0.6, False), (1.1, False), (0.3, True), (2.0, True)]
    x, weight = torch.randn(2, 1, 6, WIDTH, dtype=torch.float64)
    found = gradient_of_everything(layer, x, packed([[series]]), weight)
    values = {name: part.detach().numpy() for name, part in layer.named_parameters()} | {"x": x[0].numpy()}
    np.testing.assert_allclose(found["y"], oracle(values, series, options), rtol=1e-9, atol=1e-12)
    for name, value in values.items():
        # the derivative by a complex step has no rounding of differences
        wanted = np.empty(value.shape)
        for place in np.ndindex(value.shape):
            moved = value.astype(complex)
            moved[place] += 1e-30j
            there = {key: moved if key == name else part.astype(complex) for key, part in values.items()}
            wanted[place] = (oracle(there, series, options) * weight[0].numpy()).imag.sum() / 1e-30
        np.testing.assert_allclose(found[name].reshape(wanted.shape), wanted, rtol=1e-9, atol=1e-12, err_msg=name)


@every_option
def test_scan_loop_and_steps_agree(options: dict, monkeypatch: pytest.MonkeyPatch):
    layer = small(**options)
    a, b, c, d = some_series([40, 33, 30, 70], 0.3)
    grid = packed([[a, b, c], [d]])
    x, weight = torch.randn(2, *grid.dt.shape, WIDTH, dtype=torch.float64)
    scanned = gradient_of_everything(layer, x, grid, weight)
    state, steps = None, []
    for k in range(grid.dt.shape[1]):
        y, state = layer(x[:, k : k + 1], grid.piece(k, k + 1), state)
        steps.append(y.detach())
    torch.testing.assert_close(torch.cat(steps, 1)[grid.valid], scanned["y"], **CLOSE)
    monkeypatch.setattr("tsssm.layers.selective.evolve_selective", selective_loop)
    looped = gradient_of_everything(layer, x, grid, weight)
    for name, part in looped.items():
        torch.testing.assert_close(scanned[name], part, **CLOSE, msg=name)


def test_one_state_with_exact_hold_is_a_gate():
    # theorem 1 of Mamba: h = (1 - g) h + g x at g = sigmoid(z)
    z, x = torch.randn(2, 1, 9, 1, dtype=torch.float64)
    ones = torch.ones_like(x)
    A = Diagonal(-torch.ones(1, 1, dtype=torch.float64))
    y, _ = evolve_selective(A, ZeroOrderHold(), nn.functional.softplus(z), x, ones, ones)
    h = 0.0
    for k in range(9):
        g = torch.sigmoid(z[0, k])
        h = (1 - g) * h + g * x[0, k]
        torch.testing.assert_close(y[0, k], h)


@pytest.mark.parametrize("rule", [ZeroOrderHold(), ExponentialEuler()], ids=str)
def test_a_frozen_selection_is_s4d(rule: LinearDiscretization):
    plain = S4D(WIDTH, d_state=4, init="real", rule=rule).double()
    c = torch.randn(2, dtype=torch.float64)
    with torch.no_grad():
        plain.C[..., 0] = c
        plain.D.zero_()
    grid = packed([some_series([6, 4], 0.4), some_series([9], 0.4)])
    x = torch.randn(*grid.dt.shape, WIDTH, dtype=torch.float64)
    gap = gaps_between(grid.dt, None, grid.reset, grid.active).unsqueeze(-1) * plain.log_timescale.exp()
    B = torch.ones(*grid.dt.shape, 2, dtype=torch.float64)
    A = Diagonal(-plain.log_decay.exp())
    y, _ = evolve_selective(A, rule, gap, x, B, 2 * c * B, None, grid.reset, grid.active)
    torch.testing.assert_close(y[grid.valid], plain(x, grid)[0][grid.valid], **CLOSE)


def test_a_gap_in_two_halves_is_the_gap():
    layer = small()
    x = torch.randn(1, 3, WIDTH, dtype=torch.float64)
    whole = packed([[[(1.0, True), (0.8, True), (2.0, True)]]])
    halves = packed([[[(1.0, True), (0.3, True), (0.5, True), (2.0, True)]]])
    y, _ = layer(x, whole)
    z, _ = layer(x[:, [0, 1, 1, 2]], halves)
    torch.testing.assert_close(z[:, [0, 2, 3]], y, **CLOSE)


@pytest.mark.parametrize("gaps", ["scale", "gate"])
def test_no_gap_moves_nothing(gaps: str):
    layer = small(gaps=gaps)
    x = torch.randn(1, 3, WIDTH, dtype=torch.float64)
    series = [(1.0, True), (0.0, True), (0.5, True)]
    y, _ = layer(x, packed([[series]]))
    z, _ = layer(x[:, [0, 2]], packed([[[series[0], series[2]]]]))
    torch.testing.assert_close(y[:, [0, 2]], z, **CLOSE)


@pytest.mark.parametrize("extreme", [-1e4, -20.0, 20.0, 1e4])
def test_stable_whatever_the_optimiser_does(extreme: float):
    layer = Selective(WIDTH, d_state=4)
    with torch.no_grad():
        layer.log_decay.fill_(extreme)
    dt = torch.rand(1, 300)
    dt[0, 50], dt[0, 60] = 1e6, 0.0
    x = torch.randn(1, 300, WIDTH)
    _, state = layer(x, Grid.from_gaps(dt))
    rest, ended = Grid.from_gaps(torch.rand(1, 200)), state.x
    for _ in range(3):
        # no input: B is 0 too
        y, state = layer(torch.zeros(1, 200, WIDTH), Grid(rest.dt, rest.valid, ~rest.valid, rest.active), state)
        assert bool((state.x.abs() <= ended.abs()).all()) and bool(torch.isfinite(y).all())
        ended = state.x
    layer(x, Grid.from_gaps(dt))[0].sum().backward()
    assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in layer.parameters())


def test_states_are_never_all_in_memory():
    layer, kept = Selective(32, d_state=64), {}
    x = torch.randn(2, 512, 32, requires_grad=True)
    grid = Grid.from_gaps(torch.rand(2, 512))

    def note(part: Tensor) -> Tensor:
        kept[part.untyped_storage().data_ptr()] = part.untyped_storage().nbytes() / part.element_size()
        return part

    with torch.autograd.graph.saved_tensors_hooks(note, lambda part: part):
        layer(x, grid)[0].sum().backward()
    assert sum(kept.values()) < 2 * 512 * 32 * 64 / 4


@pytest.mark.parametrize("n", [2, 3])
def test_positive_maps_have_no_negative_eigenvalue(n: int):
    layer = Selective(3, d_state=n, positive=True).double()
    with torch.no_grad():
        layer.to_C.mul_(10)
        layer.gain.fill_(-30)
    S_B, S_C = (part.detach() for part in layer.maps())
    product = S_C.T @ S_B
    torch.testing.assert_close(product, product.T)
    assert float(torch.linalg.eigvalsh(product).min()) > -1e-9
    torch.testing.assert_close(product, 0.7 * S_C.T @ S_C)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"gaps": "log"}, "'scale' or 'gate'"), ({"positive": True, "d_state": 4}, "smaller d_state")],
)
def test_arguments_that_cannot_be(arguments: dict, words: str):
    with pytest.raises(ValueError, match=words):
        Selective(WIDTH, **arguments)


@pytest.mark.parametrize("rule", [FirstOrderHold(), Bilinear()], ids=str)
def test_rules_that_look_back_are_refused(rule: LinearDiscretization):
    with pytest.raises(ValueError, match="ZeroOrderHold"):
        Selective(WIDTH, rule=rule)(torch.randn(1, 2, WIDTH), Grid.regular(1, 2))


def error_in_recall(kind: type[Layer]) -> float:
    """Share of the variance left when the last marked value of a noisy series is to be said at its end."""
    torch.manual_seed(0)
    net = nn.ModuleList([nn.Linear(3, 8), kind(8, timescale=(0.1, 1.0)), nn.Linear(8, 1)])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    grid, losses = Grid.regular(64, 12), []
    for _ in range(120):
        value, mark = torch.randn(64, 12), torch.rand(64, 12) < 0.3
        mark[:, 0] = True
        x = torch.stack([value, mark.float(), torch.ones_like(value)], -1)
        wanted = value.gather(1, torch.where(mark, torch.arange(12), 0).amax(1, keepdim=True))
        loss = (net[2](net[1](net[0](x), grid)[0])[:, -1] - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / 20


def test_it_recalls_what_was_marked_and_a_fixed_system_cannot():
    assert error_in_recall(Selective) < 0.1 * error_in_recall(S4D)


def test_a_classifier_takes_it_by_name():
    X = np.random.default_rng(0).normal(size=(12, 6, 1)) + np.repeat([-1, 1], 6)[:, None, None]
    y = np.repeat(["low", "high"], 6)
    est = SSMClassifier(layer="selective", epochs=3, random_state=0).fit(X, y)
    assert est.predict(X).shape == y.shape
