"""Modes found by least squares beside the rates that series were made with."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import lstsq

from tsssm.models.linear_modes import Pieces, find_modes, left_over
from tsssm.models.spectrum import Spectrum

RATES = np.array([-0.05 + 0.9j, -0.02 + 0.5j])
NONE = torch.zeros(0)


def pieces(n: int = 40, rows: int = 30, channels: int = 3, independent: bool = False, noise: float = 0.0) -> Pieces:
    """Series of two modes at uneven times; in each channel a mode has amplitudes of its own if `independent`."""
    rng = np.random.default_rng(0)
    picture = rng.normal(size=(2, channels)) + 1j * rng.normal(size=(2, channels))
    shape = (n, 2, channels if independent else 1)
    amplitudes = picture * (rng.normal(size=shape) + 1j * rng.normal(size=shape))
    times = np.cumsum(rng.uniform(0.5, 1.5, (n, rows)), 1)
    times -= times[:, :1]
    values = np.einsum("nlm,nmc->nlc", np.exp(RATES * times[..., None]), amplitudes).real + 3.0
    values += noise * rng.normal(size=values.shape)
    seen = rng.random(values.shape) < 0.8
    return Pieces(*(torch.from_numpy(part) for part in (times, np.where(seen, values, 0.0), seen)))


def by_turning(rates: torch.Tensor) -> np.ndarray:
    return rates[rates.imag.argsort(descending=True)].numpy()


def test_what_is_left_is_that_of_a_least_squares_fit_of_each_channel():
    table = pieces(n=4, noise=0.1)
    for c in range(3):
        seen = table.seen[:, :, c].numpy()
        owner, row = np.nonzero(seen)
        paths = np.exp((RATES + 0.03j) * table.times.numpy()[seen][:, None])
        own = np.concatenate([paths.real, paths.imag], 1)[:, None] * (owner[:, None] == np.arange(4))[..., None]
        design = np.concatenate([own.reshape(len(row), -1), np.ones((len(row), 1))], 1)
        x = table.values[:, :, c].numpy()[seen]
        rest = np.square(x - design @ lstsq(design, x)[0]).sum()
        alone = Pieces(table.times, table.values[..., c : c + 1], table.seen[..., c : c + 1])
        assert float(left_over(alone, torch.from_numpy(RATES + 0.03j))) == pytest.approx(rest, rel=1e-6)


def test_modes_of_exact_series_are_exact_and_no_more_are_found():
    found = find_modes(pieces(), 6, NONE)
    np.testing.assert_allclose(by_turning(found.rates), RATES, rtol=1e-4)
    assert found.left < 1e-6


def test_noise_moves_modes_little_and_adds_none():
    found = find_modes(pieces(n=100, noise=0.1), 6, NONE)
    np.testing.assert_allclose(by_turning(found.rates), RATES, rtol=0.02)
    assert 1e-4 < found.left < 0.1
    noise = pieces()._replace(values=torch.randn(40, 30, 3, dtype=torch.float64))
    assert len(find_modes(noise, 6, NONE).rates) == 0


def test_a_mode_comes_again_for_each_picture_that_it_needs():
    found = find_modes(pieces(channels=2, independent=True), 6, NONE)
    np.testing.assert_allclose(by_turning(found.rates), RATES.repeat(2), rtol=1e-4)
    assert found.left < 1e-6
    # too few modes for as many pictures: what is found explains little, and says so
    assert find_modes(pieces(channels=2, independent=True), 2, NONE).left > 0.1


def test_held_and_conserved_modes_come_first_and_do_not_fade():
    table = pieces()
    t = table.times.unsqueeze(-1)
    values = (table.values + torch.cos(0.25 * t + torch.arange(40.0)[:, None, None])) * table.seen
    found = find_modes(table._replace(values=values), 4, torch.tensor([0.25]), 1)
    assert found.rates[0].numpy() == pytest.approx(0.25j) and (found.rates[:2].real == 0).all()
    table = table._replace(values=values)
    assert find_modes(table, 4, NONE, 1).rates[0].numpy() == pytest.approx(0.25j, rel=1e-3)


def test_a_spectrum_that_begins_somewhere_moves_by_the_share_left():
    spectrum = Spectrum(4, periods=[12.0])
    held = 2 * math.pi / 12
    spectrum.start_at(torch.tensor([1j * held, -0.05 + 0.9j], dtype=torch.complex128), 0.01)
    before = spectrum.rates.detach()
    assert before[:2].numpy() == pytest.approx([1j * held, -0.05 + 0.9j], rel=1e-6)
    with torch.no_grad():
        spectrum.log_decay += 1.0
        spectrum.frequency += 0.5
    moved = spectrum.rates.detach()
    assert moved[0] == before[0]
    assert moved[1].numpy() == pytest.approx(-0.05 * math.exp(0.01) + 0.905j, rel=1e-5)
    assert moved[2:].numpy() == pytest.approx(before[2:].real.numpy() * math.e + 1j * (before[2:].imag.numpy() + 0.5))
