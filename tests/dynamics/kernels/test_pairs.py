"""The compiled filters of pairs equal the loop, gradients too; the loop and the smoother equal the dense filter."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from tsssm.dynamics import Belief
from tsssm.dynamics.kalman import filter_steps
from tsssm.dynamics.kernels.pairs import Filtering, Pairs, filter_pairs, pairs_loop, smooth_pairs
from tsssm.dynamics.kernels.pairs_loop import dense, noise

EXACT = {"rtol": 1e-10, "atol": 1e-10}
REAL = ("F", "N", "y", "r", "mean", "cov")


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def case(b: int = 3, l: int = 7, k: int = 2, silent: bool = False, dtype: torch.dtype = torch.float64) -> Pairs:
    """Random stable pairs, some rows not seen, one start in the middle, and rows that leave no trace."""
    double = {"dtype": torch.float64}
    F = 0.6 * torch.randn(b, l, k, 2, 2, **double)
    F[0, l // 2] = 0
    root = torch.randn(b, l, k, 2, 2, **double).tril()
    N = (root @ root.mT)[..., [0, 0, 1], [0, 1, 1]] + torch.tensor([0.1, 0, 0.1], **double)
    before = torch.arange(-1, l - 1).expand(b, l).clone()
    if silent:
        active = torch.rand(b, l) < 0.6
        last = torch.where(active, torch.arange(l), -1).cummax(1).values
        before = torch.cat([torch.full((b, 1), -1), last[:, :-1]], 1)
    root = torch.randn(b, 2 * k, 2 * k, **double)
    parts = (F, N, torch.randn(b, l, **double), 0.1 + torch.rand(b, l, **double), torch.randn(b, 2 * k, **double))
    F, N, y, r, mean = (part.to(dtype) for part in parts)
    return Pairs(F, N, y, r, torch.rand(b, l) < 0.7, before, mean, (root @ root.mT).to(dtype))


def leaves(pairs: Pairs) -> Pairs:
    return pairs._replace(**{name: getattr(pairs, name).clone().requires_grad_() for name in REAL})


def functional(found: Filtering) -> torch.Tensor:
    # of covariances a functional that is not symmetric, as layers that read off single entries have
    weights = (torch.linspace(-1, 1, part.numel(), dtype=part.dtype).view_as(part) for part in found)
    return sum((weight * part * part).sum() for weight, part in zip(weights, found, strict=True))


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 16])
@pytest.mark.parametrize("silent", [False, True])
def test_compiled_filters_equal_the_loop(k: int, silent: bool):
    pairs = case(k=k, silent=silent)
    ours, truth = leaves(pairs), leaves(pairs)
    found, expected = filter_pairs(ours), pairs_loop(truth)
    torch.testing.assert_close(found, expected, **EXACT)
    functional(found).backward()
    functional(expected).backward()
    for name in REAL:
        grad, wanted = getattr(ours, name).grad, getattr(truth, name).grad
        if name == "cov":
            # a covariance is symmetric, and so are its changes
            grad, wanted = grad + grad.mT, wanted + wanted.mT
        torch.testing.assert_close(grad, wanted, rtol=1e-9, atol=1e-9)


def test_floats():
    pairs = case(k=3, dtype=torch.float32)
    torch.testing.assert_close(filter_pairs(pairs), pairs_loop(pairs), rtol=1e-4, atol=1e-4)
    assert filter_pairs(pairs).mean.dtype == torch.float32


def test_gradients():
    pairs = case(2, 4, 2, silent=True)

    def run(*parts: torch.Tensor):
        F, N, y, r, mean, cov = parts
        return tuple(filter_pairs(pairs._replace(F=F, N=N, y=y, r=r, mean=mean, cov=cov + cov.mT)))

    inputs = [getattr(pairs, name).clone().requires_grad_() for name in REAL]
    assert gradcheck(run, inputs, fast_mode=True)
    assert gradgradcheck(lambda *parts: run(*parts)[2:], inputs, fast_mode=True)


def as_dense(pairs: Pairs):
    """The same by the general filter, series by series from where they start."""
    h = torch.zeros(1, pairs.mean.shape[1], dtype=torch.float64)
    h[0, ::2] = 1
    R = pairs.r[0, :1, None]
    return filter_steps(
        dense(pairs.F), noise(pairs.N), h, R, pairs.y[..., None], pairs.seen[..., None], Belief(pairs.mean, pairs.cov)
    )


def test_they_are_the_general_filter():
    pairs = case(k=3)
    pairs = pairs._replace(r=torch.full_like(pairs.r, 0.4))
    found, expected = filter_pairs(pairs), as_dense(pairs)
    torch.testing.assert_close(found.mean, expected.now.mean, **EXACT)
    torch.testing.assert_close(found.cov, expected.now.cov, **EXACT)
    terms = -0.5 * (found.spread.log() + found.error**2 / found.spread + torch.tensor(2 * torch.pi).log())
    torch.testing.assert_close((terms * pairs.seen).sum(1), expected.log_likelihood, rtol=1e-6, atol=1e-6)


def test_the_smoother_is_the_conditional_normal_distribution():
    # by the gradient of the likelihood, which knows nothing of filters: E(x_1 | y) = m + P d log p / d m
    pairs = case(2, 6, 2)
    F = pairs.F.clone()
    F[0, 3] = 0.5 * torch.randn(2, 2, 2)
    pairs = leaves(pairs._replace(F=F))
    found = filter_pairs(pairs)
    terms = -0.5 * (found.spread.log() + found.error**2 / found.spread)
    likelihood = (terms * pairs.seen)[:, 1:].sum()
    # rows behind the first are a likelihood of the state at the first
    rest = pairs._replace(**{name: getattr(pairs, name)[:, 1:] for name in ("F", "N", "y", "r", "seen")})
    mean, cov = found.mean[:, 0].detach().requires_grad_(), found.cov[:, 0].detach()
    rest = rest._replace(before=pairs.before[:, :-1], mean=mean, cov=cov)
    again = filter_pairs(rest)
    value = (-0.5 * (again.spread.log() + again.error**2 / again.spread) * rest.seen).sum()
    torch.testing.assert_close(value, likelihood)
    (slope,) = torch.autograd.grad(value, mean, create_graph=True)
    smoothed = smooth_pairs(pairs, found)
    torch.testing.assert_close(smoothed[0][:, 0], mean + (cov @ slope[..., None])[..., 0], **EXACT)
    curve = torch.stack([torch.autograd.grad(slope[:, j].sum(), mean, retain_graph=True)[0] for j in range(4)], 1)
    torch.testing.assert_close(smoothed[1][:, 0], cov + cov @ curve @ cov, **EXACT)
