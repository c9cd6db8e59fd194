"""What every state matrix keeps: each verb is the verb of its dense form."""

from __future__ import annotations

import pytest
import scipy.linalg
import torch
from torch import Tensor

from tests.conformance.kinds import every_matrix, small_matrix
from tsssm.dynamics import Dense, StateMatrix

CLOSE = {"rtol": 1e-10, "atol": 1e-10}
H = torch.tensor([0.3, 1.1], dtype=torch.float64)


def eye() -> Tensor:
    return torch.eye(4, dtype=torch.float64)


def expm(full: Tensor) -> Tensor:
    return torch.stack([torch.from_numpy(scipy.linalg.expm(part.numpy())) for part in full])


@every_matrix
def test_shape_type_and_product(kind: type[StateMatrix]):
    A = small_matrix(kind)
    full = A.dense()
    x, u = torch.randn(2, 3, 2, 4, dtype=A.dtype)
    assert A.shape == full.shape == (2, 4, 4) and A.dtype == full.dtype and A.dtype.to_real() == torch.float64
    assert A.device == full.device
    truth = (full @ x.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(A @ x, truth, **CLOSE)
    torch.testing.assert_close(A(None, x, u), truth + u, **CLOSE)
    torch.testing.assert_close(A(None, x, None), truth, **CLOSE)


@every_matrix
@pytest.mark.parametrize("h", [0.0, 0.4, H], ids=["zero", "number", "each"])
def test_verbs_equal_dense_linear_algebra(kind: type[StateMatrix], h: float | Tensor):
    A = small_matrix(kind)
    full = A.dense()
    wide = torch.as_tensor(h, dtype=torch.float64).expand(2)[:, None, None]
    torch.testing.assert_close(A.affine(h, 0.7).dense(), wide * full + 0.7 * eye(), **CLOSE)
    inverse = torch.linalg.inv(eye() - wide * full)
    torch.testing.assert_close(A.resolvent(h).dense(), inverse, **CLOSE)
    for alpha in (0.0, 0.5, 1.0):
        transition, solved = A.rational(h, alpha)
        truth = torch.linalg.inv(eye() - alpha * wide * full)
        torch.testing.assert_close(solved.dense(), truth, **CLOSE)
        torch.testing.assert_close(transition.dense(), truth @ (eye() + (1 - alpha) * wide * full), **CLOSE)
    exp = expm(wide * full)
    torch.testing.assert_close(A.exp(h).dense(), exp, **CLOSE)
    integral = torch.linalg.solve(full, exp - eye())
    torch.testing.assert_close(A.exp_integral(h).dense(), integral, **CLOSE)
    together = A.exp_and_integral(h)
    torch.testing.assert_close(together[0].dense(), exp, **CLOSE)
    torch.testing.assert_close(together[1].dense(), integral, **CLOSE)


@every_matrix
def test_phi_functions_obey_their_recursion(kind: type[StateMatrix]):
    # phi_k(z) = 1/k! + z phi_{k+1}(z)
    A = small_matrix(kind)
    full = 0.8 * A.dense()
    values = [part.dense() for part in A.phis(3, 0.8)]
    torch.testing.assert_close(values[0], expm(full), **CLOSE)
    for k, factorial in ((0, 1), (1, 1), (2, 2)):
        torch.testing.assert_close(values[k], eye() / factorial + full @ values[k + 1], **CLOSE)
        torch.testing.assert_close(A.phi(k, 0.8).dense(), values[k], **CLOSE)


@every_matrix
def test_difference(kind: type[StateMatrix]):
    A = small_matrix(kind)
    other = Dense(torch.randn(2, 4, 4, dtype=A.dtype))
    torch.testing.assert_close((A - other).dense(), A.dense() - other.dense(), **CLOSE)
    torch.testing.assert_close((other - A).dense(), other.dense() - A.dense(), **CLOSE)
    torch.testing.assert_close((A - A.affine(0.5)).dense(), 0.5 * A.dense(), **CLOSE)


@every_matrix
def test_two_short_gaps_are_a_long_one(kind: type[StateMatrix]):
    A = small_matrix(kind)
    x = torch.randn(2, 4, dtype=A.dtype)
    torch.testing.assert_close(A.exp(0.3) @ (A.exp(0.5) @ x), A.exp(0.8) @ x, **CLOSE)


@every_matrix
def test_adjoint_and_entries(kind: type[StateMatrix]):
    A = small_matrix(kind)
    torch.testing.assert_close(A.adjoint().dense(), A.dense().mH, **CLOSE)
    # a gap for each matrix leaves parts that know nothing of it: picking one has to see the whole batch
    wide = A.affine(torch.rand(3, 2, dtype=torch.float64), 1.0)
    assert all(entry.shape[:2] == (3, 2) for entry in wide.entries())
    torch.testing.assert_close(wide.pick((slice(None), 1)).dense(), wide.dense()[:, 1], **CLOSE)
    torch.testing.assert_close(type(A)(*wide.entries()).dense(), wide.dense(), **CLOSE)
