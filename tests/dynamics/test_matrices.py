"""The three structures against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch.autograd import gradcheck, gradgradcheck

from tsssm.dynamics.functions import phis
from tsssm.dynamics.matrices import DPLR, Dense, Diagonal, StateMatrix, scaled_identity

N = 5


def random_matrices(dtype: torch.dtype, batch: tuple[int, ...] = ()) -> list[StateMatrix]:
    generator = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*batch, *shape, dtype=dtype, generator=generator)

    eigenvalues = normal(N) - 1.5
    return [
        Diagonal(eigenvalues),
        DPLR(eigenvalues, normal(N, 1), normal(N, 1)),
        DPLR(eigenvalues, normal(N, 2), normal(N, 2)),
        Dense(normal(N, N) - 2 * torch.eye(N, dtype=dtype)),
    ]


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


DTYPES = [torch.float64, torch.complex128]
EACH = [(dtype, i) for dtype in DTYPES for i in range(4)]
GAPS = torch.tensor([0.0, 0.3, 1.7, 0.3], dtype=torch.float64)


def oracle_phi(k: int, z: np.ndarray) -> np.ndarray:
    # phi_k by Gauss-Legendre quadrature of exp((1 - s) z) s^(k-1) / (k-1)!, independent of the augmented exponential.
    if k == 0:
        return scipy.linalg.expm(z)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    nodes, weights = (nodes + 1) / 2, weights / 2
    return sum(w * s ** (k - 1) * scipy.linalg.expm((1 - s) * z) for s, w in zip(nodes, weights, strict=True))


@pytest.mark.parametrize(("dtype", "kind"), EACH)
def test_operations_equal_dense_linear_algebra(dtype: torch.dtype, kind: int) -> None:
    A = random_matrices(dtype)[kind]
    full, eye = A.dense(), torch.eye(N, dtype=dtype)
    x = torch.randn(3, N, dtype=dtype)
    close = {"rtol": 1e-12, "atol": 1e-12}
    assert A.shape == (N, N) and A.dtype == dtype
    torch.testing.assert_close(A @ x, x @ full.mT, **close)
    torch.testing.assert_close(A(0.0, x, x), x @ full.mT + x, **close)
    torch.testing.assert_close(A(0.0, x, None), x @ full.mT, **close)
    for h in GAPS.tolist():
        torch.testing.assert_close(A.affine(h, 0.7).dense(), h * full + 0.7 * eye, **close)
        torch.testing.assert_close(A.affine(h).dense(), h * full, **close)
        torch.testing.assert_close(A.resolvent(h).dense(), torch.linalg.inv(eye - h * full), **close)
        for alpha in (0.0, 0.3, 1.0):
            inverse = torch.linalg.inv(eye - alpha * h * full)
            transition, resolvent = A.rational(h, alpha)
            torch.testing.assert_close(resolvent.dense(), inverse, **close)
            torch.testing.assert_close(transition.dense(), inverse @ (eye + (1 - alpha) * h * full), **close)
        for k in range(3):
            expected = torch.from_numpy(oracle_phi(k, h * full.numpy()))
            torch.testing.assert_close(A.phi(k, h).dense(), expected, **close)
        torch.testing.assert_close(A.exp(h).dense(), A.phi(0, h).dense(), **close)
        torch.testing.assert_close(A.exp_integral(h).dense(), h * A.phi(1, h).dense(), **close)


@pytest.mark.parametrize(("dtype", "kind"), EACH)
@pytest.mark.parametrize(
    ("batch", "gaps"),
    [((), (4,)), ((3,), (3,)), ((3,), (4, 1)), ((2, 3), (4, 1, 1)), ((3,), ())],
)
def test_batches_broadcast_like_single_matrices(dtype: torch.dtype, kind: int, batch, gaps) -> None:
    A = random_matrices(dtype, batch)[kind]
    h = torch.rand(gaps, dtype=torch.float64)
    shape = torch.broadcast_shapes(batch, gaps)
    many = A.dense().expand(*shape, N, N).reshape(-1, N, N)
    every = h.expand(shape).reshape(-1).tolist()
    operations = [
        lambda M, h: M.affine(h, h),
        lambda M, h: M.resolvent(h),
        lambda M, h: M.rational(h, 0.5)[0],
        lambda M, h: M.phi(2, h),
        lambda M, h: M.exp_and_integral(h)[1],
        lambda M, h: M.exp(h),
        lambda M, h: M - M.affine(h),
        scaled_identity,
    ]
    for operation in operations:
        result = operation(A, h)
        expected = torch.stack([operation(Dense(M), h).dense() for M, h in zip(many, every, strict=True)])
        assert result.shape == (*shape, N, N) and result.dtype == dtype
        torch.testing.assert_close(result.dense().reshape(-1, N, N), expected, rtol=1e-12, atol=1e-12)


def test_structure_is_kept_where_it_can_be() -> None:
    diagonal, dplr, _, dense = random_matrices(torch.complex128)
    for A, kept, exponential in ((diagonal, Diagonal, Diagonal), (dplr, DPLR, Dense), (dense, Dense, Dense)):
        assert type(A.affine(2.0)) is type(A.resolvent(0.1)) is type(A.rational(0.1, 0.5)[0]) is kept
        assert type(A.exp(0.1)) is type(A.phi(2, 0.1)) is exponential
    assert dplr.rational(0.1, 0.5)[0].P.shape == (N, 1)


@pytest.mark.parametrize(("dtype", "kind"), EACH)
def test_gradients_with_respect_to_entries_and_gaps(dtype: torch.dtype, kind: int) -> None:
    A = random_matrices(dtype)[kind]
    entries = [part.clone().requires_grad_() for part in vars(A).values()]
    h = GAPS[:2].clone().requires_grad_()

    def results(h: torch.Tensor, *entries: torch.Tensor) -> list[torch.Tensor]:
        B = type(A)(*entries)
        matrices = [B.affine(h, h), *B.rational(h, 0.5), *B.phis(2, h), *B.exp_and_integral(h), B.exp(h)]
        return [M.dense() for M in matrices]

    assert gradcheck(results, (h, *entries))


def test_diagonal_gradients_hold_at_zero_and_twice() -> None:
    eigenvalues = torch.tensor([0, 1e-9, -0.3 + 2j], dtype=torch.complex128, requires_grad=True)
    h = torch.tensor([0.0, 1e-9, 1.3], dtype=torch.float64, requires_grad=True)

    def results(eigenvalues: torch.Tensor, h: torch.Tensor) -> list[torch.Tensor]:
        A = Diagonal(eigenvalues)
        return [M.eigenvalues for M in (*A.exp_and_integral(h), A.exp(h), *A.phis(2, h))]

    assert gradcheck(results, (eigenvalues, h)) and gradgradcheck(results, (eigenvalues, h))


def test_dense_exponential_is_computed_once_for_each_distinct_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    exponential = torch.linalg.matrix_exp
    monkeypatch.setattr(torch.linalg, "matrix_exp", lambda M: (seen.append(M.shape[0]), exponential(M))[1])
    A = random_matrices(torch.float64)[3]
    h = torch.tensor([0.1, 0.2, 0.1, 0.1, 0.2], dtype=torch.float64)
    assert A.phi(2, h.reshape(5, 1)).shape == (5, 1, N, N)
    assert seen == [2]


def test_diagonal_phi_is_phi_of_the_eigenvalues() -> None:
    A = random_matrices(torch.complex128)[0]
    for k, expected in enumerate(phis(0.4 * A.eigenvalues, 3)):
        assert torch.equal(A.phi(k, 0.4).eigenvalues, expected) or k == 0


def test_single_precision_entries_stay_in_single_precision() -> None:
    for dtype in (torch.float32, torch.complex64):
        A = Diagonal(torch.ones(2, dtype=dtype))
        assert A.exp_integral(GAPS).dtype == A.resolvent(GAPS).dtype == A.affine(GAPS, GAPS).dtype == dtype


def test_a_dense_or_low_rank_real_matrix_moves_a_complex_state() -> None:
    x = torch.ones(N, dtype=torch.complex128)
    for A in random_matrices(torch.float64):
        torch.testing.assert_close(A @ x, A.dense().to(x.dtype) @ x)


@pytest.mark.parametrize(
    ("call", "error", "word"),
    [
        (lambda: Diagonal(torch.ones(2, dtype=torch.int64)), TypeError, "int64"),
        (lambda: Diagonal([1.0]), TypeError, "list"),
        (lambda: Diagonal(torch.tensor(1.0)), ValueError, "eigenvalues"),
        (lambda: Dense(torch.ones(2, 3)), ValueError, "square"),
        (lambda: Dense(torch.ones(3)), ValueError, "2 axes"),
        (lambda: DPLR(torch.ones(2), torch.ones(3, 1), torch.ones(2, 1)), ValueError, r"\(\*, 2, r\)"),
        (lambda: DPLR(torch.ones(2), torch.ones(2, 1), torch.ones(2, 2)), ValueError, "`P` and `Q`"),
    ],
)
def test_errors_say_what_must_hold(call, error, word: str) -> None:
    with pytest.raises(error, match=word):
        call()
