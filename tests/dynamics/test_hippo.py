"""HiPPO matrices against the projections they are meant to follow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.polynomial import Polynomial
from scipy.integrate import quad
from scipy.linalg import expm
from scipy.special import eval_laguerre, eval_legendre

from tsssm.dynamics.hippo import block_diagonal_normal, diagonal_eigenvalues, lagt, legs, legt, normal_plus_low_rank

CURVE = Polynomial([0.3, -1.0, 0.5, 0.8])


def legendre_coefficients(curve, start: float, end: float, n: int) -> np.ndarray:
    def coefficient(i: int) -> float:
        return (
            np.sqrt(2 * i + 1) * quad(lambda s: curve(start + s * (end - start)) * eval_legendre(i, 2 * s - 1), 0, 1)[0]
        )

    return np.array([coefficient(i) for i in range(n)])


def rate_of(coefficients, t: float, gap: float = 1e-4) -> np.ndarray:
    return (coefficients(t + gap) - coefficients(t - gap)) / (2 * gap)


def test_legs_follows_the_coefficients_of_the_whole_past() -> None:
    A, B = (part.numpy() for part in legs(6))

    def coefficients(t: float) -> np.ndarray:
        return legendre_coefficients(CURVE, 0.0, t, 6)

    np.testing.assert_allclose((A @ coefficients(1.7) + B * CURVE(1.7)) / 1.7, rate_of(coefficients, 1.7), atol=1e-7)


@pytest.mark.parametrize("window", [1.0, 2.5])
def test_legt_follows_the_coefficients_of_a_window(window: float) -> None:
    A, B = (part.numpy() for part in legt(6, window))

    def coefficients(t: float) -> np.ndarray:
        return legendre_coefficients(CURVE, t - window, t, 6)

    np.testing.assert_allclose(A @ coefficients(1.7) + B * CURVE(1.7), rate_of(coefficients, 1.7), atol=1e-6)


def test_lagt_answers_an_impulse_with_laguerre_functions() -> None:
    A, B = (part.numpy() for part in lagt(8))
    for t in (0.0, 0.3, 2.0, 7.0):
        expected = [eval_laguerre(i, t) * np.exp(-t / 2) for i in range(8)]
        np.testing.assert_allclose(expm(t * A) @ B, expected, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 16, 64])
@pytest.mark.parametrize(("family", "matrices", "rank"), [("legs", legs, 1), ("legt", legt, 2), ("lagt", lagt, 1)])
def test_normal_plus_low_rank_rebuilds_the_matrix(family, matrices, rank: int, n: int) -> None:
    A, B = matrices(n)
    form = normal_plus_low_rank(family, n)
    rebuilt = form.V @ (torch.diag(form.eigenvalues) - form.P @ form.P.mH) @ form.V.mH
    scale = A.abs().max()
    assert form.P.shape == (n, rank)
    assert (rebuilt - A).abs().max() < 1e-13 * scale
    assert (form.V @ form.B - B).abs().max() < 1e-13 * scale
    assert (form.V.mH @ form.V - torch.eye(n)).abs().max() < 1e-13
    assert (form.eigenvalues - form.eigenvalues.conj().flip(0)).abs().max() < 1e-12 * scale


@pytest.mark.parametrize("n", [8, 64])
def test_legs_eigenvalues_are_those_of_the_normal_part(n: int) -> None:
    A, _ = legs(n)
    p = np.sqrt(np.arange(n) + 0.5)
    expected = np.linalg.eigvals(A.numpy() + np.outer(p, p))
    expected = expected[expected.imag > 0]
    expected = expected[np.argsort(expected.imag)]
    np.testing.assert_allclose(diagonal_eigenvalues("legs", n).numpy(), expected, rtol=1e-9)


def test_largest_frequencies_of_legs_are_the_published_ones() -> None:
    largest = [diagonal_eigenvalues("legs", n).imag.max().item() for n in (8, 16, 32, 64)]
    assert [round(value) for value in largest] == [20, 81, 325, 1303]


def test_closed_form_eigenvalues() -> None:
    assert torch.equal(diagonal_eigenvalues("lin", 6).imag, torch.pi * torch.arange(3, dtype=torch.float64))
    assert torch.equal(diagonal_eigenvalues("real", 6).real, torch.tensor([-1.0, -2.0, -3.0], dtype=torch.float64))
    inverse = diagonal_eigenvalues("inv", 64)
    np.testing.assert_allclose(inverse.imag[:2].numpy(), [64 / np.pi * 63, 64 / np.pi * (64 / 3 - 1)], rtol=1e-14)
    assert diagonal_eigenvalues("legs", 64).imag.max() == pytest.approx(inverse.imag[0].item(), rel=0.02)


def test_block_diagonal_halves_are_the_real_system() -> None:
    eigenvalues, V = block_diagonal_normal(12, blocks=3)
    p = np.sqrt(np.arange(4) + 0.5)
    block = legs(4)[0].numpy() + np.outer(p, p)
    normal = np.kron(np.eye(3), block)
    np.testing.assert_allclose(2 * (V * eigenvalues @ V.mH).real.numpy(), normal, atol=1e-13)
    np.testing.assert_allclose(2 * (V @ V.mH).real.numpy(), np.eye(12), atol=1e-13)
    assert (eigenvalues.imag > 0).all()


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: legs(0), "at least 1"),
        (lambda: legt(4, window=0.0), "window"),
        (lambda: normal_plus_low_rank("fourier", 4), "'fourier'"),
        (lambda: diagonal_eigenvalues("quad", 4), "'quad'"),
        (lambda: diagonal_eigenvalues("lin", 5), "even"),
        (lambda: block_diagonal_normal(12, blocks=5), "divide"),
        (lambda: block_diagonal_normal(12, blocks=4), "even"),
    ],
)
def test_errors_say_what_must_hold(call, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        call()
