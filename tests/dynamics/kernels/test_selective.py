"""The compiled selective scan equals the plain loop, forwards and backwards, whatever it is given."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from tsssm.dynamics.kernels.loop import Modal, modal_loop
from tsssm.dynamics.kernels.selective import modal_selective

KINDS = ["real", "complex", "complex B and C"]
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def scan(kind: str, b: int, l: int, h: int, n: int, **parts: object) -> Modal:
    """A random scan as Mamba's: gaps of each channel, B and C of each row, inputs as impulses."""
    decay = -torch.rand(h, n, dtype=torch.float64) - 0.01
    rate = decay if kind == "real" else torch.complex(decay, 3 * torch.randn(h, n, dtype=torch.float64))
    numbers = torch.complex128 if kind == "complex B and C" else torch.float64
    B, C = torch.randn(2, b, l, n, dtype=numbers)
    gap, push = torch.rand(b, l, h, dtype=torch.float64), torch.randn(b, l, h, dtype=torch.float64)
    return Modal(rate, torch.randn(h, n, dtype=rate.dtype), gap, push=push, B=B, C=C)._replace(**parts)


def everything(kind: str, b: int, l: int, h: int, n: int) -> Modal:
    """A random scan with both inputs, a start, resets, silent rows and gaps of zero."""
    plain = scan(kind, b, l, h, n)
    return plain._replace(
        gap=plain.gap * (torch.rand(b, l, h) > 0.2),
        hold=torch.randn_like(plain.inputs),
        start=torch.randn(b, h, n, dtype=plain.rate.dtype),
        reset=torch.rand(b, l) > 0.8,
        active=torch.rand(b, l) > 0.3,
    )


def results(form, modal: Modal) -> list[Tensor]:
    """Outputs, and gradients of one functional of both of them to every tensor of numbers."""
    leaves = [part if index in (6, 7, 8) else _leaf(part) for index, part in enumerate(modal)]
    y, end = form(Modal(*leaves))
    both = torch.cat([torch.view_as_real(end).flatten() if end.is_complex() else end.flatten(), y.flatten()])
    (both * torch.linspace(-1, 1, len(both), dtype=both.dtype)).sum().backward()
    wanted = [leaf for index, leaf in enumerate(leaves) if leaf is not None and index not in (6, 7, 8)]
    return [y.detach(), end.detach(), *(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in wanted)]


def _leaf(part: Tensor | None) -> Tensor | None:
    return None if part is None else part.detach().clone().requires_grad_()


def equal(modal: Modal) -> None:
    pairs = list(zip(results(modal_selective, modal), results(modal_loop, modal), strict=True))
    for which, (ours, truth) in enumerate(pairs):
        # where states grow, an output is a small difference of large numbers
        tolerance = (1e-12 if which < 2 else 1e-10) * (1 + float(truth.abs().max()))
        torch.testing.assert_close(ours, truth, rtol=0, atol=tolerance)


@every_kind
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 130])
def test_lengths_around_a_chunk(kind: str, length: int):
    equal(scan(kind, 2, length, 3, 2))
    equal(everything(kind, 2, length, 3, 2))


@every_kind
@pytest.mark.parametrize("channels", [1, 2, 7, 8, 9, 17, 41])
@pytest.mark.parametrize("states", [1, 2, 3, 6])
def test_any_number_of_channels_and_modes(kind: str, channels: int, states: int):
    equal(everything(kind, 2, 9, channels, states))


@every_kind
@pytest.mark.parametrize("alpha", [None, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("inputs", ["hold", "push", "both"])
def test_rules(kind: str, alpha: float | None, inputs: str):
    modal = scan(kind, 2, 70, 5, 3, alpha=alpha)
    hold = torch.randn_like(modal.inputs)
    equal(modal._replace(hold=None if inputs == "push" else hold, push=None if inputs == "hold" else modal.push))


@every_kind
@pytest.mark.parametrize("part", ["start", "reset", "active"])
def test_each_part_alone(kind: str, part: str):
    full = everything(kind, 3, 80, 5, 3)
    equal(scan(kind, 3, 80, 5, 3, **{part: getattr(full, part)}))


@every_kind
@pytest.mark.parametrize("given", ["neither", "B", "C"])
@pytest.mark.parametrize("own_gaps", [True, False])
def test_b_and_c_that_are_not_given_are_ones(kind: str, given: str, own_gaps: bool):
    modal = everything(kind, 2, 70, 9, 3)
    gap = modal.gap if own_gaps else torch.rand(2, 70, dtype=torch.float64)
    equal(modal._replace(gap=gap, B=modal.B if given == "B" else None, C=modal.C if given == "C" else None))


@pytest.mark.parametrize("real", ["B", "C"])
def test_one_of_b_and_c_may_be_real(real: str):
    modal = everything("complex B and C", 2, 70, 9, 3)
    equal(modal._replace(**{real: getattr(modal, real).real}))


@pytest.mark.parametrize("trial", range(25))
def test_random_scans(trial: int):
    torch.manual_seed(trial)

    def draw(*choices):
        return choices[int(torch.randint(len(choices), ()))]

    l, h, n = draw(1, 5, 64, 65, 129), draw(1, 3, 8, 19, 35), draw(1, 2, 5, 16)
    modal = everything(draw(*KINDS), draw(1, 2, 3), l, h, n)
    absent = {name for name in ("hold", "start", "reset", "active", "B", "C") if draw(True, False)}
    equal(modal._replace(alpha=draw(None, None, 0.5), **dict.fromkeys(absent)))


@every_kind
def test_no_rows(kind: str):
    modal = everything(kind, 2, 0, 3, 2)
    y, end = modal_selective(modal)
    assert y.shape == (2, 0, 3)
    torch.testing.assert_close(end, modal.start)


@every_kind
def test_no_series(kind: str):
    y, end = modal_selective(everything(kind, 0, 5, 3, 2))
    assert y.shape == (0, 5, 3)
    assert end.shape == (0, 3, 2)


@every_kind
def test_some_gradients_only(kind: str):
    modal = everything(kind, 2, 70, 9, 3)
    leaf = modal.B.clone().requires_grad_()
    truth, ours = (form(modal._replace(B=leaf))[0].square().sum() for form in (modal_loop, modal_selective))
    torch.testing.assert_close(*(torch.autograd.grad(y, leaf)[0] for y in (ours, truth)), rtol=1e-10, atol=1e-10)


def test_what_silent_rows_hold_does_not_matter():
    modal = everything("complex", 2, 70, 9, 3)
    y, end = modal_selective(modal)
    silent = ~modal.active.unsqueeze(-1)
    hidden = {name: getattr(modal, name).masked_fill(silent, torch.nan) for name in ("hold", "push", "B")}
    torch.testing.assert_close(modal_selective(modal._replace(**hidden)), (y, end), rtol=0, atol=0)


def test_strides_and_conjugates_do_not_matter():
    modal = everything("complex B and C", 2, 70, 9, 3)
    turned = modal._replace(
        rate=modal.rate.conj().resolve_conj().conj(),
        gap=modal.gap.transpose(0, 2).contiguous().transpose(0, 2),
        C=modal.C.flip(1).contiguous().flip(1),
    )
    torch.testing.assert_close(modal_selective(turned), modal_selective(modal), rtol=0, atol=0)


@every_kind
def test_derivatives_numerically(kind: str):
    modal = everything(kind, 2, 3, 2, 2)
    leaves = [part.requires_grad_() for part in (*modal[:6], *modal[9:])]

    def outputs(*leaves: Tensor) -> tuple[Tensor, Tensor]:
        return modal_selective(Modal(*leaves[:6], *modal[6:9], *leaves[6:]))

    assert gradcheck(outputs, leaves)
    assert gradgradcheck(outputs, leaves)


@every_kind
def test_float32_is_as_exact_as_its_rounding(kind: str):
    modal = everything(kind, 2, 300, 5, 4)
    short = [_short(part) for part in modal]
    exact = Modal(*(_long(part) for part in short))
    for ours, truth in zip(results(modal_selective, Modal(*short)), results(modal_loop, exact), strict=True):
        assert float((_long(ours) - truth).abs().max()) < 1e-5 * float(truth.abs().max())


def _short(part: object) -> object:
    if not isinstance(part, Tensor) or part.dtype == torch.bool:
        return part
    return part.to(torch.complex64 if part.is_complex() else torch.float32)


def _long(part: object) -> object:
    if not isinstance(part, Tensor) or part.dtype == torch.bool:
        return part
    return part.to(torch.complex128 if part.is_complex() else torch.float64)


@every_kind
def test_threads_do_not_change_a_bit(kind: str):
    modal = everything(kind, 3, 250, 41, 16)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = results(modal_selective, modal)
        torch.set_num_threads(2)
        two = results(modal_selective, modal)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("level", ["baseline", "avx2"])
def test_every_instruction_set(level: str):
    """The best set is chosen when the library is first used, so lesser ones need a process of their own."""
    tests = [f"{__file__}::{name}" for name in ("test_random_scans", "test_float32_is_as_exact_as_its_rounding")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    run = subprocess.run(command, env={**os.environ, "TSSSM_ISA": level}, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
