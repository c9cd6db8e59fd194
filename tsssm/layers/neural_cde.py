"""NeuralCDE: a network says how the state follows every move of the features."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tsssm.dynamics.fields import Field
from tsssm.dynamics.integrate import integrate
from tsssm.dynamics.knots import PathState
from tsssm.dynamics.mlp_fields import MLPField
from tsssm.dynamics.paths import ControlPath, Hold, Interpolation, Linear
from tsssm.dynamics.rules import Discretization, check_rule
from tsssm.dynamics.solvers import Midpoint
from tsssm.errors import explain
from tsssm.grid import Grid
from tsssm.layers.base import Layer


class Carried(NamedTuple):
    """State (b, n) at the last active row, and the last knots of the path."""

    x: Tensor
    path: PathState


class Controlled(nn.Module, Field):
    """The field ``tanh(F(x)) u`` of n states and m controls, F a network.

    Parameters
    ----------
    d_state, d_input : int
        n and m.
    width, depth : int
        Size and number of the hidden layers of F.
    """

    def __init__(self, d_state: int, d_input: int, width: int, depth: int):
        super().__init__()
        self.hidden = MLPField(d_state, 0, width, depth, "tanh")
        self.out = nn.Linear(d_state, d_state * d_input)

    def forward(self, t: Tensor, x: Tensor, u: Tensor | None) -> Tensor:
        """Rate of change of the state; see `Field`."""
        matrix = torch.tanh(self.out(torch.tanh(self.hidden(t, x, None)))).unflatten(-1, (x.shape[-1], -1))
        # products this small are faster so than as matrices, both ways
        return (matrix * u.unsqueeze(-2)).sum(-1)


class NeuralCDE(Layer):
    """Neural controlled differential equation, ``dx = tanh(F(x)) dX``, along the features X = (log time passed, P u).

    A state starts at ``W u_1 + b`` and is read as ``y = C x + D u``.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 32
        Size of the state.
    d_path : int, default 8
        Channels of the path beside time, linear maps of the features.
    width, depth : int, default 64 and 1
        Size and number of the hidden layers of F.
    path : Interpolation, optional
        How X runs between samples: `Linear()` if not given; `Rectilinear()`, in which values jump once time has passed;
        `Hermite()`, smooth, for adaptive rules; or `NaturalCubic()`, which looks ahead, so that the layer is not causal.
    rule : Discretization, optional
        How each gap is crossed: `Midpoint()` if not given; `RK4(substeps=2)`, `Torchdiffeq("dopri5")` and so on.

    Raises
    ------
    ValueError
        If a size is too small; in a pass, if samples of a series come at the same time where the path needs slopes, or a
        state stops being finite.
    TypeError
        If the path is none that the features move, or the rule none for this field.

    Notes
    -----
    O(b l width (width + d_state d_path)) for each call of F, row after row. Rates are bounded, so that |x| grows by at
    most the length of the path, in which a gap h counts as log(1 + h).

    References
    ----------
    Kidger et al., 2020, Neural controlled differential equations for irregular time series (arXiv 2005.08926), equation
    4. The path is linear and not a natural cubic spline, which would look ahead: Morrill et al., 2021 (arXiv 2106.11028).

    Examples
    --------
    >>> import torch
    >>> from tsssm.grid import Grid
    >>> from tsssm.layers import NeuralCDE
    >>> y, state = NeuralCDE(8)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 32,
        d_path: int = 8,
        width: int = 64,
        depth: int = 1,
        path: Interpolation | None = None,
        rule: Discretization | None = None,
    ):
        super().__init__()
        if min(d_state, d_path) < 1:
            came = f"{d_state} and {d_path} came"
            raise ValueError(explain("`d_state` and `d_path` must be at least 1", came, "Choose, say, 32 and 8"))
        self.field = Controlled(d_state, d_path + 1, width, depth)
        self.path, self.rule = path or Linear(), rule or Midpoint()
        _check_path(self.path)
        check_rule(self.rule, self.field, d_state, d_path + 1)
        self.causal = self.path.causality != "none"
        self.project = nn.Linear(d_model, d_path, bias=False)
        self.start = nn.Linear(d_model, d_state)
        self.C = nn.Parameter(torch.randn(d_model, d_state) / math.sqrt(d_state))
        self.D = nn.Parameter(torch.randn(d_model))

    def forward(self, x: Tensor, grid: Grid, state: Carried | None = None) -> tuple[Tensor, Carried]:
        before, knots = (None, None) if state is None else state
        with torch.autocast(x.device.type, enabled=False):
            shown = (grid.active & grid.valid).unsqueeze(-1)
            u = torch.where(shown, x.to(self.D.dtype), 0.0)
            control = self.project(u)
            path, knots = self.path.path(control, shown.expand_as(control), grid, state=knots)
            start = torch.where(shown, self.start(u), 0.0)
            states, last = integrate(self.field, self.rule, in_log_time(path), start, "path", before)
            y = states @ self.C.T
        return y + self.D * x, Carried(last, knots)


def in_log_time(path: ControlPath) -> ControlPath:
    """The path whose first channel, time, moves by log(1 + h) over a gap h: a long gap must not throw the state far."""
    first, rise, *rest = path.coefficients
    rise = torch.cat([rise[..., :1].clamp_min(0).log1p(), rise[..., 1:]], -1)
    return replace(path, coefficients=(first, rise, *rest))


def _check_path(path: Interpolation) -> None:
    if not isinstance(path, Interpolation):
        must = "`path` must be a scheme of tsssm.dynamics, such as Linear()"
        raise TypeError(explain(must, f"{path!r} came", "Import one and pass an instance of it"))
    if isinstance(path, Hold):
        must = "`path` must move with the features"
        raise TypeError(explain(must, "Hold() came, along which only time moves", "Use Rectilinear() or Linear()"))
