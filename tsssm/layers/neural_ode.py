"""NeuralODE: a network moves the state between samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsssm.dynamics.integrate import check_finite
from tsssm.dynamics.matrices import Diagonal
from tsssm.dynamics.mlp_fields import MLPField
from tsssm.dynamics.rules import Discretization, check_rule
from tsssm.dynamics.state_matrix import StateMatrix
from tsssm.dynamics.stochastic_fields import SemilinearField
from tsssm.grid import Grid
from tsssm.layers.driven import Steps, row_by_row
from tsssm.layers.exponential import Affine, Exponential, rates


class Relaxation(SemilinearField, nn.Module):
    """The field ``a (f(x, u) - x)``: what `NeuralODE` hands to a rule.

    Parameters
    ----------
    drift : MLPField
        The network f.
    log_decay : Parameter, (n,)
        Logarithms of the rates a.
    """

    calculus, noise = "ito", "additive"

    def __init__(self, drift: MLPField, log_decay: nn.Parameter):
        nn.Module.__init__(self)
        # a parameter of the field itself, or an adjoint equation would give it no gradient
        self.drift, self.log_decay = drift, log_decay

    @property
    def A(self) -> StateMatrix:
        """The linear part."""
        return Diagonal(-rates(self.log_decay))

    def remainder(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        """a f; see `SemilinearField`."""
        return rates(self.log_decay) * self.drift(t, x, u)

    def diffusion(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        """None."""
        return torch.zeros_like(x)


class NeuralODE(Exponential):
    """Neural ordinary differential equation, ``x' = a (f(x, u) - x)``, with a > 0 and f a bounded network.

    Steps are exponential, where no rule is given: exact in the linear part, first order in the rest, stable at any gap.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 32
        Size of the state.
    width, depth : int, default 64 and 1
        Size and number of the hidden layers of f.
    timescale : tuple of float, default (0.01, 1.0)
        Range of the initial decay a of each state, per median gap.
    rule : Discretization, optional
        How each gap is crossed, u held over it: `RK4(substeps=4)`, `Torchdiffeq("dopri5")`,
        `ExponentialEulerMaruyama(substeps=4)` and so on. Explicit rules need steps below about 2 / a in the longest gap.

    Raises
    ------
    ValueError
        If a size is too small or the range is none; in a pass, if a state stops being finite.
    TypeError
        If the rule is none for this field.

    Notes
    -----
    O(b l d_state width) for each call of f, row after row; compiled where no rule is given. |x| <= |x_1| + max |f| at
    all times.

    References
    ----------
    Chen et al., 2018, Neural ordinary differential equations; with an input as Kidger et al., 2020, equation 5. The
    exponential step is Hochbruck and Ostermann, 2010, equation 2.3.

    Examples
    --------
    >>> import torch
    >>> from tsssm.grid import Grid
    >>> from tsssm.layers import NeuralODE
    >>> y, state = NeuralODE(8)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 32,
        width: int = 64,
        depth: int = 1,
        timescale: tuple[float, float] = (0.01, 1.0),
        rule: Discretization | None = None,
    ):
        super().__init__(d_model, d_state, width, depth, timescale)
        self.rule = rule
        if rule is not None:
            check_rule(rule, self.field(), d_state, d_model)

    def field(self) -> Relaxation:
        """What moves the state."""
        return Relaxation(self.drift, self.log_decay)

    def affine(self, gap: Tensor, clock: Tensor, noise: Tensor | None) -> Affine:
        passed = self.decay * gap
        return Affine(torch.exp(-passed), -torch.expm1(-passed), torch.zeros_like(passed))

    def run(self, terms: tuple[Tensor, ...], first: Tensor, steps: Steps, grid: Grid, x: Tensor) -> Tensor:
        if self.rule is None:
            return super().run(terms, first, steps, grid, x)
        rule, field = self.rule, self.field()

        def move(x: Tensor, gap: Tensor, time: Tensor, u: Tensor) -> Tensor:
            return rule.step(field, time.squeeze(-1), gap.squeeze(-1), x, u)

        gap, features = torch.where(steps.moves, steps.gap, 0.0), terms[-1]
        parts = (gap[..., None, None], steps.time.to(features.dtype)[..., None, None], features)
        states = row_by_row(move, parts, first, steps, grid, x)
        check_finite(states, steps.gap)
        return states
