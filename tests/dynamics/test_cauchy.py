"""The response of a diagonal plus low rank system: by Cauchy sums, by powers, by SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from tsssm.dynamics import DPLR, cauchy_sums
from tsssm.dynamics.cauchy import conjugate_pairs, dplr_response, dplr_response_dense
from tsssm.dynamics.hippo import legs, normal_plus_low_rank

CLOSE = {"rtol": 1e-10, "atol": 1e-10}
System = tuple[DPLR, Tensor, Tensor, Tensor]
every_length = pytest.mark.parametrize("length", [1, 2, 3, 8, 63, 64, 65])


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=["as built", "torch"])
def sums_form(request, monkeypatch) -> str:
    """The compiled sums where they are built, and those in torch, many blocks of points of them."""
    if request.param == "torch":
        monkeypatch.setattr(cauchy_sums, "library", lambda: None)
        monkeypatch.setitem(cauchy_sums.AT_ONCE, "cpu", 1)
    return request.param


def system(*batch: int, n: int = 3, rank: int = 1) -> System:
    eigenvalues = torch.complex(-torch.rand(*batch, n).double() - 0.1, 8 * torch.randn(*batch, n).double())
    P = 0.5 * torch.randn(*batch, n, rank, dtype=torch.complex128)
    Q = P + 0.1 * torch.randn_like(P)
    B, C = torch.randn(2, *batch, n, dtype=torch.complex128)
    return DPLR(eigenvalues, P, Q), B, C, 0.1 + torch.rand(batch, dtype=torch.float64) / 2


def real_system(half: DPLR, B: Tensor, C: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A, b and c of the states (Re x, Im x) of one system."""
    values, P, Q, b, c = (part.numpy() for part in (half.eigenvalues, half.P, half.Q, B, C))
    re, im = np.diag(values.real), np.diag(values.imag)
    A = np.block([[re, -im], [im, re]]) - 2 * np.vstack([P.real, P.imag]) @ np.vstack([Q.real, Q.imag]).T
    return A, np.hstack([b.real, b.imag])[:, None], np.hstack([c.real, -c.imag])[None]


def discrete(half: DPLR, B: Tensor, C: Tensor, gap: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    A, b, c = real_system(half, B, C)
    A, b, *_ = signal.cont2discrete((A, b, c, np.zeros((1, 1))), float(gap), method="bilinear")
    return A, b, c


def truth(half: DPLR, B: Tensor, C: Tensor, gap: Tensor, length: int) -> Tensor:
    A, b, c = discrete(half, B, C, gap)
    _, (response,) = signal.dimpulse((A, b, c, np.zeros((1, 1)), 1.0), n=length + 1)
    return torch.from_numpy(response[1:, 0])


def truncated(half: DPLR, B: Tensor, C: Tensor, gap: Tensor, length: int) -> Tensor:
    """C (I - Abar^length) of one system."""
    A, _, c = discrete(half, B, C, gap)
    row = c @ (np.eye(len(A)) - np.linalg.matrix_power(A, length))
    n = C.shape[-1]
    return torch.complex(torch.from_numpy(row[0, :n]), torch.from_numpy(-row[0, n:]))


@every_length
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_equals_scipy(sums_form: str, rank: int, length: int):
    half, B, C, gap = system(rank=rank)
    expected = truth(half, B, C, gap, length)
    torch.testing.assert_close(dplr_response(half, B, C, gap, length), expected, **CLOSE)
    torch.testing.assert_close(dplr_response_dense(half, B, C, gap, length), expected, **CLOSE)
    C = truncated(half, B, C, gap, length)
    torch.testing.assert_close(dplr_response(half, B, C, gap, length, truncated=True), expected, **CLOSE)


def test_equals_a_filter():
    half, B, C, gap = system(n=2)
    numerator, denominator = signal.ss2tf(*discrete(half, B, C, gap), np.zeros((1, 1)))
    impulse = np.eye(1, 41)[0]
    expected = torch.from_numpy(signal.lfilter(numerator[0], denominator, impulse)[1:])
    torch.testing.assert_close(dplr_response(half, B, C, gap, 40), expected, **CLOSE)


def test_the_start_does_not_depend_on_the_length(sums_form: str):
    case = system(2)
    torch.testing.assert_close(dplr_response(*case, 50)[..., :21], dplr_response(*case, 21), **CLOSE)


def test_batches_broadcast(sums_form: str):
    half, B, _, _ = system()
    C, gap = torch.randn(4, 3, dtype=torch.complex128), 0.1 + torch.rand(5, 1, dtype=torch.float64)
    for run in (dplr_response, dplr_response_dense):
        response = run(half, B, C, gap, 7)
        assert response.shape == (5, 4, 7)
        torch.testing.assert_close(response[3, 2], truth(half, B, C[2], gap[3, 0], 7), **CLOSE)


def test_pairs_are_the_real_system():
    half, B, C, _ = system(rank=2)
    A, *_ = real_system(half, B, C)
    eye = np.eye(3)
    to_pairs = np.block([[eye, 1j * eye], [eye, -1j * eye]])
    np.testing.assert_allclose(conjugate_pairs(half).dense().numpy() @ to_pairs, to_pairs @ A, atol=1e-12)


@pytest.mark.parametrize("length", [1023, 1024])
def test_legs_of_64_states(sums_form: str, length: int):
    n, gaps = 64, torch.tensor([0.001, 0.01, 0.1], dtype=torch.float64)
    A, B = legs(n)
    C = torch.randn(n, dtype=torch.float64)
    whole = A.numpy(), B.numpy()[:, None], C.numpy()[None], np.zeros((1, 1))
    bars = [signal.cont2discrete(whole, float(gap), method="bilinear") for gap in gaps]
    expected = torch.stack([powers_of(A, b, C, length) for A, b, *_ in bars])
    form = normal_plus_low_rank("legs", n)
    half = DPLR(form.eigenvalues[n // 2 :], form.P[n // 2 :], form.P[n // 2 :])
    B, C = form.B[n // 2 :], 2 * (C.to(form.V.dtype) @ form.V)[n // 2 :]
    scale = expected.abs().amax(-1, keepdim=True)
    torch.testing.assert_close(dplr_response(half, B, C, gaps, length) / scale, expected / scale, **CLOSE)
    torch.testing.assert_close(dplr_response_dense(half, B, C, gaps, length) / scale, expected / scale, **CLOSE)
    # measured: 1e-6 of the largest value, 1e-5 at the smallest gap
    half = DPLR(*(part.to(torch.complex64) for part in (half.eigenvalues, half.P, half.Q)))
    response = dplr_response(half, B.to(torch.complex64), C.to(torch.complex64), gaps.float(), length)
    assert ((response - expected) / scale).abs().max() < 3e-5


def powers_of(A: np.ndarray, b: np.ndarray, c: Tensor, length: int) -> Tensor:
    states = [b[:, 0]]
    for _ in range(length - 1):
        states.append(A @ states[-1])
    return torch.from_numpy(np.stack(states)) @ c


@pytest.mark.parametrize("length", [4, 5])
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("cut", [False, True])
def test_gradients(sums_form: str, length: int, rank: int, cut: bool):
    half, *rest = system(2, n=2, rank=rank)

    def run(eigenvalues, P, Q, B, C, gap):
        return dplr_response(DPLR(eigenvalues, P, Q), B, C, gap, length, cut)

    leaves = [part.clone().requires_grad_() for part in (half.eigenvalues, half.P, half.Q, *rest)]
    assert gradcheck(run, leaves)
    for leaf in leaves[:4]:
        leaf.requires_grad_(False)
    assert gradgradcheck(run, leaves)


def test_gradients_equal_those_of_the_powers(sums_form: str):
    half, *rest = system(3, n=4)
    weight = torch.randn(3, 70, dtype=torch.float64)
    ours, theirs = (gradients(run, half, rest, weight) for run in (dplr_response, dplr_response_dense))
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-9)


def gradients(run, half: DPLR, rest: list[Tensor], weight: Tensor) -> tuple[Tensor, ...]:
    leaves = [part.clone().requires_grad_() for part in (half.eigenvalues, half.P, half.Q, *rest)]
    response = run(DPLR(*leaves[:3]), *leaves[3:], weight.shape[-1])
    return torch.autograd.grad((response * weight).sum(), leaves)


@pytest.mark.parametrize("sums", [1, 4, 9])
@pytest.mark.parametrize("points", [1, 16, 37])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_equal_complex_division(sums_form: str, sums: int, points: int, dtype: torch.dtype):
    poles = torch.complex(-torch.rand(3, 5) - 0.1, torch.randn(3, 5)).to(dtype.to_complex())
    weights = torch.randn(3, sums, 5, dtype=poles.dtype)
    angles = torch.linspace(0, math.pi / 2, points, dtype=dtype)
    ours, theirs = [], []
    for run, into in ((cauchy_sums.cauchy_sums, ours), (divided, theirs)):
        leaves = poles.clone().requires_grad_(), weights.clone().requires_grad_()
        values = run(*leaves, angles.sin(), angles.cos())
        into += [values, *torch.autograd.grad(values.abs().square().sum(), leaves)]
    for mine, expected in zip(ours, theirs, strict=True):
        scale = expected.abs().max()
        tolerance = 1e-5 if dtype == torch.float32 else 1e-12
        torch.testing.assert_close(mine / scale, expected / scale, rtol=tolerance, atol=tolerance)


def divided(poles: Tensor, weights: Tensor, sin: Tensor, cos: Tensor) -> Tensor:
    poles, weights = (torch.cat([part, part.conj()], -1) for part in (poles, weights))
    return (weights.unsqueeze(-1) / (1j * sin - poles.unsqueeze(-1) * cos).unsqueeze(-3)).sum(-2) / 2


def test_an_integrator():
    half = DPLR(torch.zeros(1, dtype=torch.complex128), torch.zeros(1, 1), torch.zeros(1, 1))
    one = torch.ones(1, dtype=torch.float64)
    for length in (6, 7):
        response = dplr_response(half, one, 3 * one, 0.5, length)
        torch.testing.assert_close(response, torch.full((length,), 1.5, dtype=torch.float64), **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_pole_on_a_point_stays_finite(sums_form: str, dtype: torch.dtype):
    points = torch.tensor([0.0, 0.5, 1.0, 1e4], dtype=dtype)
    eigenvalues = torch.complex(torch.zeros(4, dtype=dtype), points).requires_grad_()
    P = torch.full((4, 1), 0.1, dtype=eigenvalues.dtype)
    angles = points[:3].atan()
    sums = cauchy_sums.cauchy_sums(eigenvalues, P.mT, angles.sin(), angles.cos())
    assert sums.isfinite().all()
    B = C = torch.ones(4, dtype=eigenvalues.dtype)
    for length in (4, 5):
        for cut in (False, True):
            response = dplr_response(DPLR(eigenvalues, P, P), B, C, 2.0, length, cut)
            assert response.isfinite().all()
            (gradient,) = torch.autograd.grad(response.sum(), eigenvalues)
            assert gradient.isfinite().all()


def test_memory_does_not_grow_with_the_state():
    def kept(n: int) -> int:
        total = 0

        def count(part: Tensor) -> Tensor:
            nonlocal total
            total += part.numel() if part.shape and part.shape[-1] > 1000 else 0
            return part

        half, B, C, gap = system(2, n=n)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda part: part):
            dplr_response(half, B.requires_grad_(), C.requires_grad_(), gap, 4001)
        return total

    assert kept(2) == kept(16) > 0


def test_no_rows():
    with pytest.raises(ValueError, match="`length` must be at least 1"):
        dplr_response(*system(), 0)
