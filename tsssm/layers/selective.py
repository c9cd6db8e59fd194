"""Selective: a state space whose steps, inputs and readouts follow the features, on true gaps."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from tsssm.dynamics import Diagonal, LinearDiscretization, State, ZeroOrderHold, evolve_selective
from tsssm.dynamics.rows import gaps_between, state_after
from tsssm.errors import explain
from tsssm.grid import Grid
from tsssm.layers.base import Layer
from tsssm.layers.ordering import soft_order

# what a forced gain from input to output stays above, as in the code of arXiv 2410.03292
LEAST_GAIN = 0.7


class Selective(Layer):
    """Selective state space layer (S6, the heart of Mamba): each feature's x' = -exp(a) x + B_k u_k, y = C_k x + D u.

    B_k, C_k and the step of a row are linear in its features: it can hold, forget or overwrite what is remembered. In
    units of the median gap the system moves on by ``softplus(w u_k + b) gap_k``, exact in time where features stay.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    d_state : int, default 16
        Number of real states of each feature.
    rule : LinearDiscretization, default ZeroOrderHold()
        How a gap is crossed; `ExponentialEuler()` is what the code of Mamba does.
    timescale : tuple of float, default (0.001, 0.1)
        Range of the initial step of each feature, as a share of the median gap.
    gaps : "scale" or "gate", default "scale"
        Whether a gap multiplies the learned step, or enters it as ``softplus(w u_k + b + log gap_k)``, a learned gate.
    positive : bool, default False
        Whether C_k and B_k are P u_k and diag(softplus(d) + 0.7) P u_k with P unit upper triangular: then a row never
        answers to its own features with less of them, and depth cannot wear them out; see `diagnostics.token_dynamics`.
    by_importance : bool, default False
        Whether the rows of a series are a set, such as variates, run through in soft order of a learned score. Not
        causal, O(l^2), and gaps stay with the places.

    Raises
    ------
    ValueError
        If `gaps` is unknown, or `positive` with more states than features.

    Notes
    -----
    A scan, O(b l d_model d_state), whose states are never all in memory. The eigenvalues are real and below 0 by
    construction. The convolution over rows of Mamba's block is left out, since it counts rows and not time; gate and
    expansion are the business of `Stack`.

    References
    ----------
    Gu and Dao, 2023, Mamba (arXiv 2312.00752), algorithm 2 and section 3.6; true gaps are an extension of ours.
    Positive and reordered: Token dynamics of deep selective state space models (arXiv 2410.03292).

    Examples
    --------
    >>> import torch
    >>> from tsssm.layers import Selective
    >>> y, state = Selective(8, d_state=4)(torch.randn(2, 5, 8), Grid.regular(2, 5))
    >>> y.shape
    torch.Size([2, 5, 8])
    """

    slow: ClassVar[tuple[str, ...]] = ("log_decay", "step_bias")

    def __init__(
        self,
        d_model: int,
        d_state: int = 16,
        rule: LinearDiscretization = ZeroOrderHold(),
        timescale: tuple[float, float] = (0.001, 0.1),
        gaps: Literal["scale", "gate"] = "scale",
        positive: bool = False,
        by_importance: bool = False,
    ):
        super().__init__()
        _check(gaps, positive, d_state, d_model)
        self.d_state, self.rule, self.gaps, self.positive = d_state, rule, gaps, positive
        self.causal = not by_importance
        rank = math.ceil(d_model / 16)
        self.log_decay = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(d_model, 1))
        self.D = nn.Parameter(torch.ones(d_model))
        self.step_in = nn.Parameter(_uniform(rank, d_model))
        self.step_out = nn.Parameter(_uniform(d_model, rank))
        low, high = (math.log(bound) for bound in timescale)
        step = (low + (high - low) * torch.rand(d_model)).exp()
        self.step_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))
        self.to_C = nn.Parameter(_uniform(d_state, d_model))
        if positive:
            self.gain = nn.Parameter(torch.zeros(d_state))
        else:
            self.to_B = nn.Parameter(_uniform(d_state, d_model))
        if by_importance:
            self.importance = nn.Parameter(torch.randn(rank))

    def maps(self) -> tuple[Tensor, Tensor]:
        """S_B and S_C, (d_state, d_model) each, of B_k = S_B u_k and C_k = S_C u_k."""
        if not self.positive:
            return self.to_B, self.to_C
        P = self.to_C.triu(1) + torch.eye(*self.to_C.shape, dtype=self.to_C.dtype, device=self.to_C.device)
        return (softplus(self.gain) + LEAST_GAIN).unsqueeze(-1) * P, P

    def forward(self, x: Tensor, grid: Grid, state: State | None = None) -> tuple[Tensor, State | None]:
        u, active = grid.quiet(x)
        if not self.causal:
            return self._as_set(u, grid, state) + self.D * x, None
        gap = gaps_between(grid.dt, state, grid.reset, active)
        y, end = self._run(u, gap, grid.reset, active, None if state is None else state.x)
        return y + self.D * x, state_after(end, grid.dt, u, state, grid.reset, active)

    def _run(
        self, u: Tensor, gap: Tensor, reset: Tensor, active: Tensor | None = None, start: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        S_B, S_C = self.maps()
        # one product for all that is linear in the features; it may come in half, the dynamics need their own precision
        features = (u @ torch.cat([self.step_in, S_B, S_C]).T).to(self.D.dtype)
        low, B, C = features.split([len(self.step_in), self.d_state, self.d_state], -1)
        A = Diagonal(-self.log_decay.clamp(-14, 14).exp())
        return evolve_selective(A, self.rule, self._step(low, gap), u.to(self.D.dtype), B, C, start, reset, active)

    def _step(self, low: Tensor, gap: Tensor) -> Tensor:
        """How far each row moves each feature's system on, (b, l, d_model)."""
        wish = (low @ self.step_out.T).to(self.D.dtype) + self.step_bias
        gap = gap.unsqueeze(-1)
        if self.gaps == "scale":
            return softplus(wish) * gap
        # a gap of 0 moves nothing, and rounding may leave one below 0
        return softplus(wish + gap.clamp_min(torch.finfo(gap.dtype).tiny).log())

    def _as_set(self, u: Tensor, grid: Grid, state: State | None) -> Tensor:
        if state is not None or grid.silent:
            raise ValueError(
                explain(
                    "with `by_importance` the rows of a series must come at once and all be observed",
                    "a carried state came" if state is not None else "silent rows came",
                    "Use by_importance=False for what runs in time",
                )
            )
        order = soft_order(u @ self.step_in.T @ self.importance, grid)
        y, _ = self._run(order.to(u.dtype) @ u, grid.dt, grid.reset)
        # each row gets the mean of what was said at its places
        order = order.to(y.dtype)
        return (order.mT @ y) / order.sum(1).unsqueeze(-1)


def _uniform(rows: int, columns: int) -> Tensor:
    return (2 * torch.rand(rows, columns) - 1) / math.sqrt(columns)


def _check(gaps: str, positive: bool, d_state: int, d_model: int) -> None:
    if gaps not in ("scale", "gate"):
        raise ValueError(explain("`gaps` must be 'scale' or 'gate'", f"gaps={gaps!r} came", "Check the spelling"))
    if positive and d_state > d_model:
        raise ValueError(
            explain(
                "`positive` needs at least as many features as states, or the other states stay empty",
                f"d_state={d_state} and d_model={d_model} came",
                "Choose a smaller d_state",
            )
        )
