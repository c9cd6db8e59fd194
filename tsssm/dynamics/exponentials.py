"""Forward and backward passes behind `dynamics.functions`, built from real exp, expm1, sin and cos.

Each backward pass uses differentiable operations only, so that second derivatives are right too. Complex gradients follow the
convention of torch: the incoming gradient times the conjugate of the derivative.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd import Function


class ComplexExp(Function):
    """exp(re + i im)."""

    @staticmethod
    def forward(ctx, re: Tensor, im: Tensor) -> Tensor:
        size = re.exp()
        value = torch.complex(size * im.cos(), size * im.sin())
        ctx.shapes = re.shape, im.shape
        ctx.save_for_backward(value)
        return value

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        (value,) = ctx.saved_tensors
        grad = grad * value.conj()
        return grad.real.sum_to_size(ctx.shapes[0]), grad.imag.sum_to_size(ctx.shapes[1])


class ExpPair(Function):
    """exp(z) and exp(z) - 1."""

    @staticmethod
    def forward(ctx, z: Tensor) -> tuple[Tensor, Tensor]:
        exp, less_one = _exp_pair(z.real, z.imag) if z.is_complex() else _exp_pair(z, None)
        ctx.save_for_backward(exp)
        return exp, less_one

    @staticmethod
    def backward(ctx, grad_exp: Tensor, grad_less_one: Tensor) -> Tensor:
        (exp,) = ctx.saved_tensors
        return (grad_exp + grad_less_one) * exp.conj()


class Phis(Function):
    """phi_0(z) .. phi_order(z)."""

    @staticmethod
    def forward(ctx, z: Tensor, order: int) -> tuple[Tensor, ...]:
        exp, less_one = _exp_pair(z.real, z.imag) if z.is_complex() else _exp_pair(z, None)
        values = [exp]
        if order >= 1:
            # Below 1e-10 the quotient underflows in float32, and 1 + z/2 is exact in float64.
            tiny = z.abs() < 1e-10
            values.append(torch.where(tiny, 1 + z / 2, less_one / torch.where(tiny, 1.0, z)))
        for k in range(2, order + 1):
            values.append(_next_phi(values[-1], z, k))
        ctx.save_for_backward(z, *values)
        return tuple(values)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:
        z, *values = ctx.saved_tensors
        order = len(values) - 1
        total = grads[0] * values[0].conj()
        if order >= 1:
            values.append(_next_phi(values[-1], z, order + 1))
        for k in range(1, order + 1):
            total = total + grads[k] * (values[k] - k * values[k + 1]).conj()
        return total, None


class ExpAndIntegral(Function):
    """exp(h rate) and (exp(h rate) - 1) / rate."""

    @staticmethod
    def forward(ctx, rate: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        if rate.is_complex():
            exp, less_one = _exp_pair(h * rate.real, h * rate.imag)
        else:
            exp, less_one = _exp_pair(h * rate, None)
        inverse, is_zero = _safe_inverse(rate)
        integral = torch.where(is_zero, h.to(rate.dtype), less_one * inverse)
        ctx.save_for_backward(rate, h, exp, integral)
        return exp, integral

    @staticmethod
    def backward(ctx, grad_exp: Tensor, grad_integral: Tensor) -> tuple[Tensor | None, Tensor | None]:
        rate, h, exp, integral = ctx.saved_tensors
        exp_conj = exp.conj()
        grad_rate = grad_h = None
        if ctx.needs_input_grad[0]:
            slope = _integral_slope(rate, h, exp, integral)
            grad_rate = (grad_exp * exp_conj * h + grad_integral * slope.conj()).sum_to_size(rate.shape)
        if ctx.needs_input_grad[1]:
            grad_h = (grad_exp * rate.conj() + grad_integral) * exp_conj
            grad_h = (grad_h.real if grad_h.is_complex() else grad_h).sum_to_size(h.shape)
        return grad_rate, grad_h


def _exp_pair(re: Tensor, im: Tensor | None) -> tuple[Tensor, Tensor]:
    # exp and expm1 of a number from one sine and one cosine, those of the half angle.
    size, size_less_one = re.exp(), re.expm1()
    if im is None:
        return size, size_less_one
    half = im / 2
    sine = half.sin()
    twice = 2 * size * sine
    drop, imaginary = twice * sine, twice * half.cos()
    return torch.complex(size - drop, imaginary), torch.complex(size_less_one - drop, imaginary)


def _next_phi(lower: Tensor, z: Tensor, k: int) -> Tensor:
    # The recursion loses a digit for each factor 10 below 1, more so at high k: a Taylor sum replaces it there.
    radius = max(0.5, (k - 1) / 2)
    small = z.abs() < radius
    series = _horner(torch.where(small, z, 0.0), _taylor(k, radius, z.dtype))
    return torch.where(small, series, (lower - 1 / math.factorial(k - 1)) / torch.where(small, 1.0, z))


def _integral_slope(rate: Tensor, h: Tensor, exp: Tensor, integral: Tensor) -> Tensor:
    # d/d rate of (exp(h rate) - 1) / rate = h^2 (phi1 - phi2)(h rate).
    radius = 0.5
    small = h.abs() * rate.abs() < radius
    z = torch.where(small, h * rate, 0.0)
    terms = _taylor(2, radius, rate.dtype)
    series = _horner(z, tuple((j + 1) * term for j, term in enumerate(terms))) * h**2
    return torch.where(small, series, (h * exp - integral) * _safe_inverse(rate)[0])


def _safe_inverse(rate: Tensor) -> tuple[Tensor, Tensor]:
    # conj / |rate|^2 with a guard where the square would underflow; there the limit at zero is exact to rounding.
    square = rate.real**2 + rate.imag**2 if rate.is_complex() else rate**2
    is_zero = square < 4 * torch.finfo(square.dtype).tiny
    return torch.where(is_zero, 0.0, rate.conj()) / torch.where(is_zero, 1.0, square), is_zero


def _horner(z: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    value = torch.full_like(z, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = torch.addcmul(z.new_tensor(coefficient), value, z)
    return value


@lru_cache(maxsize=64)
def _taylor(k: int, radius: float, dtype: torch.dtype) -> tuple[float, ...]:
    # 1 / (j + k)! until the next term, relative to the first, is below the rounding error of the dtype.
    eps = torch.finfo(dtype).eps / 4
    coefficients = [1 / math.factorial(k)]
    while radius ** len(coefficients) * math.factorial(k) > eps * math.factorial(len(coefficients) + k):
        coefficients.append(1 / math.factorial(len(coefficients) + k))
    return tuple(coefficients)
