"""The scan in JAX: step by step, and associative as the authors of S5 run it."""

from __future__ import annotations

import os
from typing import Any

import torch

from benchmarks.peers.problem import Maker, Problem, Results, Runner


def sequential(u: Any, dt: Any, rate: Any, C: Any) -> Any:
    """lax.scan: one row after another, states in the carry."""
    import jax
    import jax.numpy as jnp

    gain = 1 / rate

    def step(x: Any, row: tuple[Any, Any]) -> tuple[Any, Any]:
        u_k, gap = row
        a = jnp.exp(rate * gap[:, None, None])
        x = a * x + (a - 1) * gain * u_k[..., None]
        return x, (C * x).sum(-1).real

    start = jnp.zeros((u.shape[0], *rate.shape), rate.dtype)
    _, y = jax.lax.scan(step, start, (u.swapaxes(0, 1), dt.swapaxes(0, 1)))
    return y.swapaxes(0, 1)


def associative(u: Any, dt: Any, rate: Any, C: Any) -> Any:
    """lax.associative_scan over the rows of all transitions and inputs."""
    import jax
    import jax.numpy as jnp

    def combine(left: tuple[Any, Any], right: tuple[Any, Any]) -> tuple[Any, Any]:
        return left[0] * right[0], right[0] * left[1] + right[1]

    a = jnp.exp(rate * dt[:, :, None, None])
    _, states = jax.lax.associative_scan(combine, (a, (a - 1) / rate * u[..., None]), axis=1)
    return (C * states).sum(-1).real


def with_jax(function: Any, threads: int) -> Maker:
    """Give the maker of runners of a function of JAX arrays, compiled; complex arguments are cut into real pairs."""

    def make(problem: Problem) -> Runner:
        if threads == 1:
            # must be set before jax starts, which it does in this process for the first time
            os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        import jax
        import jax.numpy as jnp

        def whole(part: Any) -> Any:
            return part[0] + 1j * part[1] if isinstance(part, tuple) else part

        def run(parts: dict[str, Any]) -> Any:
            return function(**{name: whole(part) for name, part in parts.items()})

        weight = jnp.asarray(problem.weight.numpy())
        arrays = {name: halves(part) for name, part in problem.parts.items()}
        arrays = {name: jax.tree.map(jnp.asarray, part) for name, part in arrays.items()}

        def run_and_back(parts: dict[str, Any]) -> tuple[Any, Any]:
            y, back = jax.vjp(run, parts)
            return y, back(weight)[0]

        # compiled here, so that neither time nor memory of the compiler is measured
        forward, both = (jax.jit(each).lower(arrays).compile() for each in (run, run_and_back))
        return Runner(
            lambda: jax.block_until_ready(forward(arrays)), lambda: jax.block_until_ready(both(arrays)), as_tensors
        )

    return make


def halves(part: torch.Tensor) -> Any:
    """A real array, or the real and imaginary parts of a complex one."""
    return (part.real.numpy(), part.imag.numpy()) if part.is_complex() else part.numpy()


def as_tensors(answer: tuple[Any, dict[str, Any]]) -> Results:
    """Value and gradients as tensors, complex ones in torch's convention: by the real part plus i by the imaginary."""

    def tensor(part: Any) -> torch.Tensor:
        if isinstance(part, tuple):
            return torch.complex(*(tensor(half) for half in part))
        return torch.tensor(part.__array__())

    y, gradients = answer
    return {"y": tensor(y), **{name: tensor(part) for name, part in gradients.items()}}
