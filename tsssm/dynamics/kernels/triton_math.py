"""Arithmetic of the Triton kernels: numbers that may be complex, and the growth over a gap.

A number is the tuple of its parts: (re, im) where it is complex, (re,) where it is real, () where it is zero. What is
real or zero costs no arithmetic, and the kernels are written once. A condition that may be missing is (condition,) or ().
"""

from __future__ import annotations

import triton
import triton.language as tl

# Polynomials fitted to the least largest relative error: exp(f) - 1 on +-log(2)/2 to 1.3e-8, sine and cosine on +-pi/2
# to 4.8e-9 and 2.4e-10. The libraries' own sin and cos branch on large angles, and their fast forms are inexact at 0.
EXP = tl.constexpr((0.5, 0.16666543483734, 0.04166628047824, 0.008366577327251, 0.001394643681124))
SIN = tl.constexpr((-0.166666612029, 0.008333087898791, -0.000198111127247, 2.608932391013e-06))
COS = tl.constexpr((-0.5, 0.041666641831398, -0.00138884037733, 2.47618863796e-05, -2.6077103143507e-07))
# log(2) and pi in parts whose products with small whole numbers are exact
LOG2E, LOG2_HIGH, LOG2_LOW = tl.constexpr(1.44269504), tl.constexpr(0.693359375), tl.constexpr(-2.1219444e-4)
PI_HIGH, PI_MIDDLE, PI_LOW = tl.constexpr(3.140625), tl.constexpr(9.675025939941406e-4), tl.constexpr(1.50995803e-7)
HALF_TURN = tl.constexpr(0.159154937)
# adding 1.5 * 2^23 to a float32 rounds it to a whole number, which is then in its last bits
ROUNDING = tl.constexpr(12582912.0)


@triton.jit
def times(a, b):
    """a b."""
    # a branch for each case and nothing after them: the compiler reads on behind a branch that returned
    if len(a) == 0 or len(b) == 0:
        return ()
    elif len(a) == 1 and len(b) == 1:
        return (a[0] * b[0],)
    elif len(a) == 1:
        return (a[0] * b[0], a[0] * b[1])
    elif len(b) == 1:
        return (a[0] * b[0], a[1] * b[0])
    else:
        return (a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0])


@triton.jit
def conjugate_times(a, b):
    """conj(a) b."""
    if len(a) < 2 or len(b) == 0:
        return times(a, b)
    elif len(b) == 1:
        return (a[0] * b[0], -a[1] * b[0])
    else:
        return (a[0] * b[0] + a[1] * b[1], a[0] * b[1] - a[1] * b[0])


@triton.jit
def plus(a, b):
    """a + b."""
    if len(a) == 0:
        return b
    elif len(b) == 0:
        return a
    elif len(a) == 1 and len(b) == 1:
        return (a[0] + b[0],)
    elif len(a) == 1:
        return (a[0] + b[0], b[1])
    elif len(b) == 1:
        return (a[0] + b[0], a[1])
    else:
        return (a[0] + b[0], a[1] + b[1])


@triton.jit
def where(condition, a, b):
    """a where the condition holds or is missing, else b, of the same kind or zero."""
    if len(condition) == 0 or len(a) == 0:
        return a
    elif len(a) == 1:
        return (tl.where(condition[0], a[0], b[0] if len(b) > 0 else 0.0),)
    elif len(b) == 0:
        return (tl.where(condition[0], a[0], 0.0), tl.where(condition[0], a[1], 0.0))
    else:
        return (tl.where(condition[0], a[0], b[0]), tl.where(condition[0], a[1], b[1]))


@triton.jit
def of_kind(value, COMPLEX: tl.constexpr):
    """The number, or its real part."""
    if COMPLEX or len(value) < 2:
        return value
    else:
        return (value[0],)


@triton.jit
def zeros_like(value):
    """A zero of the same kind, for sums that begin with it."""
    if len(value) == 1:
        return (tl.zeros_like(value[0]),)
    else:
        return (tl.zeros_like(value[0]), tl.zeros_like(value[1]))


@triton.jit
def load(pointer, first, offset, inside, COMPLEX: tl.constexpr):
    """A number from a real view of numbers, `offset` behind the `first`; 0 outside."""
    # the first is the same for all lanes and may need 64 bits: kept apart, it costs the lanes no 64-bit arithmetic
    if COMPLEX:
        place = pointer + 2 * first + 2 * offset
        return (tl.load(place, mask=inside, other=0.0), tl.load(place + 1, mask=inside, other=0.0))
    else:
        return (tl.load(pointer + first + offset, mask=inside, other=0.0),)


@triton.jit
def store(pointer, first, offset, value, inside):
    """Write a number into a real view of numbers, if there is one."""
    if pointer is None:
        pass
    elif len(value) == 1:
        tl.store(pointer + first + offset, value[0], mask=inside)
    else:
        place = pointer + 2 * first + 2 * offset
        tl.store(place, value[0], mask=inside)
        tl.store(place + 1, value[1], mask=inside)


@triton.jit
def growth(rate, gap, alpha):
    """What is gained over a gap: exp(z) - 1, or z / (1 - alpha z) where there is an alpha, at z = rate gap."""
    z = times(rate, (gap,))
    if alpha is not None:
        return rational(z, alpha)
    elif len(z) == 1:
        return (exp_minus_one(z[0]),)
    else:
        return complex_exp_minus_one(z[0], z[1])


@triton.jit
def rational(z, alpha):
    """z / (1 - alpha z)."""
    if len(z) == 1:
        return (z[0] / (1 - alpha * z[0]),)
    else:
        below = (1 - alpha * z[0], -alpha * z[1])
        return times(conjugate_times(below, z), (1 / (below[0] * below[0] + below[1] * below[1]),))


@triton.jit
def slope(m, alpha):
    """Derivative of the growth m by z: exp(z) = 1 + m, or 1 / (1 - alpha z)^2 = (1 + alpha m)^2."""
    if alpha is None:
        return plus((1.0,), m)
    else:
        root = plus((1.0,), times((alpha,), m))
        return times(root, root)


@triton.jit
def exp_minus_one(x):
    """exp(x) - 1 = 2^k (exp(f) - 1) + 2^k - 1 with x = k log(2) + f, for -87 < x < 88 and held there beyond."""
    x = tl.clamp(x, -87.0, 88.0, propagate_nan=tl.PropagateNan.ALL)
    whole = x * LOG2E + ROUNDING
    k = whole - ROUNDING
    f = (x - k * LOG2_HIGH) - k * LOG2_LOW
    power = ((whole.to(tl.int32, bitcast=True) << 23) + 0x3F800000).to(tl.float32, bitcast=True)
    part = f + f * f * (EXP[0] + f * (EXP[1] + f * (EXP[2] + f * (EXP[3] + f * EXP[4]))))
    return power * part + (power - 1)


@triton.jit
def complex_exp_minus_one(x, y):
    """exp(x + i y) - 1 without cancellation: by half the angle, cos(y) - 1 = -2 sin(y/2)^2."""
    k = y * HALF_TURN + ROUNDING - ROUNDING
    half = ((0.5 * y - k * PI_HIGH) - k * PI_MIDDLE) - k * PI_LOW
    # angles beyond 2^22 turns mean nothing, but must not blow up
    half = tl.clamp(half, -1.6, 1.6, propagate_nan=tl.PropagateNan.ALL)
    u = half * half
    sine = half + half * u * (SIN[0] + u * (SIN[1] + u * (SIN[2] + u * SIN[3])))
    cosine = 1 + u * (COS[0] + u * (COS[1] + u * (COS[2] + u * (COS[3] + u * COS[4]))))
    real = exp_minus_one(x)
    twice = 2 * (1 + real) * sine
    return real - twice * sine, twice * cosine
