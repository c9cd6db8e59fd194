"""Linear layers as systems in the user's unit of time: impulse response, frequency response, length of memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import solve_continuous_lyapunov
from torch import Tensor

from tsssm.dynamics import Dense, Diagonal, StateMatrix
from tsssm.errors import explain
from tsssm.layers import LSSL, S4, S4D, S5, Layer


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """``x' = A x + B u, y = Re(C x) + D u`` in k channels: one that all features share, or one for each of them.

    Parameters
    ----------
    A : Diagonal or Dense (k, n, n), in 1/time
    B : Tensor (k, n, m)
        In 1/time.
    C : Tensor (k, p, n)
    D : Tensor (d,)
        What each feature hands on as it is; d = k m = k p.

    Examples
    --------
    >>> import torch
    >>> from tsssm.diagnostics import LinearSystem, memory_length
    >>> one = torch.ones(1, 1, 1, dtype=torch.float64)
    >>> slow = LinearSystem(Diagonal(-0.01 * one[0]), one, one, one[0, 0])
    >>> memory_length(slow, share=0.99)
    tensor([230.2585], dtype=torch.float64)
    """

    A: Diagonal | Dense
    B: Tensor
    C: Tensor
    D: Tensor

    def joined(self, parts: Tensor) -> Tensor:
        """Answers (*, k, p, m) of the channels as one of all features: (*, d, d)."""
        return parts.squeeze(-3) if parts.shape[-3] == 1 else torch.diag_embed(parts.squeeze(-1).squeeze(-1))


@torch.no_grad()
def linear_system(layer: Layer, time_scale: float = 1.0) -> LinearSystem:
    """The system in continuous time that a layer runs on its gaps, in float64.

    Parameters
    ----------
    layer : S5, S4D, S4 or LSSL
    time_scale : float, default 1.0
        Length of a time scale in the user's unit, such as `time_scale_` of a fitted estimator.

    Raises
    ------
    TypeError
        For layers that are no fixed linear system.

    Examples
    --------
    >>> from tsssm.diagnostics import linear_system
    >>> from tsssm.layers import S5
    >>> linear_system(S5(3, d_state=8, blocks=1), time_scale=60.0).B.shape
    torch.Size([1, 4, 3])
    """
    A, B, C, D = _parts(copy.deepcopy(layer).double())
    return LinearSystem(A.affine(1 / time_scale), B / time_scale, C.detach(), D.detach())


def _parts(layer: Layer) -> tuple[StateMatrix, Tensor, Tensor, Tensor]:
    """A, B and C of each channel and D, in time scales."""
    if not isinstance(layer, (S5, S4D, S4, LSSL)):
        raise TypeError(
            explain(
                "the layer must be a fixed linear system: S5, S4D, S4 or LSSL",
                f"a {type(layer).__name__} came",
                "Use `dynamical_form`, which looks at a layer along one batch",
            )
        )
    step = layer.log_timescale.clamp(-14, 4.6).exp().unsqueeze(-1)
    if isinstance(layer, LSSL):
        return layer.matrix(), (layer.B * step).unsqueeze(-1), layer.C.unsqueeze(-2), layer.D
    C = 2 * torch.view_as_complex(layer.C)
    if isinstance(layer, S4):
        # real, on the states (Re x_0, Im x_0, Re x_1, ...), where Re(c x) = Re c Re x - Im c Im x
        B = layer.B.flatten() * step
        return Dense(layer.matrix().dense()), B.unsqueeze(-1), _as_reals(C.conj()).unsqueeze(-2), layer.D
    rates = torch.complex(-layer.log_decay.exp(), layer.frequency)
    if isinstance(layer, S5):
        B = torch.view_as_complex(layer.B) * step
        return Diagonal((rates * step.squeeze(-1)).unsqueeze(0)), B.unsqueeze(0), C.unsqueeze(0), layer.D
    return Diagonal(rates * step), (step * torch.ones_like(rates)).unsqueeze(-1), C.unsqueeze(-2), layer.D


def _as_reals(z: Tensor) -> Tensor:
    return torch.view_as_real(z.resolve_conj()).flatten(-2)


def impulse_response(system: LinearSystem, times: Tensor) -> Tensor:
    """``Re(C e^(t A) B)``: what an impulse of one feature at time 0 leaves in each at time t; without that of D at 0.

    Parameters
    ----------
    system : LinearSystem
    times : Tensor (t,), in the unit of the system, >= 0

    Returns
    -------
    Tensor (t, d, d)
        At each time, output by input; in 1/time, so that its integral is the answer to a step.

    Examples
    --------
    >>> import torch
    >>> from tsssm.diagnostics import impulse_response, linear_system
    >>> from tsssm.layers import S4D
    >>> impulse_response(linear_system(S4D(3, d_state=8)), torch.arange(5.0)).shape
    torch.Size([5, 3, 3])
    """
    times = torch.as_tensor(times, dtype=torch.float64)
    moved = system.A.exp(times.unsqueeze(-1)) @ system.B.movedim(-1, 0).unsqueeze(1)
    return system.joined(torch.einsum("kpn,mtkn->tkpm", system.C.to(moved.dtype), moved).real)


def frequency_response(system: LinearSystem, frequencies: Tensor) -> Tensor:
    """``C (2 pi i f - A)^-1 B + D``: gain and phase of each feature's answer to a wave of frequency f in another.

    Parameters
    ----------
    system : LinearSystem
    frequencies : Tensor (f,), in cycles per unit of time

    Returns
    -------
    Tensor (f, d, d), complex
        Output by input.

    Notes
    -----
    Of the system in continuous time. Sampled on gaps h it is that of the layer for f well below 1/(2 h).

    Examples
    --------
    >>> import torch
    >>> from tsssm.diagnostics import frequency_response, linear_system
    >>> from tsssm.layers import S4D
    >>> frequency_response(linear_system(S4D(3, d_state=8)), torch.tensor([0.1])).shape
    torch.Size([1, 3, 3])
    """
    s = 2j * math.pi * torch.as_tensor(frequencies, dtype=torch.float64)
    # of the real part: half of what the modes answer, and half of what their conjugates do
    answer = (_transfer(system, s) + _transfer(system, s.conj()).conj()) / 2
    return system.joined(answer) + torch.diag(system.D).to(answer.dtype)


def _transfer(system: LinearSystem, s: Tensor) -> Tensor:
    """C (s - A)^-1 B of each channel, (f, k, p, m)."""
    B, C = system.B.to(s.dtype), system.C.to(s.dtype)
    if isinstance(system.A, Diagonal):
        solved = 1 / (s[:, None, None] - system.A.eigenvalues)
        return torch.einsum("kpn,fkn,knm->fkpm", C, solved, B)
    eye = torch.eye(B.shape[-2], dtype=s.dtype)
    return C @ torch.linalg.solve(s[:, None, None, None] * eye - system.A.dense(), B.expand(len(s), *B.shape))


def memory_length(system: LinearSystem, share: float = 0.99) -> Tensor:
    """Time within which a share of the energy of each output's impulse responses has passed: (d,).

    The t where the integral of ``h^2`` over [0, t] is `share` of the whole, h^2 summed over inputs; for one mode of
    decay a it is ``-log(1 - share) / (2 a)``.

    Parameters
    ----------
    system : LinearSystem
        Stable.
    share : float, default 0.99
        In (0, 1).

    Returns
    -------
    Tensor (d,), in the unit of the system
        0 where an output has no response.

    Raises
    ------
    ValueError
        If `share` is not in (0, 1) or the system is not stable.

    Notes
    -----
    Energies in closed form, then halving of intervals: some 50 trials of O(d n^2), or O(d n^3) where A is not diagonal.

    Examples
    --------
    >>> from tsssm.diagnostics import linear_system, memory_length
    >>> from tsssm.layers import S5
    >>> memory_length(linear_system(S5(3, d_state=8, blocks=1), time_scale=60.0)).shape
    torch.Size([3])
    """
    if not 0 < share < 1:
        raise ValueError(explain("`share` must lie in (0, 1)", f"share={share} came", "Use 0.99 for most of it"))
    rates = system.A.eigenvalues if isinstance(system.A, Diagonal) else torch.linalg.eigvals(system.A.dense())
    slowest = float(-rates.real.max())
    if slowest <= 0:
        raise ValueError(
            explain(
                "the system must be stable",
                f"a mode has real part {-slowest:.3g}",
                "A memory without end has no length",
            )
        )
    left = _energy_of_modes(system) if isinstance(system.A, Diagonal) else _energy_by_gramian(system)
    low = torch.zeros(system.C.shape[:2], dtype=torch.float64)
    high = torch.full_like(low, 1 / slowest)
    whole = left(low)
    while bool((late := left(high) > (1 - share) * whole).any()):
        high = torch.where(late, 2 * high, high)
    for _ in range(45):
        middle = (low + high) / 2
        late = left(middle) > (1 - share) * whole
        low, high = torch.where(late, middle, low), torch.where(late, high, middle)
    return torch.where(whole > 0, high, 0).flatten()


def _energy_of_modes(system: LinearSystem) -> Callable[[Tensor], Tensor]:
    """Energy of each output (k, p) from the times (k, p) on, in closed form."""
    rates = system.A.eigenvalues
    B, C = system.B.to(rates.dtype), system.C.to(rates.dtype)
    # |Re g|^2 = (|g|^2 + Re g^2) / 2: pairs of modes, each with the conjugate of the other or with the other
    pairs = torch.stack([rates.unsqueeze(-1) + rates.conj().unsqueeze(-2), rates.unsqueeze(-1) + rates.unsqueeze(-2)])
    drive = torch.stack([B @ B.mH, B @ B.mT]) / -pairs
    weight = torch.stack(
        [C.unsqueeze(-1) * C.conj().unsqueeze(-2), C.unsqueeze(-1) * C.unsqueeze(-2)]
    ) * drive.unsqueeze(2)
    return lambda t: (weight * torch.exp(pairs.unsqueeze(2) * t[..., None, None])).sum((0, -2, -1)).real


def _energy_by_gramian(system: LinearSystem) -> Callable[[Tensor], Tensor]:
    """The same for real matrices of any kind: P of ``A^T P + P A = -c^T c``, at the states that an impulse leaves.

    Not by eigenvectors: those of HiPPO are next to parallel.
    """
    gramians = [
        [solve_continuous_lyapunov(A.mT.numpy(), -torch.outer(c, c).numpy()) for c in C]
        for A, C in zip(system.A.dense(), system.C, strict=True)
    ]
    P = torch.tensor(np.array(gramians))

    def left(t: Tensor) -> Tensor:
        x = torch.linalg.matrix_exp(system.A.dense().unsqueeze(1) * t[..., None, None]) @ system.B.unsqueeze(1)
        return (x * (P @ x)).sum((-2, -1))

    return left
