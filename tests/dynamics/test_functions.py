"""exp, expm1 and the phi functions against mpmath."""

from __future__ import annotations

import mpmath
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from tsssm.dynamics.functions import complex_exp, exp_and_integral, expm1, phi1, phi2, phi3, phis

SIZES = [0.0, *(10.0**k for k in range(-12, 4))]
TOLERANCE = {torch.float32: 4e-6, torch.complex64: 4e-6, torch.float64: 1e-14, torch.complex128: 1e-14}


def points(dtype: torch.dtype) -> torch.Tensor:
    if dtype.is_complex:
        angles = torch.linspace(torch.pi / 2, torch.pi, 5, dtype=torch.float64)
        z = torch.tensor(SIZES, dtype=torch.float64)[:, None] * torch.polar(torch.ones_like(angles), angles)
        # Positive real parts too, as far as they stay in range.
        z = torch.cat([z.flatten(), -z.flatten()[z.flatten().abs() < 20]])
    else:
        z = torch.tensor([-s for s in SIZES] + [s for s in SIZES if s < 20], dtype=torch.float64)
    return torch.cat([z, z.new_tensor([0.249, 0.251, 0.499, 0.501, 0.999, 1.001]) * -1]).to(dtype)


def oracle(k: int, z: complex) -> complex:
    with mpmath.workdps(60):
        z = mpmath.mpmathify(z)
        if z == 0:
            return complex(1 / mpmath.factorial(k))
        value = mpmath.exp(z)
        for j in range(k):
            value = (value - 1 / mpmath.factorial(j)) / z
        return complex(value)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize(("k", "function"), [(1, phi1), (2, phi2), (3, phi3)])
def test_phi_functions_are_accurate_at_every_size(k: int, function, dtype: torch.dtype) -> None:
    z = points(dtype)
    value = function(z)
    expected = torch.tensor([oracle(k, complex(x)) for x in z.tolist()], dtype=torch.complex128)
    assert value.dtype == dtype
    assert ((value.to(torch.complex128) - expected).abs() / expected.abs()).max() < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_expm1_is_accurate_at_every_size(dtype: torch.dtype) -> None:
    z = points(dtype)
    with mpmath.workdps(60):
        expected = torch.tensor([complex(mpmath.exp(x) - 1) for x in z.tolist()], dtype=torch.complex128)
    error = (expm1(z).to(torch.complex128) - expected).abs() / expected.abs().clamp_min(1e-300)
    assert error.max() < TOLERANCE[dtype]


def test_complex_exp_is_exp() -> None:
    re, im = torch.tensor([-3.0, 0.0, 2.0], dtype=torch.float64), torch.tensor([0.1, 50.0, -7.0], dtype=torch.float64)
    torch.testing.assert_close(complex_exp(re, im), torch.exp(torch.complex(re, im)), rtol=1e-15, atol=1e-15)
    inputs = re.requires_grad_(), im.requires_grad_()
    assert gradcheck(complex_exp, inputs) and gradgradcheck(complex_exp, inputs)
    assert gradcheck(complex_exp, (re, im[:1].detach().requires_grad_()))


GRADIENT_POINTS = [0, 1e-9, 1e-9j, 0.3, 0.6j, -0.499, -0.501, -2 + 3j, -30.0]


@pytest.mark.parametrize("function", [expm1, phi1, phi2, phi3, lambda z: phis(z, 0)[0], lambda z: phis(z, 2)])
@pytest.mark.parametrize("is_complex", [True, False])
def test_gradients_are_right_at_zero_and_away(function, is_complex: bool) -> None:
    values = GRADIENT_POINTS if is_complex else [x for x in GRADIENT_POINTS if not isinstance(x, complex)]
    z = torch.tensor(values, dtype=torch.complex128 if is_complex else torch.float64, requires_grad=True)
    assert gradcheck(function, (z,)) and gradgradcheck(function, (z,))


@pytest.mark.parametrize("is_complex", [True, False])
def test_exp_and_integral_gradients_with_respect_to_rate_and_gap(is_complex: bool) -> None:
    rates = torch.tensor([0, 1e-9, -1e-9, 0.2, -0.5 + 4j, -30.0], dtype=torch.complex128)
    rates = (rates if is_complex else rates.real.clone()).requires_grad_()
    h = torch.tensor([[0.0], [1e-9], [0.3], [2.0]], dtype=torch.float64, requires_grad=True)
    assert gradcheck(exp_and_integral, (rates, h)) and gradgradcheck(exp_and_integral, (rates, h))


def test_exp_and_integral_in_single_precision() -> None:
    rates = torch.tensor(
        [0.0, 1e-30, 1e-8j, -1e-4 + 1e-3j, -0.5 + 3j, -40.0], dtype=torch.complex64, requires_grad=True
    )
    h = torch.tensor([[0.0], [1e-6], [1e-3], [0.07], [1.0]])
    wide, wide_h = rates.detach().to(torch.complex128), h.to(torch.float64)
    z = wide_h * wide
    integral = exp_and_integral(rates, h)[1]
    torch.testing.assert_close(integral.to(torch.complex128), wide_h * phi1(z), rtol=2e-6, atol=0)
    # The slope by the rate keeps its digits too: as the derivative of the quotient it loses all of them.
    (slope,) = torch.autograd.grad(integral[2].real.sum(), rates)
    expected = (wide_h**2 * (phi1(z) - phi2(z))).conj()[2]
    torch.testing.assert_close(slope.to(torch.complex128), expected, rtol=2e-6, atol=0)


def test_decay_underflows_to_the_limits() -> None:
    rate = torch.tensor([-5.0 + 2.0j], dtype=torch.complex128)
    exp, integral = exp_and_integral(rate, torch.tensor([1e6], dtype=torch.float64))
    assert exp.item() == 0
    assert integral.item() == pytest.approx((-1 / rate).item(), rel=1e-15)
