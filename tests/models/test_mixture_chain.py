"""MixtureChain against the mixtures of torch.distributions, one number after another."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal

from tsssm.models.mixture_chain import MixtureChain

SIZE, GIVEN = 5, 2


@pytest.fixture
def chain() -> MixtureChain:
    torch.manual_seed(0)
    found = MixtureChain(SIZE, GIVEN, width=16, parts=3).double()
    for parameter in found.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    return found


def factor(chain: MixtureChain, x: torch.Tensor, given: torch.Tensor, i: int) -> MixtureSameFamily:
    """The law of the i-th number of scaled x, given those before."""
    y = (x - chain.shift) / chain.log_scale.exp()
    log_weight, mean, log_spread = (part[..., i, :].detach() for part in chain.mixtures(y, given))
    return MixtureSameFamily(Categorical(logits=log_weight), Normal(mean, log_spread.exp()))


def test_the_density_is_the_product_of_mixtures(chain):
    x, given = torch.randn(7, SIZE).double(), torch.randn(7, GIVEN).double()
    y = (x - chain.shift) / chain.log_scale.exp()
    truth = sum(factor(chain, x, given, i).log_prob(y[:, i]) for i in range(SIZE)) - chain.log_scale.sum()
    torch.testing.assert_close(chain.log_prob(x, given), truth, rtol=1e-9, atol=1e-9)


def test_a_draw_is_the_quantile_of_each_mixture_at_the_level_of_its_normal_number(chain):
    u, given = torch.randn(200, SIZE).double(), torch.randn(200, GIVEN).double()
    x = chain(u, given)
    y = (x - chain.shift) / chain.log_scale.exp()
    for i in range(SIZE):
        found = factor(chain, x, given, i).cdf(y[:, i])
        torch.testing.assert_close(found, Normal(0.0, 1.0).cdf(u[:, i]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, SIZE])
def test_a_number_is_told_by_those_before_and_by_what_is_given(size):
    torch.manual_seed(0)
    chain = MixtureChain(size, GIVEN, width=16, parts=3).double()
    torch.nn.init.normal_(chain.last.weight)
    y, given = torch.randn(size).double(), torch.randn(GIVEN).double()
    slopes = torch.autograd.functional.jacobian(lambda y, given: chain.mixtures(y, given)[1], (y, given))
    told = slopes[0].abs().sum(1) > 0
    assert torch.equal(told, torch.ones(size, size, dtype=torch.bool).tril(-1))
    assert (slopes[1].abs().sum((1, 2)) > 0).all()


def test_one_mixture_alone_is_that_of_all(chain):
    y, given = torch.randn(3, chain.size, dtype=torch.float64), torch.randn(3, GIVEN, dtype=torch.float64)
    for i in range(chain.size):
        for alone, together in zip(chain.mixture(i, y, given), chain.mixtures(y, given), strict=True):
            torch.testing.assert_close(alone, together[:, i], rtol=1e-12, atol=1e-12)


def test_a_density_of_two_numbers_integrates_to_one(chain):
    chain = MixtureChain(2, 0, width=8, parts=3).double()
    torch.nn.init.normal_(chain.last.weight, std=0.5)
    line = torch.linspace(-16, 16, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    total = chain.log_prob(grid, grid[:, :0]).exp().sum() * (line[1] - line[0]) ** 2
    assert float(total.detach()) == pytest.approx(1, abs=1e-3)


def test_it_learns_a_law_in_two_clumps_that_are_not_bridged():
    torch.manual_seed(0)
    centers = torch.tensor([[-2.0, -2.0], [2.0, 2.0]])
    chain = MixtureChain(2, 0, width=32)
    optimizer = torch.optim.Adam(chain.parameters(), 0.01)
    for _ in range(300):
        x = centers[torch.randint(2, (128,))] + 0.1 * torch.randn(128, 2)
        loss = -chain.log_prob(x, x[:, :0]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    drawn = chain(torch.randn(2000, 2), torch.zeros(2000, 0))
    off = torch.cdist(drawn, centers).amin(1)
    assert float((off > 0.6).float().mean()) < 0.02
    assert float((drawn[:, 0] > 0).float().mean()) == pytest.approx(0.5, abs=0.05)
