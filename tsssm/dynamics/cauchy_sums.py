"""Sums of conjugate pairs of poles along the unit circle, in real arithmetic and without the (mode, point) array."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from tsssm.dynamics.kernels.double_backward import double_backward
from tsssm.dynamics.kernels.native import address, kind_of, library

# numbers (channel, mode, point) at work at once: 0.5 MB in float32, which stays in the second cache of a CPU
AT_ONCE = {"cpu": 1 << 17}
AT_ONCE_ELSEWHERE = 1 << 24

# pairs at points that are worth a thread: 0.3 ms
WORTH_A_THREAD = 1 << 19


def cauchy_sums(poles: Tensor, weights: Tensor, sin: Tensor, cos: Tensor) -> Tensor:
    """Sums over conjugate pairs, at points of the unit circle given by their half angles.

    ``(1/2) sum_n w_n / (i sin - p_n cos) + conj(w_n) / (i sin - conj(p_n) cos)``. A pair has the numerator
    ``i sin Re w - cos Re(w conj p)`` and the denominator ``cos^2 |p|^2 - sin^2 - 2i sin cos Re p``: one real reciprocal
    per pair and point, which all sums share, and nothing infinite at the right angle.

    Parameters
    ----------
    poles : Tensor (*, n), complex
        Without unit. One closer to the imaginary axis than rounding can tell is moved off it to the left by as much.
    weights : Tensor (*, q, n), complex
        Of q sums.
    sin, cos : Tensor (m,), real
        Of half angles in [0, pi/2].

    Returns
    -------
    Tensor (*, q, m), complex

    Notes
    -----
    O(q n m) time for each batch entry; memory does not grow with n, forward or backward: blocks of points are made,
    used and made again. Measured at 64 entries, n = 32, q = 4, m = 513 and 8193 on one CPU core: 110 and 190 times
    faster in C than by complex division, 12 and 44 times in torch. Differentiable twice, the second time with all points
    at once. `plain_sums` is the specification.

    Examples
    --------
    >>> import torch
    >>> cauchy_sums(torch.tensor([-1.0 + 0j]), torch.ones(1, 1) + 0j, torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]))
    tensor([[1.+0.j, 0.-1.j]])
    """
    batch = torch.broadcast_shapes(poles.shape[:-1], weights.shape[:-2])
    poles, weights = poles.expand(*batch, -1), weights.expand(*batch, -1, -1)
    poles, weights = poles.reshape(-1, poles.shape[-1]), weights.reshape(-1, *weights.shape[-2:])
    re, im = poles.real, poles.imag
    limits = torch.finfo(re.dtype)
    least = limits.eps * im.detach().abs() + limits.tiny**0.25
    re = torch.where(re.abs() < least, -least, re)
    square = re * re + im * im
    conj = re.unsqueeze(-2) * weights.real + im.unsqueeze(-2) * weights.imag
    arguments = square, -2 * re, torch.cat([weights.real, conj], -2), sin, cos
    real, imag = _CauchySums.apply(*arguments)
    return torch.complex(real, imag).reshape(*batch, *real.shape[-2:])


def plain_sums(a: Tensor, b: Tensor, w: Tensor, sin: Tensor, cos: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary parts (h, q, m) of ``sum_n (i sin w_n - cos w_(q+n)) / (a_n cos^2 - sin^2 + i b_n sin cos)``.

    a, b (h, n) are of the poles, w (h, 2q, n) of the numerators, all points at once: the specification of the fast forms.
    """
    w_re, w_im = (w @ part for part in _reciprocals(a, b, sin, cos))
    return _combine(w_re, w_im, sin, cos)


def _reciprocals(a: Tensor, b: Tensor, sin: Tensor, cos: Tensor) -> tuple[Tensor, Tensor]:
    """Real part and minus the imaginary part of one over the denominators (h, n, m)."""
    re = torch.addcmul(-(sin * sin), a.unsqueeze(-1), cos * cos)
    im = b.unsqueeze(-1) * (sin * cos)
    inverse = (re * re).addcmul_(im, im).reciprocal_()
    return re * inverse, im * inverse


def _combine(w_re: Tensor, w_im: Tensor, sin: Tensor, cos: Tensor) -> tuple[Tensor, Tensor]:
    (re, conj_re), (im, conj_im) = w_re.chunk(2, -2), w_im.chunk(2, -2)
    return sin * im - cos * conj_re, sin * re + cos * conj_im


class _CauchySums(torch.autograd.Function):
    """`plain_sums`, in C where it is built and else block by block."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor, w: Tensor, sin: Tensor, cos: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(a, b, w, sin, cos)
        re, im = (a.new_empty(w.shape[0], w.shape[1] // 2, sin.shape[0]) for _ in range(2))
        if _compiled(a):
            _call("cauchy", (a, b, w, sin, cos), (re, im), re)
            return re, im
        for at in _blocks(a, sin):
            re[..., at], im[..., at] = plain_sums(a, b, w, sin[at], cos[at])
        return re, im

    @staticmethod
    def backward(ctx, g_re: Tensor, g_im: Tensor) -> tuple[Tensor | None, ...]:
        a, b, w, sin, cos = ctx.saved_tensors
        if torch.is_grad_enabled():  # the graph of the gradients is wanted
            return double_backward(
                plain_sums, (a, b, w, sin, cos), (*ctx.needs_input_grad[:3], False, False), (g_re, g_im)
            )
        if _compiled(a):
            gradients = torch.empty_like(a), torch.empty_like(b), torch.empty_like(w)
            _call("cauchy_backward", (a, b, w, sin, cos, g_re, g_im), gradients, g_re)
            return *gradients, None, None
        gradients = torch.zeros_like(a), torch.zeros_like(b), torch.zeros_like(w)
        for at in _blocks(a, sin):
            block = _block_gradients(a, b, w, sin[at], cos[at], g_re[..., at], g_im[..., at])
            for total, part in zip(gradients, block, strict=True):
                total += part
        return *gradients, None, None


def _compiled(a: Tensor) -> bool:
    """Whether source/cauchy.h is built and made for such numbers."""
    return a.device.type == "cpu" and a.dtype in (torch.float32, torch.float64) and library() is not None


def _call(name: str, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], sums: Tensor) -> None:
    inputs = tuple(part.contiguous() for part in inputs)
    channels, modes = inputs[0].shape
    work = channels * modes * sums.shape[-1]
    threads = max(1, min(torch.get_num_threads(), work // WORTH_A_THREAD))
    function = getattr(library(), f"tsssm_{name}_{kind_of(sums.dtype)}")
    tensors = (ctypes.c_void_p(address(part)) for part in (*inputs, *outputs))
    function(*tensors, *map(ctypes.c_int64, (channels, modes, *sums.shape[1:])), ctypes.c_int(threads))


def _block_gradients(
    a: Tensor, b: Tensor, w: Tensor, sin: Tensor, cos: Tensor, g_re: Tensor, g_im: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    E, G = _reciprocals(a, b, sin, cos)
    from_E = torch.cat([sin * g_im, -cos * g_re], -2)
    from_G = torch.cat([sin * g_re, cos * g_im], -2)
    g_E, g_G = w.mT @ from_E, w.mT @ from_G
    # E - iG is 1 / d, so that its change is -(E - iG)^2 times that of d
    even, odd = (E * E).addcmul_(G, G, value=-1), (E * G).mul_(2)
    g_a = (g_E * even).addcmul_(g_G, odd) @ (-cos * cos)
    g_b = even.mul_(g_G).addcmul_(g_E, odd, value=-1) @ (sin * cos)
    return g_a, g_b, from_E @ E.mT + from_G @ G.mT


def _blocks(a: Tensor, sin: Tensor) -> list[slice]:
    """Slices of the points, small enough for the arrays (h, n, block)."""
    size = max(16, AT_ONCE.get(a.device.type, AT_ONCE_ELSEWHERE) // max(1, a.numel()))
    return [slice(start, start + size) for start in range(0, sin.shape[0], size)]
