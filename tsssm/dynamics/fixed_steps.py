"""Fixed steps: what solvers of our own share, with noise or without."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from tsssm.dynamics.fields import Field
from tsssm.dynamics.gap import Gap
from tsssm.dynamics.rules import Discretization


class FixedStepSolver(Discretization):
    """A one-step method applied to equal parts of the gap."""

    substeps: int

    @abstractmethod
    def advance(self, gap: Gap, s: float, part: float, x: Tensor) -> Tensor:
        """State (*, n) at the fraction ``s + part`` of the gap from the state x (*, n) at s."""

    def step(
        self,
        field: Field,
        t: Tensor | float,
        dt: Tensor | float,
        x: Tensor,
        u: Tensor | None,
        u_before: Tensor | None = None,
    ) -> Tensor:
        """State at t + dt; see `Discretization.step`."""
        gap = Gap(field, t, dt, x, u, u_before)
        for i in range(self.substeps):
            x = self.advance(gap, i / self.substeps, 1 / self.substeps, x)
        return x
