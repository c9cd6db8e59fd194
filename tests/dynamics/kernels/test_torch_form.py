"""The modal scan in plain torch against the loop: values, gradients, second derivatives, digits, memory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from tsssm.dynamics.kernels.equal_gaps import equal_gap
from tsssm.dynamics.kernels.loop import Modal, modal_loop
from tsssm.dynamics.kernels.side_by_side import in_pieces
from tsssm.dynamics.kernels.torch_form import modal_torch, pieces_of

DOUBLE, COMPLEX = torch.float64, torch.complex128
# state, inputs and per-row B and C: types that may meet
TYPES = [(DOUBLE, DOUBLE, None), (DOUBLE, DOUBLE, DOUBLE), (COMPLEX, DOUBLE, None), (COMPLEX, DOUBLE, DOUBLE)]
TYPES += [(COMPLEX, DOUBLE, COMPLEX), (COMPLEX, COMPLEX, None)]

# each pair of: whose gaps, a start, resets, silent rows
FLAGS = [("all", False, False, False), ("all", True, True, False), ("all", True, False, True)]
FLAGS += [("channel", True, False, False), ("channel", False, True, True)]


def case(
    shape: tuple[int, int, int, int] = (2, 70, 3, 2),
    types: tuple[torch.dtype, torch.dtype, torch.dtype | None] = (COMPLEX, DOUBLE, None),
    inputs: str = "hold",
    gaps: str = "all",
    start: bool = False,
    reset: bool = False,
    active: bool = False,
    alpha: float | None = None,
    seed: int = 0,
) -> Modal:
    """A scan with decaying modes; gaps are "all" different, "few", "one", or of each "channel"."""
    make = torch.Generator().manual_seed(seed)
    b, l, h, n = shape
    state, fed, factors = types

    def normal(*size: int, dtype: torch.dtype) -> Tensor:
        return torch.randn(size, dtype=dtype, generator=make)

    def chance(*size: int) -> Tensor:
        return torch.rand(size, dtype=DOUBLE, generator=make)

    rate = -0.1 - chance(h, n)
    gap = chance(b, l, h) if gaps == "channel" else chance(b, l)
    if gaps in ("few", "one"):
        gap = (4 * gap).round() / 4 if gaps == "few" else torch.full_like(gap, 0.3)
    return Modal(
        rate=torch.complex(rate, 3 * normal(h, n, dtype=DOUBLE)) if state.is_complex else rate,
        weight=normal(h, n, dtype=state),
        gap=gap,
        hold=normal(b, l, h, dtype=fed) if inputs != "push" else None,
        push=normal(b, l, h, dtype=fed) if inputs != "hold" else None,
        start=normal(b, h, n, dtype=state) if start else None,
        reset=chance(b, l) < 0.1 if reset else None,
        active=chance(b, l) < 0.7 if active else None,
        alpha=alpha,
        B=None if factors is None else normal(b, l, n, dtype=factors),
        C=None if factors is None else normal(b, l, n, dtype=factors),
    )


def cast(modal: Modal, single: bool) -> Modal:
    kinds = {DOUBLE: torch.float32, COMPLEX: torch.complex64} if single else {}
    return Modal(*(part.to(kinds.get(part.dtype, part.dtype)) if isinstance(part, Tensor) else part for part in modal))


def differentiable(modal: Modal) -> dict[str, Tensor]:
    return {
        name: part for name, part in modal._asdict().items() if isinstance(part, Tensor) and part.dtype != torch.bool
    }


def results(run, modal: Modal) -> dict[str, Tensor]:
    """Both outputs, and the gradients of a sum of both with fixed weights."""
    leaves = {name: part.clone().requires_grad_() for name, part in differentiable(modal).items()}
    outputs = run(modal._replace(**leaves))
    total = 0
    for out in outputs:
        weights = torch.linspace(-1, 1, out.numel(), dtype=DOUBLE).view(out.shape)
        weights = weights * (1 + 0.5j) if out.is_complex() else weights
        total = total + (out * weights.to(out.dtype)).sum().real
    # nothing reads C or the weights where there are no rows
    found = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True, allow_unused=True)
    return {"y": outputs[0].detach(), "end": outputs[1].detach()} | dict(zip(leaves, found, strict=True))


def agree(modal: Modal, run=modal_torch, but: str = "") -> None:
    ours, truth = results(run, modal), results(modal_loop, modal)
    for name in truth.keys() - {but}:
        right = truth[name]
        assert ours[name].dtype == right.dtype and ours[name].shape == right.shape, name
        scale = right.abs().max().clamp_min(1.0) if right.numel() else 1.0
        tolerance = 1e-12 if name in ("y", "end") else 1e-10
        torch.testing.assert_close(ours[name] / scale, right / scale, rtol=0, atol=tolerance, msg=name)


@pytest.mark.parametrize("types", TYPES, ids=str)
@pytest.mark.parametrize("inputs", ["hold", "push", "both"])
@pytest.mark.parametrize("alpha", [None, 0.5])
def test_equals_the_loop(types, inputs: str, alpha: float | None):
    for gaps, start, reset, active in FLAGS:
        agree(case((2, 67, 3, 2), types, inputs, gaps, start, reset, active, alpha))


@pytest.mark.parametrize("l", [0, 1, 2, 64, 65, 129])
@pytest.mark.parametrize("types", [TYPES[0], TYPES[2], TYPES[5]], ids=str)
def test_any_length(l: int, types):
    agree(case((1, l, 2, 2), types, start=True, inputs="both"))
    agree(case((1, l, 2, 2), types, reset=True, active=True))


@pytest.mark.parametrize("gaps", ["few", "one"])
@pytest.mark.parametrize("alpha", [None, 0.5])
@pytest.mark.parametrize("types", TYPES[2:], ids=str)
def test_gaps_that_repeat_are_looked_up(gaps: str, alpha: float | None, types):
    agree(case((2, 40, 8, 8), types, "both", gaps, True, True, True, alpha))


def test_batches_of_many_blocks():
    agree(case((5, 3, 8, 200), start=True, inputs="both"))
    agree(case((3, 3, 1, 5000), (DOUBLE, DOUBLE, DOUBLE), reset=True, active=True))


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(0, 200), st.integers(1, 4), st.integers(1, 5)),
    st.sampled_from(TYPES),
    st.sampled_from(["hold", "push", "both"]),
    st.sampled_from(["all", "few", "one", "channel"]),
    st.tuples(*[st.booleans()] * 3),
    st.sampled_from([None, 0.0, 0.5, 1.0]),
    st.integers(0, 1000),
)
def test_equals_the_loop_anywhere(shape, types, inputs, gaps, flags, alpha, seed):
    agree(case(shape, types, inputs, gaps, *flags, alpha, seed))


@pytest.mark.parametrize("types", TYPES, ids=str)
def test_pieces_side_by_side(types):
    for gaps, start, reset, active in FLAGS:
        modal = case((2, 19, 3, 2), types, "both", gaps, start, reset, active)
        agree(modal, lambda modal: in_pieces(modal, 4, modal_loop))


def test_little_rows_run_side_by_side():
    modal = case((1, 200, 2, 3), start=True, reset=True)
    assert pieces_of(modal) > 1
    assert pieces_of(case((16, 200, 8, 8))) == 1
    agree(modal)


@pytest.mark.parametrize("l", [64, 70, 520])
@pytest.mark.parametrize("state", [DOUBLE, COMPLEX])
@pytest.mark.parametrize("inputs", ["hold", "push", "both"])
def test_even_grids_as_products(l: int, state, inputs: str):
    modal = case((2, l, 2, 8), (state, DOUBLE, None), inputs, "one", start=inputs != "push")
    assert equal_gap(modal) is not None
    agree(modal, lambda modal: modal_torch(modal._replace(gap=modal.gap.detach())), but="gap")
    agree(modal)


def test_even_grids_differentiate_twice():
    modal = case((1, 65, 1, 4), gaps="one", start=True)
    fields = [modal.rate, modal.weight, modal.hold, modal.start]
    leaves = [part.clone().requires_grad_() for part in fields]

    def run(rate: Tensor, weight: Tensor, hold: Tensor, start: Tensor):
        return modal_torch(modal._replace(rate=rate, weight=weight, hold=hold, start=start))

    assert gradgradcheck(run, leaves, fast_mode=True)


def test_which_grids_are_even():
    even = case((2, 64, 2, 4), gaps="one")
    assert equal_gap(even) is not None
    assert equal_gap(case((2, 64, 2, 4))) is None
    assert equal_gap(even._replace(reset=torch.zeros(2, 64, dtype=torch.bool))) is None
    assert equal_gap(even._replace(gap=even.gap.clone().requires_grad_())) is None


SMALL = [
    case((2, 3, 2, 2), (COMPLEX, DOUBLE, COMPLEX), "both", "all", True, True, True),
    case((1, 66, 1, 2), (DOUBLE, DOUBLE, None), "hold", "all", True),
    case((1, 66, 1, 2), (DOUBLE, DOUBLE, None), "hold", "all", True, alpha=0.5),
    case((2, 3, 2, 1), (COMPLEX, COMPLEX, None), "both", "channel", True, True, False, 0.5),
]


@pytest.mark.parametrize("modal", SMALL, ids=["all fields", "pieces", "two chunks", "complex inputs"])
def test_derivatives_by_differences(modal: Modal):
    fields = differentiable(modal)
    leaves = [part.clone().requires_grad_() for part in fields.values()]

    def run(*parts: Tensor):
        return modal_torch(modal._replace(**dict(zip(fields, parts, strict=True))))

    assert gradcheck(run, leaves, fast_mode=True)
    assert gradgradcheck(run, leaves, fast_mode=True)


def test_second_derivative_where_a_field_is_made_of_another():
    modal = case((1, 5, 2, 2))
    rate = modal.rate.clone().requires_grad_()
    assert gradgradcheck(lambda rate: modal_torch(modal._replace(rate=rate, weight=1 / rate))[0], rate)


@pytest.mark.parametrize("wanted", ["rate", "weight", "gap", "hold", "push", "start", "B", "C"])
def test_a_gradient_alone_is_the_same(wanted: str):
    modal = case((2, 67, 3, 2), (COMPLEX, DOUBLE, COMPLEX), "both", start=True, active=True)
    leaf = getattr(modal, wanted).clone().requires_grad_()

    def grad(run) -> Tensor:
        return torch.autograd.grad(run(modal._replace(**{wanted: leaf}))[0].square().sum(), leaf)[0]

    torch.testing.assert_close(grad(modal_torch), grad(modal_loop), rtol=1e-10, atol=1e-10)


def test_a_reset_forgets_even_what_is_not_a_number():
    modal = case((2, 6, 2, 2))
    start = torch.full((2, 2, 2), torch.nan, dtype=COMPLEX)
    first = torch.zeros(2, 6, dtype=torch.bool)
    first[:, 0] = True
    y, end = modal_torch(modal._replace(start=start, reset=first))
    assert y.isfinite().all() and end.isfinite().all()


def test_the_gradients_that_come_in_stay_as_they_are():
    modal = case((2, 5, 3, 1), (DOUBLE, DOUBLE, None))
    rate = modal.rate.clone().requires_grad_()
    y, end = modal_torch(modal._replace(rate=rate))
    grads = torch.ones_like(y), torch.ones_like(end)
    torch.autograd.backward([y, end], grads)
    assert all(bool((grad == 1).all()) for grad in grads)


def error(name: str, ours: dict[str, Tensor], truth: dict[str, Tensor]) -> float:
    return float((ours[name] - truth[name]).abs().max() / truth[name].abs().max())


@pytest.mark.parametrize("types", [TYPES[0], TYPES[2], TYPES[5]], ids=str)
def test_single_precision(types):
    modal = case((2, 300, 4, 4), types, "both", start=True)
    ours, truth = results(modal_torch, cast(modal, single=True)), results(modal_loop, modal)
    for name in truth:
        assert error(name, ours, truth) < 1e-5, name


def usual_loop(modal: Modal) -> tuple[Tensor, Tensor]:
    """The held input as it is usually computed: x = a x + (a - 1) / rate u with a = exp(rate gap)."""
    x, ys = torch.zeros_like(modal.rate).expand(modal.hold.shape[0], -1, -1), []
    for gap, hold in zip(modal.gap.unbind(1), modal.hold.unbind(1), strict=True):
        a = torch.exp(modal.rate * gap.view(-1, 1, 1))
        x = a * x + (a - 1) / modal.rate * hold.unsqueeze(-1)
        ys.append((modal.weight * modal.rate * x).sum(-1).real)
    return torch.stack(ys, 1), x


def test_short_gaps_keep_their_digits():
    modal = case((1, 4096, 2, 4))
    size = torch.logspace(-6, -4, 4096, dtype=DOUBLE).flip(0)
    modal = modal._replace(gap=(modal.gap + 0.5) * size / modal.rate.abs().mean(), hold=modal.hold + 1)
    truth = results(modal_loop, modal)
    single = cast(modal, single=True)
    ours, usual = results(modal_torch, single), results(usual_loop, single)
    for name in ("rate", "hold"):
        assert error(name, ours, truth) < 0.01 * error(name, usual, truth), name


def kept(modal: Modal) -> int:
    """Numbers of the tensors that autograd keeps, inputs aside."""
    leaves = {name: part.clone().requires_grad_() for name, part in differentiable(modal).items()}
    owned = {part.untyped_storage().data_ptr() for part in [*leaves.values(), *modal] if isinstance(part, Tensor)}
    saved: dict[int, int] = {}

    def pack(part: Tensor) -> Tensor:
        saved[part.untyped_storage().data_ptr()] = part.numel()
        return part

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda part: part):
        outputs = modal_torch(modal._replace(**leaves))
    assert outputs[0].requires_grad
    return sum(size for place, size in saved.items() if place not in owned)


@pytest.mark.parametrize("shape", [(4, 1024, 16, 16), (1, 4096, 8, 16)], ids=["blocks", "pieces"])
def test_no_memory_of_all_states(shape: tuple[int, int, int, int]):
    b, l, h, n = shape
    assert kept(case(shape)) <= b * l * h * n / 16 + 4 * b * l * h
