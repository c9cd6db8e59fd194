"""Trajectories of network fields over all gaps of a grid at once: neural ODEs and SDEs without overhead for each step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from tsssm.dynamics.fields import Field
from tsssm.dynamics.gap import Gap
from tsssm.dynamics.kernels import trajectory as torch_form
from tsssm.dynamics.kernels import trajectory_native as native_form
from tsssm.dynamics.kernels.double_backward import double_backward
from tsssm.dynamics.kernels.trajectory import Chain, Numbers, Run, Wanted
from tsssm.dynamics.mlp_fields import MLPField, NoisyMLP
from tsssm.dynamics.solvers import RK4, Euler, EulerMaruyama, FixedStepSolver, Heun, Midpoint, euler_maruyama
from tsssm.errors import explain

_EULER = Chain((0.0,), (1.0,), (0.0,))
CHAINS = {
    Euler: _EULER,
    EulerMaruyama: _EULER,
    Midpoint: Chain((0.0, 1 / 2), (0.0, 1.0), (0.0, 1 / 2)),
    Heun: Chain((0.0, 1.0), (1 / 2, 1 / 2), (0.0, 1.0)),
    RK4: Chain((0.0, 1 / 2, 1 / 2, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6), (0.0, 1 / 2, 1 / 2, 1.0)),
}


def trajectory(
    field: MLPField | NoisyMLP,
    rule: FixedStepSolver,
    dt: Tensor,
    x0: Tensor,
    u: Tensor | None = None,
    before: Tensor | None = None,
    start: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """States of a network field after each gap: ``x_k = rule.step(field, t_{k-1}, dt_k, x_{k-1}, u_k)``.

    Parameters
    ----------
    field : MLPField or NoisyMLP
    rule : Euler, Midpoint, Heun, RK4 or EulerMaruyama
        Each gap is cut into its `substeps`; only `EulerMaruyama` sees the noise of a field.
    dt : Tensor, (b, l), in time scales, >= 0
        Gaps of each row; one of 0 leaves the state as it is.
    x0 : Tensor, (b, n)
        State before the first gap.
    u : Tensor, (b, l, m), optional
        Input at the end of each gap, held over the gap unless `before` is given.
    before : Tensor, (b, l, m), optional
        Input at the start of each gap, from where it goes to `u` linearly.
    start : Tensor, (b,), optional
        Time of `x0`; 0 if not given.
    noise : Tensor, (b, l substeps, n), optional
        Standard normal numbers for each step, in place of draws from the rule's generator.

    Returns
    -------
    Tensor, (b, l, n)
        Differentiable by dt, x0, u, before, start, noise and the weights, twice if need be.

    Raises
    ------
    ValueError
        If shapes do not fit, or noise comes with a rule that takes none.
    TypeError
        If the field has no network, or no noise where the rule needs it, or the rule is of another kind.

    Notes
    -----
    Memory: the states and the noise; everything else is computed again backwards. `trajectory_loop` is the
    specification.

    Examples
    --------
    >>> from tsssm.dynamics.solvers import RK4
    >>> states = trajectory(MLPField(d_state=3), RK4(), torch.rand(8, 20), torch.zeros(8, 3))
    >>> states.shape
    torch.Size([8, 20, 3])
    """
    _check(field, rule, dt, x0, u, noise)
    drift = field.drift if isinstance(field, NoisyMLP) else field
    chain, k, (b, l), n = CHAINS[type(rule)], rule.substeps, dt.shape, x0.shape[-1]
    dt = dt.to(x0.dtype)
    if not dt.numel():
        return x0.new_empty(b, l, n)
    t = _times(dt, start) if drift.clock or isinstance(field, NoisyMLP) and field.clock else dt
    steady = before is None and not drift.clock
    nodes = (0.0,) if steady else tuple(dict.fromkeys(chain.nodes))
    features = _features(drift, k, nodes, t, dt, u, before)
    steps = (dt / k).repeat_interleave(k, 1) if k > 1 else dt
    normals = root = size = None
    if isinstance(rule, EulerMaruyama):
        normals = _draw(rule, (b, l * k, n), x0) if noise is None else noise
        root, size = _root(steps), _size(field, k, t, dt)
    place = (0,) * len(chain.nodes) if steady else tuple(nodes.index(node) for node in chain.nodes)
    run = Run(chain, place, drift.activation, normals is not None and field.linear)
    weights = [part for layer in drift.layers for part in (layer.weight, layer.bias)]
    tensors = (x0, steps, normals, root, size, features, *weights)
    tensors = tuple(part if part is None else part.contiguous() for part in tensors)
    # mixed precision would halve the digits of the recursion
    with torch.autocast(x0.device.type, enabled=False):
        states = _Trajectory.apply(run, *tensors)
    return states[:, k - 1 :: k] if k > 1 else states


def trajectory_loop(
    field: Field,
    rule: FixedStepSolver,
    dt: Tensor,
    x0: Tensor,
    u: Tensor | None = None,
    before: Tensor | None = None,
    start: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """`trajectory` of any field, one step of the rule after another: the specification.

    Parameters
    ----------
    field : Field
    rule, dt, x0, u, before, start, noise
        See `trajectory`.

    Returns
    -------
    Tensor, (b, l, n)

    Examples
    --------
    >>> from tsssm.dynamics import Diagonal
    >>> from tsssm.dynamics.solvers import Euler
    >>> trajectory_loop(Diagonal(-torch.ones(1)), Euler(), torch.full((1, 2), 0.5), torch.ones(1, 1)).flatten()
    tensor([0.5000, 0.2500])
    """
    x, t, states = x0, torch.zeros_like(dt[:, 0]) if start is None else start, []
    for i in range(dt.shape[1]):
        u_k, before_k = (None if part is None else part[:, i] for part in (u, before))
        if noise is None:
            x = rule.step(field, t, dt[:, i], x, u_k, before_k)
        else:
            gap, k = Gap(field, t, dt[:, i], x, u_k, before_k), rule.substeps
            for j in range(k):
                g = gap.diffusion(j / k, x)
                x = euler_maruyama(gap, j / k, 1 / k, x, g, (1 / k) ** 0.5 * noise[:, i * k + j])
        t = t + dt[:, i]
        states.append(x)
    return torch.stack(states, 1)


class _Trajectory(Function):
    @staticmethod
    def forward(ctx: Any, run: Run, *tensors: Any) -> Tensor:
        numbers = _numbers(tensors)
        form = native_form if native_form.takes(numbers) else torch_form
        states = form.forward(run, numbers)
        ctx.run, ctx.form = run, form
        ctx.save_for_backward(*tensors, states)
        return states

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        *tensors, states = ctx.saved_tensors
        if torch.is_grad_enabled():
            # of the plain operations
            return double_backward(
                lambda run, *tensors: (torch_form.forward(run, _numbers(tensors)),),
                (ctx.run, *tensors),
                ctx.needs_input_grad,
                (grad,),
            )
        _, _, dt, normals, _, _, features, *_ = ctx.needs_input_grad
        wanted = Wanted(dt, features, normals)
        found = ctx.form.backward(ctx.run, _numbers(tensors), states, grad.contiguous(), wanted)
        return None, *found[:-1], *found.weights


def _numbers(tensors: Any) -> Numbers:
    return Numbers(*tensors[:6], tensors[6:])


def _times(dt: Tensor, start: Tensor | None) -> Tensor:
    """Start of each gap, (b, l); sums in float32 would drift on long grids."""
    ends = dt.double().cumsum(1)
    return ((ends if start is None else ends + start.double().unsqueeze(1)) - dt).to(dt.dtype)


def _features(
    drift: MLPField, k: int, nodes: tuple[float, ...], t: Tensor, dt: Tensor, u: Tensor | None, before: Tensor | None
) -> Tensor | None:
    """What the network sees beside the state at the nodes of all steps, (b, l k, p, m); t is not read without a clock."""
    if not (drift.clock or drift.d_input):
        return None
    s = (torch.arange(k, dtype=dt.dtype, device=dt.device).unsqueeze(1) + dt.new_tensor(nodes)) / k
    times = (t[:, :, None, None] + s * dt[:, :, None, None]) if drift.clock else t
    if drift.d_input and u is not None:
        end = u.to(dt.dtype)[:, :, None, None]
        u = end if before is None else torch.lerp(before.to(dt.dtype)[:, :, None, None], end, s.unsqueeze(-1))
        u = u.expand(*u.shape[:2], *s.shape, u.shape[-1])
    features = drift.features(times, u)
    return None if features is None else features.flatten(1, 2)


def _size(field: NoisyMLP, k: int, t: Tensor, dt: Tensor) -> Tensor:
    """Size of the noise at the start of each step, (b, l k, n); (n,) and without a look at t if it has no clock."""
    if not field.clock:
        return field.size(t)
    s = torch.arange(k, dtype=dt.dtype, device=dt.device) / k
    return field.size((t.unsqueeze(-1) + s * dt.unsqueeze(-1)).flatten(1))


def _root(steps: Tensor) -> Tensor:
    # the derivative of the root is infinite at 0: steps of length 0 must not turn it into NaN
    if not steps.requires_grad:
        return steps.sqrt()
    moves = steps > 0
    return torch.where(moves, steps, 1.0).sqrt() * moves


def _draw(rule: EulerMaruyama, shape: tuple[int, ...], like: Tensor) -> Tensor:
    source = like.device if rule.generator is None else rule.generator.device
    return torch.randn(shape, generator=rule.generator, dtype=like.dtype, device=source).to(like.device)


def _check(field: Field, rule: FixedStepSolver, dt: Tensor, x0: Tensor, u: Tensor | None, noise: Tensor | None) -> None:
    noisy = isinstance(rule, EulerMaruyama)
    if not isinstance(field, NoisyMLP if noisy else (MLPField, NoisyMLP)) or type(rule) not in CHAINS:
        raise TypeError(
            explain(
                must="`trajectory` needs an MLPField or NoisyMLP, with noise for EulerMaruyama, and a fixed-step rule",
                came=f"{type(field).__name__} and {type(rule).__name__} came",
                do="Use `trajectory_loop` or `evolve` for other fields and rules",
            )
        )
    drift = field.drift if isinstance(field, NoisyMLP) else field
    (b, l), n, m = dt.shape, drift.d_state, drift.d_input
    if x0.shape != (b, n) or (m and (u is None or u.shape != (b, l, m))):
        raise ValueError(
            explain(
                must=f"`x0` must be ({b}, {n}) and `u` ({b}, {l}, {m}), as `dt` and the field say",
                came=f"x0 {tuple(x0.shape)} and u {None if u is None else tuple(u.shape)} came",
                do="Put rows first, then gaps, then channels",
            )
        )
    if noise is not None and (not noisy or noise.shape != (b, l * rule.substeps, n)):
        raise ValueError(
            explain(
                must=f"`noise` must be ({b}, {l * rule.substeps}, {n}), and comes with EulerMaruyama only",
                came=f"{tuple(noise.shape)} came with {type(rule).__name__}",
                do="Leave it out to draw it from the rule's generator",
            )
        )
