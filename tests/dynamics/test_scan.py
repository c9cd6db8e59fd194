"""The linear recurrence: three forms and a plain Python loop, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from tsssm.dynamics.scan import associative_scan, chunked_scan, scan, sequential_scan

FORMS = [sequential_scan, chunked_scan, associative_scan, scan]
CLOSE = {"rtol": 1e-10, "atol": 1e-10}
every_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
every_type = pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def case(dtype: torch.dtype, length: int, carried: bool, *n: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """Transitions within the unit disc, some of them 0 and 1 as at resets and silent rows."""
    a = 0.9 * torch.rand(2, length, *n, dtype=torch.float64).to(dtype)
    if dtype.is_complex:
        a = a * torch.exp(1j * 6 * torch.rand(2, length, *n, dtype=torch.float64))
    a[torch.rand(a.shape) < 0.1] = 0
    a[torch.rand(a.shape) < 0.1] = 1
    b = torch.randn(2, length, *n, dtype=dtype)
    return a, b, torch.randn(2, *n, dtype=dtype) if carried else None


def naive(a: Tensor, b: Tensor, state: Tensor | None) -> Tensor:
    x = torch.zeros_like(b[:, 0]) if state is None else state
    states = []
    for k in range(b.shape[1]):
        x = a[:, k] * x + b[:, k]
        states.append(x)
    return torch.stack(states, 1)


def gradients(run, a: Tensor, b: Tensor, state: Tensor | None) -> list[Tensor]:
    leaves = [part.clone().requires_grad_() for part in (a, b, state) if part is not None]
    x = run(*leaves, *(() if len(leaves) == 3 else (None,)))
    weight = torch.linspace(-1, 1, x.numel(), dtype=torch.float64).reshape(x.shape).to(x.dtype)
    (x * weight).sum().abs().square().backward()
    return [x.detach(), *(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves)]


@every_form
@every_type
@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 257])
def test_forms_equal_the_naive_loop(form, dtype: torch.dtype, carried: bool, length: int):
    a, b, state = case(dtype, length, carried, 3)
    ours, truth = gradients(form, a, b, state), gradients(naive, a, b, state)
    for mine, theirs in zip(ours, truth, strict=True):
        scale = theirs.abs().max().clamp_min(1.0)
        torch.testing.assert_close(mine / scale, theirs / scale, **CLOSE)


@every_type
@pytest.mark.parametrize("chunk", [1, 2, 5, 16, 17, 40])
def test_any_chunk_length(dtype: torch.dtype, chunk: int):
    a, b, state = case(dtype, 17, True, 2, 3)
    torch.testing.assert_close(chunked_scan(a, b, state, chunk), naive(a, b, state), **CLOSE)


@every_form
@pytest.mark.parametrize("cut", [1, 32, 63])
def test_pieces_with_the_state_passed_on(form, cut: int):
    a, b, _ = case(torch.complex128, 64, False, 3)
    head = form(a[:, :cut], b[:, :cut])
    tail = form(a[:, cut:], b[:, cut:], head[:, -1])
    torch.testing.assert_close(torch.cat([head, tail], 1), naive(a, b, None), **CLOSE)


@every_form
@every_type
@pytest.mark.parametrize("carried", [False, True])
def test_first_and_second_derivatives(form, dtype: torch.dtype, carried: bool):
    a, b, state = (None if part is None else part.requires_grad_() for part in case(dtype, 4, carried, 1))
    inputs = (a, b) if state is None else (a, b, state)
    assert gradcheck(form, inputs)
    assert gradgradcheck(form, inputs, fast_mode=True)


def test_closed_form_of_a_constant_system():
    a = torch.full((1, 50, 1), 0.7, dtype=torch.float64)
    k = torch.arange(1, 51, dtype=torch.float64)
    truth = (1 - 0.7**k) / 0.3
    for form in FORMS:
        torch.testing.assert_close(form(a, torch.ones_like(a)).flatten(), truth, **CLOSE)


def test_a_real_state_keeps_its_precision_and_type():
    for form in FORMS:
        a, b, _ = case(torch.float64, 40, False, 2)
        single = form(a.float(), b.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), naive(a, b, None), rtol=1e-4, atol=1e-4)


def test_only_what_is_asked_for_gets_a_gradient():
    a, b, state = case(torch.float64, 6, True, 2)
    for form in FORMS:
        state.requires_grad_().grad = None
        form(a, b, state).sum().backward()
        reach = a.cumprod(1).sum(1)
        torch.testing.assert_close(state.grad, reach, **CLOSE)
