"""The compiled recurrence equals the loop in torch, forwards, backwards and twice, however its numbers lie."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from tsssm.dynamics.kernels import recurrence
from tsssm.dynamics.scan import compiled_scan, scan, sequential_scan

TYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]
every_type = pytest.mark.parametrize("dtype", TYPES, ids=str)
carried_or_not = pytest.mark.parametrize("carried", [False, True])


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def factors(dtype: torch.dtype, *shape: int) -> Tensor:
    """Within the unit disc, some of them 0 and 1 as at resets and silent rows."""
    a = 0.9 * torch.rand(shape, dtype=dtype.to_real()).to(dtype)
    if dtype.is_complex:
        a = a * torch.exp(6j * torch.rand(shape, dtype=dtype.to_real()))
    a[torch.rand(shape) < 0.1] = 0
    a[torch.rand(shape) < 0.1] = 1
    return a


def case(dtype: torch.dtype, carried: bool, batch: int, length: int, *n: int) -> tuple[Tensor, Tensor, Tensor | None]:
    b = torch.randn(batch, length, *n, dtype=dtype)
    return factors(dtype, batch, length, *n), b, torch.randn(batch, *n, dtype=dtype) if carried else None


def results(form, a: Tensor, b: Tensor, state: Tensor | None, shape=None) -> list[Tensor]:
    """States, gradients of a functional of them, and gradients of a functional of those."""
    leaves = [part.detach().requires_grad_() for part in (a, b, state) if part is not None]
    used = leaves if shape is None else [leaves[0].expand(shape), *leaves[1:]]
    x = form(*used)
    first = torch.autograd.grad(functional(x), leaves, retain_graph=True)
    graph = torch.autograd.grad(functional(x), leaves, create_graph=True)
    second = torch.autograd.grad(sum(functional(part) for part in graph), leaves)
    return [x.detach(), *first, *graph, *second]


def functional(x: Tensor) -> Tensor:
    x = torch.view_as_real(x) if x.is_complex() else x
    weight = torch.linspace(-1, 1, x.numel(), dtype=x.dtype).reshape(x.shape)
    return (weight * x * x).sum()


def equal(a: Tensor, b: Tensor, state: Tensor | None, shape=None) -> None:
    ours, truth = results(compiled_scan, a, b, state, shape), results(sequential_scan, a, b, state, shape)
    for mine, theirs in zip(ours, truth, strict=True):
        mine, theirs = mine.detach(), theirs.detach()
        largest = float(theirs.abs().max()) if theirs.numel() else 0.0
        torch.testing.assert_close(mine, theirs, rtol=0, atol=50 * torch.finfo(theirs.dtype).eps * (1 + largest))


@every_type
@carried_or_not
@pytest.mark.parametrize("length", [0, 1, 2, 3, 65])
def test_lengths(dtype: torch.dtype, carried: bool, length: int):
    equal(*case(dtype, carried, 2, length, 3))


@every_type
@pytest.mark.parametrize("n", [(), (1,), (2,), (7,), (8,), (9,), (16, 1), (3, 11), (64,), (129,), (2, 3, 50), (0,)])
def test_rows_of_any_size(dtype: torch.dtype, n: tuple[int, ...]):
    equal(*case(dtype, True, 2, 5, *n))


@every_type
@carried_or_not
@pytest.mark.parametrize(
    "shape",
    [
        (1, 6, 3, 20),
        (3, 1, 3, 20),
        (3, 6, 1, 20),
        (3, 6, 3, 1),
        (1, 1, 1, 20),
        (3, 6, 1, 1),
        (1, 6, 1, 4),
        (1, 1, 1, 1),
    ],
)
def test_factors_that_are_expanded(dtype: torch.dtype, carried: bool, shape: tuple[int, ...]):
    _, b, state = case(dtype, carried, 3, 6, 3, 4 if shape[-1] == 4 else 20)
    equal(factors(dtype, *shape), b, state, b.shape)


def test_shared_factors_are_read_as_they_lie(monkeypatch):
    a = factors(torch.float64, 1, 6, 1, 20).expand(3, 6, 4, 20)
    b = torch.randn(a.shape, dtype=a.dtype)
    truth = sequential_scan(a, b)
    monkeypatch.setattr(Tensor, "contiguous", lambda self: self if self.is_contiguous() else pytest.fail("a copy"))
    torch.testing.assert_close(recurrence.forward(a, b, None), truth)


@every_type
def test_numbers_that_lie_in_another_order_or_as_conjugates(dtype: torch.dtype):
    a, b, state = case(dtype, True, 4, 5, 3, 6)
    equal(a.transpose(2, 3), b.transpose(2, 3), state.transpose(1, 2))
    equal(a.transpose(0, 1)[:4], b.transpose(0, 1)[:4], state)
    equal(a[:, ::2], b[:, ::2], state)
    equal(a.conj(), b.conj(), state.conj())


def test_negated_views_of_one_number():
    numbers = torch.randn(1, 1, 1, dtype=torch.complex128).conj()
    torch.testing.assert_close(
        compiled_scan(numbers.imag, numbers.imag, numbers.imag[0]), numbers.imag**2 + numbers.imag
    )


@every_type
@carried_or_not
def test_from_the_last_row_to_the_first(dtype: torch.dtype, carried: bool):
    a, b, state = case(dtype, carried, 2, 9, 21)
    x = recurrence.forward(a, b, state, True)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype.to_real() == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(x, sequential_scan(a.flip(1), b.flip(1), state).flip(1), **close)
    ours = recurrence.backward(a, x, state, b, True, True)
    truth = recurrence.backward(a.flip(1), x.flip(1), state, b.flip(1))
    for mine, theirs, axes in zip(ours, truth, ([1], [1], []), strict=True):
        if mine is not None:
            torch.testing.assert_close(mine, theirs.flip(axes), **close)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_derivatives_equal_finite_differences(dtype: torch.dtype):
    inputs = [part.requires_grad_() for part in case(dtype, True, 2, 4, 3)]
    assert gradcheck(compiled_scan, inputs)
    assert gradgradcheck(compiled_scan, inputs)


def test_one_type_of_all_three():
    a, b, state = case(torch.float32, True, 2, 4, 3)
    mixed = compiled_scan(a.double(), b.cfloat(), state)
    assert mixed.dtype == torch.complex128
    torch.testing.assert_close(mixed, sequential_scan(a.cdouble(), b.cdouble(), state.cdouble()))


def test_only_what_is_asked_for_gets_a_gradient():
    a, b, state = case(torch.float64, True, 2, 6, 3)
    state.requires_grad_()
    compiled_scan(a, b, state).sum().backward()
    torch.testing.assert_close(state.grad, a.cumprod(1).sum(1))


def test_threads_change_nothing():
    a, b, state = case(torch.complex64, True, 4, 1500, 150)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = recurrence.forward(a, b, state)
        back = recurrence.backward(a, alone, state, b)
        torch.set_num_threads(2)
        both = recurrence.forward(a, b, state)
        back_both = recurrence.backward(a, both, state, b)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(alone, both)
    assert all(torch.equal(one, two) for one, two in zip(back, back_both, strict=True))


def test_scan_runs_in_c_where_it_can(monkeypatch):
    a, b, state = case(torch.float32, True, 2, 300, 3)
    compiled, runs = recurrence.forward, []
    monkeypatch.setattr(recurrence, "forward", lambda *given: runs.append(1) or compiled(*given))
    ours = scan(a, b, state)
    assert runs
    scan(a.bfloat16(), b.bfloat16(), state.bfloat16())
    monkeypatch.setattr(recurrence, "library", lambda: None)
    torch.testing.assert_close(ours, scan(a, b, state))
    assert len(runs) == 1


@pytest.mark.parametrize("level", ["baseline", "avx2"])
def test_every_instruction_set(level: str):
    """The best set is chosen when the library is first used, so lesser ones need a process of their own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{__file__}::test_rows_of_any_size"]
    run = subprocess.run(command, env={**os.environ, "TSSSM_ISA": level}, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
