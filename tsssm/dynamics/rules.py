"""What a rule is: a way to cross a gap, given by matrices where the field is linear."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from tsssm.dynamics.fields import Field
from tsssm.dynamics.gap import Signal
from tsssm.dynamics.state_matrix import StateMatrix
from tsssm.errors import explain


class Step(NamedTuple):
    """Matrices of one step, ``x1 = transition x0 + before v0 + after v1``; None is a zero matrix."""

    transition: StateMatrix
    before: StateMatrix | None
    after: StateMatrix | None


class ModalInputs(NamedTuple):
    """How a rule's inputs enter a modal scan (`dynamics.kernels.loop`).

    Held, x1 = x0 + m x0 + (m / rate) inputs, or as impulses, x1 = x0 + m x0 + inputs; m = e^z - 1, or z / (1 - alpha z).
    """

    inputs: Tensor
    held: bool
    alpha: float | None = None


class Discretization(ABC):
    """A rule that advances a state over a gap."""

    @abstractmethod
    def step(
        self,
        field: Field,
        t: Tensor | float,
        dt: Tensor | float,
        x: Tensor,
        u: Tensor | None,
        u_before: Tensor | None = None,
    ) -> Tensor:
        """State at t + dt.

        Parameters
        ----------
        field : Field
            What moves the state.
        t : Tensor (*,) or float
            Time at the start of the gap.
        dt : Tensor (*,) or float
            Length of the gap, at least 0; broadcasts with the batch shape of x.
        x : Tensor (*, n)
            State at t.
        u : Tensor (*, m) or None
            Input at t + dt.
        u_before : Tensor (*, m) or None
            Input at t; None means the same as `u`.

        Returns
        -------
        Tensor (*, n)
            State at t + dt.
        """


class LinearDiscretization(Discretization):
    """A rule for linear fields, given by its matrices."""

    @abstractmethod
    def matrices(self, A: StateMatrix, dt: Tensor | float) -> Step:
        """Matrices of the step.

        Parameters
        ----------
        A : StateMatrix (*, n, n)
            In 1/time.
        dt : Tensor or float
            Gaps, at least 0; broadcasts with the batch shape of A.

        Returns
        -------
        Step
            Of the broadcast batch shape.
        """

    def modal(self, dt: Tensor, before: Tensor, after: Tensor) -> ModalInputs | None:
        """The rule's part in a fused scan: its inputs at both ends of the gaps, put together; None if it has no such form.

        Parameters
        ----------
        dt : Tensor (b, l, *1)
            Gaps, shaped to multiply inputs.
        before, after : Tensor (b, l, *s, m)
            Inputs at the start and at the end of each gap.
        """
        return None

    def step(
        self,
        field: Field,
        t: Tensor | float,
        dt: Tensor | float,
        x: Tensor,
        u: Tensor | None,
        u_before: Tensor | None = None,
    ) -> Tensor:
        """State at t + dt; see `Discretization.step`. Raises TypeError if the field is not a StateMatrix."""
        if not isinstance(field, StateMatrix):
            raise TypeError(
                explain(
                    must=f"{type(self).__name__} needs a linear field (Diagonal, DPLR or Dense)",
                    came=f"a {type(field).__name__} came",
                    do="Use a solver such as RK4, Torchdiffeq or EulerMaruyama for other fields",
                )
            )
        if isinstance(u, Signal):
            raise TypeError(
                explain(
                    must=f"{type(self).__name__} needs the inputs at the ends of a gap",
                    came=f"a {type(u).__name__} came",
                    do="Pass its values there, or use RK4",
                )
            )
        transition, before, after = self.matrices(field, dt)
        x = transition @ x
        if u is None:
            return x
        if before is not None:
            x = x + before @ (u if u_before is None else u_before)
        return x if after is None else x + after @ u


def check_rule(rule: Discretization, field: Field, n: int, m: int) -> None:
    """Raise unless a rule crosses gaps of a field of n states and m inputs: it says itself what does not fit.

    Examples
    --------
    >>> from tsssm.dynamics import Diagonal
    >>> from tsssm.dynamics.solvers import RK4
    >>> check_rule(RK4(), Diagonal(-torch.ones(2)), n=2, m=2)
    """
    if not isinstance(rule, Discretization):
        must = "`rule` must be a rule of tsssm.dynamics, such as RK4(substeps=2)"
        raise TypeError(explain(must, f"{rule!r} came", "Import one and pass an instance of it"))
    with torch.no_grad():
        rule.step(field, torch.zeros(1), torch.ones(1), torch.zeros(1, n), torch.zeros(1, m))
