"""Even grids as convolutions: against SciPy, against steps, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor
from torch.autograd import gradcheck

from tsssm.dynamics import (
    Bilinear,
    Diagonal,
    Dirac,
    ExponentialTrapezoid,
    FirstOrderHold,
    ForwardEuler,
    GeneralizedBilinear,
    LeftHold,
    LinearDiscretization,
    ZeroOrderHold,
    evolve_loop,
)
from tsssm.dynamics.convolution import (
    convolve,
    fft_length,
    impulse_response,
    powers,
    two_level_kernel,
    two_level_powers,
    uniform_gap,
)

RULES = [
    Bilinear(),
    Dirac(),
    ExponentialTrapezoid(),
    FirstOrderHold(),
    ForwardEuler(),
    GeneralizedBilinear(0.7),
    LeftHold(),
    ZeroOrderHold(),
]
CLOSE = {"rtol": 1e-10, "atol": 1e-10}
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
every_type = pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
GAP = torch.tensor(0.05, dtype=torch.float64)


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def case(dtype: torch.dtype, length: int) -> tuple[Diagonal, Tensor, Tensor]:
    """Three channels of four modes, one of them constant, a batch of two inputs, and a readout."""
    eigenvalues = -torch.rand(3, 4, dtype=torch.float64).to(dtype)
    if dtype.is_complex:
        eigenvalues = eigenvalues + 5j * torch.randn(3, 4, dtype=torch.float64)
    eigenvalues[0, 0] = 0
    return Diagonal(eigenvalues), torch.randn(2, length, 3, dtype=torch.float64), torch.randn(3, 4, dtype=dtype)


def stepped(A: Diagonal, rule: LinearDiscretization, u: Tensor, readout: Tensor) -> tuple[Tensor, Tensor]:
    states, state = evolve_loop(A, rule, GAP.expand(u.shape[:2]), u.unsqueeze(-1).to(A.dtype))
    return (readout * states).sum(-1).real, state.x


@every_rule
@every_type
@pytest.mark.parametrize("length", [1, 2, 3, 16, 17, 65])
def test_equals_the_steps(rule: LinearDiscretization, dtype: torch.dtype, length: int):
    A, u, readout = case(dtype, length)
    for mine, expected in zip(convolve(A, rule, GAP, u, readout), stepped(A, rule, u, readout), strict=True):
        torch.testing.assert_close(mine, expected, **CLOSE)


@every_rule
@pytest.mark.parametrize("length", [1, 2, 9])
def test_impulse_response_equals_the_steps(rule: LinearDiscretization, length: int):
    A, *_ = case(torch.complex128, length)
    impulse = torch.eye(length, 1).T.reshape(1, length, 1, 1).expand(-1, -1, 3, 4).to(A.dtype)
    states, _ = evolve_loop(A, rule, GAP.expand(1, length), impulse)
    torch.testing.assert_close(impulse_response(A, rule, GAP, length), states[0], **CLOSE)


@pytest.mark.parametrize(("rule", "method"), [(ZeroOrderHold(), "zoh"), (GeneralizedBilinear(0.5), "bilinear")])
def test_equals_scipy(rule: LinearDiscretization, method: str):
    value, weight = -0.3 + 4j, 1.2 - 0.7j
    matrix = np.array([[value.real, -value.imag], [value.imag, value.real]])
    whole = matrix, np.array([[1.0], [0.0]]), np.array([[weight.real, -weight.imag]]), np.zeros((1, 1))
    A, b, *_ = signal.cont2discrete(whole, float(GAP), method=method)
    numerator, denominator = signal.ss2tf(A, b, *whole[2:])
    u = torch.randn(1, 50, 1, dtype=torch.float64)
    system = Diagonal(torch.tensor([[value]], dtype=torch.complex128))
    readout = torch.tensor([[weight]], dtype=torch.complex128)
    y, _ = convolve(system, rule, GAP, u, readout)
    # a filter reads the state before its row's input
    late = signal.lfilter(numerator[0], denominator, np.append(u[0, :, 0].numpy(), 0.0))[1:]
    torch.testing.assert_close(y[0, :, 0], torch.from_numpy(late), **CLOSE)
    _, (response,) = signal.dimpulse((A, b, *whole[2:], 1.0), n=51)
    impulse = torch.eye(50, 1, dtype=torch.float64).reshape(1, 50, 1)
    y, _ = convolve(system, rule, GAP, impulse, readout)
    torch.testing.assert_close(y[0, :, 0], torch.from_numpy(response[1:, 0]), **CLOSE)


@every_type
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 63, 64, 65])
def test_two_level_kernel_is_the_sum_of_powers(dtype: torch.dtype, length: int):
    a, weights = 0.6 * torch.randn(2, 3, dtype=dtype), torch.randn(2, 3, dtype=dtype)
    a[0, 0] = 0
    expected = (weights * a**0).real.sum(-1, keepdim=True)
    for t in range(1, length):
        expected = torch.cat([expected, (weights * a**t).real.sum(-1, keepdim=True)], -1)
    torch.testing.assert_close(two_level_kernel(weights, a, length), expected, **CLOSE)
    coarse, fine = two_level_powers(a, length)
    both = (coarse.unsqueeze(-1) * fine.unsqueeze(-2)).flatten(-2)[..., :length]
    torch.testing.assert_close(both, powers(a, length), **CLOSE)


def test_single_precision_stays_close_over_many_rows():
    A, u, readout = case(torch.complex128, 4096)
    expected, _ = convolve(A, ZeroOrderHold(), GAP, u, readout)
    A, readout = Diagonal(A.eigenvalues.to(torch.complex64)), readout.to(torch.complex64)
    y, state = convolve(A, ZeroOrderHold(), GAP, u.float(), readout)
    assert y.dtype == torch.float32 and state.dtype == torch.complex64
    # the rounding of the eigenvalues themselves turns a mode by 1e-5 rad over the run
    assert (y - expected).abs().max() < 2e-5 * expected.abs().max()


@pytest.mark.parametrize("rule", [ZeroOrderHold(), FirstOrderHold()], ids=["held", "linear"])
@pytest.mark.parametrize("length", [1, 5])
def test_gradients(rule: LinearDiscretization, length: int):
    A, u, readout = case(torch.complex128, length)

    def run(eigenvalues: Tensor, gap: Tensor, u: Tensor, readout: Tensor) -> tuple[Tensor, Tensor]:
        return convolve(Diagonal(eigenvalues), rule, gap, u, readout)

    assert gradcheck(run, [part.clone().requires_grad_() for part in (A.eigenvalues, GAP, u, readout)])


def test_shared_modes():
    A, u, readout = case(torch.complex128, 9)
    shared = A.eigenvalues[1]
    y, state = convolve(Diagonal(shared), ZeroOrderHold(), GAP, u, readout)
    expected = convolve(Diagonal(shared.expand(3, 4)), ZeroOrderHold(), GAP, u, readout)
    torch.testing.assert_close((y, state), expected, **CLOSE)


def test_no_array_of_modes_by_rows():
    largest = 0

    def look(part: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, part.numel())
        return part

    length, n = 4096, 64
    eigenvalues = (-torch.rand(1, n, dtype=torch.float64)).requires_grad_()
    u = torch.randn(1, length, 1, dtype=torch.float64)
    with torch.autograd.graph.saved_tensors_hooks(look, lambda part: part):
        convolve(Diagonal(eigenvalues), ZeroOrderHold(), GAP, u, torch.ones(1, n, dtype=torch.float64))
    assert largest < 6 * length


def test_fft_length_is_the_least_smooth_even_number():
    sizes = sorted(2**i * 3**j * 5**k for i in range(1, 14) for j in range(9) for k in range(6))
    for least in range(1, 5000):
        assert fft_length(least) == next(size for size in sizes if size >= least)


def test_powers_are_exact_at_zero_and_one():
    a = torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64)
    truth = torch.stack([a**k for k in range(11)], -1)
    torch.testing.assert_close(powers(a, 11), truth, rtol=1e-15, atol=0.0)


def test_uniform_gap():
    even = torch.full((2, 4), 0.25, dtype=torch.float32)
    none = torch.zeros(2, 4, dtype=torch.bool)
    assert uniform_gap(even, None, None) == 0.25
    # the rounding of a float32 clock is no uneven gap, a per mille is
    assert uniform_gap(even * (1 + 1e-7), none, None) is not None
    bent = even.clone()
    bent[1, 2] *= 1.001
    assert uniform_gap(bent, none, None) is None
    first = even.clone()
    first[:, 0] = 1.0
    assert uniform_gap(first, none, None) is None
    assert uniform_gap(even, none, ~none) is None
    learned = even.clone().requires_grad_()
    assert uniform_gap(learned, none, None) is None
    with torch.no_grad():
        assert uniform_gap(learned, none, None) == 0.25
    inside = none.clone()
    inside[0, 2] = True
    assert uniform_gap(even, inside, None) is None
