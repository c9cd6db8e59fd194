"""The compiled scan equals the plain loop, forwards and backwards, whatever it is given."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from tsssm.dynamics.kernels import fused
from tsssm.dynamics.kernels.fused import modal_fused
from tsssm.dynamics.kernels.loop import Modal, modal_loop

KINDS = ["real", "complex", "shared"]
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def modes(kind: str, h: int, n: int) -> tuple[Tensor, Tensor]:
    decay = -torch.rand(h, n, dtype=torch.float64) - 0.01
    rate = decay if kind == "real" else torch.complex(decay, 3 * torch.randn(h, n, dtype=torch.float64))
    return rate, torch.randn(h, n, dtype=rate.dtype)


def scan(kind: str, b: int, l: int, h: int, n: int, **parts: object) -> Modal:
    """A random scan; "shared" has complex inputs, as S5 has."""
    rate, weight = modes(kind, h, n)
    inputs = rate.dtype if kind == "shared" else torch.float64
    gap = torch.rand(b, l, dtype=torch.float64)
    return Modal(rate, weight, gap, torch.randn(b, l, h, dtype=inputs))._replace(**parts)


def everything(kind: str, b: int, l: int, h: int, n: int) -> Modal:
    """A random scan with impulses, a start, resets, silent rows and gaps of zero."""
    plain = scan(kind, b, l, h, n)
    return plain._replace(
        gap=plain.gap * (torch.rand(b, l) > 0.2),
        push=torch.randn_like(plain.inputs),
        start=torch.randn(b, h, n, dtype=plain.rate.dtype),
        reset=torch.rand(b, l) > 0.8,
        active=torch.rand(b, l) > 0.3,
    )


def results(form, modal: Modal, held: bool = False) -> list[Tensor]:
    """Outputs, and gradients of one functional of both of them to every tensor."""
    leaves = [None if part is None else part.detach().clone().requires_grad_() for part in modal[:6]]
    y, end = form(Modal(*leaves, *modal[6:]), held)
    both = torch.cat([torch.view_as_real(part).flatten() if part.is_complex() else part.flatten() for part in (y, end)])
    (both * torch.linspace(-1, 1, len(both), dtype=both.dtype)).sum().backward()
    return [y.detach(), end.detach(), *(leaf.grad for leaf in leaves if leaf is not None)]


def equal(modal: Modal) -> None:
    """Forwards and backwards; without impulses also in units of the rate."""
    for held in (False, True) if modal.push is None else (False,):
        for ours, truth in zip(results(modal_fused, modal, held), results(modal_loop, modal, held), strict=True):
            truth = torch.zeros_like(ours) if truth is None else truth
            torch.testing.assert_close(ours, truth, rtol=1e-10, atol=1e-10)


@every_kind
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 130])
def test_lengths_around_a_chunk(kind: str, length: int):
    equal(scan(kind, 2, length, 3, 2))
    equal(everything(kind, 2, length, 3, 2))


@every_kind
@pytest.mark.parametrize("channels", [1, 2, 7, 8, 9, 16, 17])
@pytest.mark.parametrize("states", [1, 2, 3, 5])
def test_any_number_of_channels_and_modes(kind: str, channels: int, states: int):
    equal(everything(kind, 2, 9, channels, states))


@every_kind
@pytest.mark.parametrize("alpha", [None, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("inputs", ["hold", "push", "both"])
def test_rules(kind: str, alpha: float | None, inputs: str):
    modal = scan(kind, 2, 70, 5, 3, alpha=alpha)
    push = torch.randn_like(modal.inputs)
    equal(modal._replace(hold=None if inputs == "push" else modal.hold, push=None if inputs == "hold" else push))


@every_kind
@pytest.mark.parametrize("part", ["start", "reset", "active"])
def test_each_part_alone(kind: str, part: str):
    full = everything(kind, 3, 80, 5, 3)
    equal(scan(kind, 3, 80, 5, 3, **{part: getattr(full, part)}))


@every_kind
def test_no_rows(kind: str):
    modal = everything(kind, 2, 0, 3, 2)
    y, end = modal_fused(modal)
    assert y.shape == (2, 0, 3)
    torch.testing.assert_close(end, modal.start)


@every_kind
def test_no_series(kind: str):
    y, end = modal_fused(everything(kind, 0, 5, 3, 2))
    assert y.shape == (0, 5, 3)
    assert end.shape == (0, 3, 2)


@every_kind
@pytest.mark.parametrize("different", [1, 2, 7])
def test_tabled_gaps_equal_computed_ones(kind: str, different: int, monkeypatch: pytest.MonkeyPatch):
    modal = everything(kind, 3, 80, 9, 3)._replace(gap=torch.randint(different, (3, 80)).double() / 3)
    equal(modal)
    tabled = results(modal_fused, modal)
    monkeypatch.setattr(fused, "TABLE_GAPS", 0)
    for one, other in zip(results(modal_fused, modal), tabled, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_different_gaps_are_found():
    gap = torch.tensor([0.5, 1.0, 0.5, 2.0, 1.0, 0.0, -0.0] * 8)
    which, gaps, count = fused._different(gap, 100)
    assert torch.equal(gaps[which.long()], gap)
    # the two zeros differ in their bits, which costs a row of the table and nothing else
    assert count == 5
    assert fused._different(gap, 4)[2] == 0
    assert fused._different(torch.rand(1000), 1000)[2] == 0


@every_kind
def test_gradcheck(kind: str):
    modal = everything(kind, 2, 5, 2, 2)
    leaves = [part.requires_grad_() for part in modal[:6]]

    def run(*parts: Tensor) -> tuple[Tensor, Tensor]:
        return modal_fused(Modal(*parts, *modal[6:]))

    def run_held(*parts: Tensor) -> tuple[Tensor, Tensor]:
        return modal_fused(Modal(*parts[:4], None, parts[4], *modal[6:]), held=True)

    for form, parts in ((run, leaves), (run_held, leaves[:4] + leaves[5:])):
        assert gradcheck(form, parts)
        assert gradgradcheck(form, parts)


@every_kind
def test_single_precision(kind: str):
    modal = scan(kind, 4, 300, 17, 6)
    half = {torch.float64: torch.float32, torch.complex128: torch.complex64}
    single = Modal(*(part.to(half[part.dtype]) if isinstance(part, Tensor) else part for part in modal))
    for held in (False, True):
        runs = results(modal_fused, single, held), results(modal_loop, single, held), results(modal_loop, modal, held)
        for ours, loop, truth in zip(*runs, strict=True):
            assert ours.dtype == half[truth.dtype]
            # a rounding or two more than the plain loop in single precision
            assert (ours - truth).norm() < 5 * (loop - truth).norm() + 1e-7 * truth.norm()


def test_tiny_steps():
    """Where (exp(z) - 1) / z loses its digits in single precision, |z| of 1e-6 to 1e-4: 100 times better."""
    h, n, l = 8, 4, 4096
    size = 10.0 ** (-6 + 2 * torch.rand(h, n))
    rate = size * torch.polar(torch.ones(h, n), torch.pi * (0.5 + 0.5 * torch.rand(h, n)))
    C, gap, u = torch.randn(h, n, dtype=torch.complex64), torch.rand(1, l) + 0.5, torch.randn(1, l, h)

    def ours(form, rate: Tensor, C: Tensor, gap: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        rate = rate.clone().requires_grad_()
        y, _ = form(Modal(rate, C, gap, u), held=True)
        y.sum().backward()
        return y.detach(), rate.grad

    def usual(rate: Tensor) -> tuple[Tensor, Tensor]:
        rate = rate.clone().requires_grad_()
        x, ys = torch.zeros(h, n, dtype=torch.complex64), []
        for dt, v in zip(gap[0].unbind(), u[0].unbind(), strict=True):
            a = torch.exp(rate * dt)
            x = a * x + (a - 1) / rate * v.unsqueeze(-1)
            ys.append((C * x).sum(-1).real)
        y = torch.stack(ys).unsqueeze(0)
        y.sum().backward()
        return y.detach(), rate.grad

    truth = ours(modal_loop, rate.to(torch.complex128), C.to(torch.complex128), gap.double(), u.double())
    for mine, other, true in zip(ours(modal_fused, rate, C, gap, u), usual(rate), truth, strict=True):
        assert 100 * (mine - true).norm() < (other - true).norm()


def test_strided_and_conjugated_arguments():
    modal = everything("shared", 2, 9, 4, 3)
    strided = modal._replace(
        hold=modal.hold.mT.contiguous().mT, rate=modal.rate.mT.contiguous().mT, start=modal.start.conj_physical().conj()
    )
    for ours, truth in zip(results(modal_fused, strided), results(modal_fused, modal), strict=True):
        torch.testing.assert_close(ours, truth, rtol=0, atol=0)


@pytest.mark.parametrize(
    "change",
    [
        {"gap": torch.rand(2, 4, dtype=torch.float64)},
        {"gap": torch.rand(2, 5)},
        {"weight": torch.zeros(3, 1, dtype=torch.complex128)},
        {"start": torch.zeros(2, 3, 2, dtype=torch.float64)},
        {"reset": torch.zeros(2, 5)},
        {"hold": torch.zeros(2, 5, 3)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_does_not_fit_is_refused(change: dict[str, Tensor]):
    with pytest.raises(ValueError, match="Convert"):
        modal_fused(scan("complex", 2, 5, 3, 2)._replace(**change))


def test_complex_inputs_of_real_modes_are_refused():
    with pytest.raises(ValueError, match="precision of its rates"):
        modal_fused(scan("real", 2, 5, 3, 2)._replace(hold=torch.zeros(2, 5, 3, dtype=torch.complex128)))


def test_negated_views():
    """Imaginary parts of conjugates are views with a sign of their own."""
    modal = everything("real", 2, 9, 1, 1)
    signed = {
        name: torch.complex(part, -part).conj().imag
        for name, part in modal._asdict().items()
        if name in ("hold", "rate")
    }
    assert all(part.is_neg() for part in signed.values())
    for ours, truth in zip(results(modal_fused, modal._replace(**signed)), results(modal_fused, modal), strict=True):
        assert torch.equal(ours, truth)
