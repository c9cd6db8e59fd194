"""Every final kind of each abstraction, found by walking subclasses, and small arguments to make one of each."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable

import pytest
import torch

from tsssm.dynamics import DPLR, Dense, Diagonal, Discretization, Hermite, Paired, StateMatrix
from tsssm.dynamics.solvers import RK4, ExponentialEulerMaruyama
from tsssm.dynamics.splines import NaturalCubic, Rectilinear
from tsssm.grid import Grid
from tsssm.heads import Head
from tsssm.layers import GRU, S5, Layer, NeuralCDE, NeuralODE, Recipe

WIDTH = 3
"""Features of the small layers and heads."""


def finals(base: type, package: str) -> list[type]:
    """Concrete public subclasses of `base` that the modules of `package` define, in the order of their names."""
    home = importlib.import_module(package)
    for module in pkgutil.walk_packages(home.__path__, f"{package}."):
        importlib.import_module(module.name)
    found: dict[str, type] = {}
    waiting = [base]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            public = kind.__module__.startswith(f"{package}.") and not kind.__name__.startswith("_")
            if public and not inspect.isabstract(kind):
                found[kind.__name__] = kind
    return [found[name] for name in sorted(found)]


def made(makers: dict[str, Callable], kind: type):
    """A small instance of a kind; a new kind without an entry here fails with a word on what to do."""
    if kind.__name__ not in makers:
        pytest.fail(f"{kind.__name__} has no small arguments yet: add a line for it to tests/conformance/kinds.py")
    return makers[kind.__name__](kind)


def every(base: type, package: str, name: str) -> pytest.MarkDecorator:
    """Run a test for each final kind of `base`."""
    return pytest.mark.parametrize(name, finals(base, package), ids=lambda kind: kind.__name__)


FAST = {"timescale": (0.2, 1.0)}
SMALL_SDE = {"d_state": 4, "width": 5, "paths": 2}
SMALL_S5 = Recipe(S5, d_state=4, blocks=1, **FAST)
LAYERS: dict[str, Callable] = {
    "Beside": lambda kind: kind(WIDTH, Recipe(GRU), SMALL_S5),
    "Bidirectional": lambda kind: kind(WIDTH, SMALL_S5),
    "BoundedSDE": lambda kind: kind(WIDTH, "geometric", **SMALL_SDE),
    "GRU": lambda kind: kind(WIDTH),
    "GeometricSDE": lambda kind: kind(WIDTH, **SMALL_SDE),
    "LRU": lambda kind: kind(WIDTH, d_state=4),
    "LSSL": lambda kind: kind(WIDTH, d_state=4, **FAST),
    "HiSS": lambda kind: kind(WIDTH, [(1.3, SMALL_S5), (2, SMALL_S5), (None, SMALL_S5)], "attention"),
    "LangevinSDE": lambda kind: kind(WIDTH, **SMALL_SDE),
    "LinearNoiseSDE": lambda kind: kind(WIDTH, **SMALL_SDE),
    "NaiveSDE": lambda kind: kind(WIDTH, **SMALL_SDE),
    "NeuralCDE": lambda kind: kind(WIDTH, d_state=4, d_path=2, width=5),
    "NeuralODE": lambda kind: kind(WIDTH, d_state=4, width=5),
    "S4": lambda kind: kind(WIDTH, d_state=4, **FAST),
    "LinearGaussian": lambda kind: kind(WIDTH, d_state=4, **FAST),
    "S4D": lambda kind: kind(WIDTH, d_state=4, **FAST),
    "S5": lambda kind: kind(WIDTH, d_state=4, blocks=1, **FAST),
    "Selective": lambda kind: kind(WIDTH, d_state=4, **FAST),
    "Stack": lambda kind: kind(WIDTH, SMALL_S5, depth=2),
}
SMALL_CDE = {"d_state": 4, "d_path": 2, "width": 5}
# arguments that run other code than the defaults
VARIANTS: dict[str, Callable] = {
    "NeuralCDE along Hermite by RK4": lambda: NeuralCDE(WIDTH, **SMALL_CDE, path=Hermite(), rule=RK4()),
    "NeuralCDE along Rectilinear": lambda: NeuralCDE(WIDTH, **SMALL_CDE, path=Rectilinear()),
    "NeuralCDE along NaturalCubic": lambda: NeuralCDE(WIDTH, **SMALL_CDE, path=NaturalCubic()),
    "NeuralODE by exponential steps": lambda: NeuralODE(
        WIDTH, d_state=4, width=5, rule=ExponentialEulerMaruyama(substeps=2)
    ),
}
# paths with slopes cannot follow samples at the same time
DISTINCT = ("NeuralCDE along Hermite by RK4", "NeuralCDE along NaturalCubic")
every_layer = pytest.mark.parametrize(
    "kind", [*finals(Layer, "tsssm.layers"), *VARIANTS], ids=lambda kind: getattr(kind, "__name__", kind)
)


def small_layer(kind: type[Layer] | str, dtype: torch.dtype = torch.float64) -> Layer:
    """A small layer with fresh parameters, the same each time, in evaluation mode."""
    torch.manual_seed(0)
    return (VARIANTS[kind]() if isinstance(kind, str) else made(LAYERS, kind)).to(dtype).eval()


TARGETS = 2
HEADS: dict[str, Callable] = {
    "Gaussian": lambda kind: kind(WIDTH, TARGETS),
    "Label": lambda kind: kind(WIDTH, torch.ones(3), n_static=2),
    "Orientation": lambda kind: kind(WIDTH, "9d", n_static=2),
    "Quantile": lambda kind: kind(WIDTH, TARGETS),
    "RowLabel": lambda kind: kind(WIDTH, torch.ones(3)),
    "RowOrientation": lambda kind: kind(WIDTH),
    "StudentT": lambda kind: kind(WIDTH, TARGETS),
    "Value": lambda kind: kind(WIDTH, TARGETS, n_static=2),
}
every_head = every(Head, "tsssm.heads", "kind")


def small_head(kind: type[Head]) -> Head:
    """A small head with fresh parameters, the same each time, in float64 and evaluation mode."""
    torch.manual_seed(0)
    return made(HEADS, kind).double().eval()


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex128)


MATRICES: dict[str, Callable] = {
    "DPLR": lambda kind: DPLR(_random(2, 4) - 2, _random(2, 4, 1), _random(2, 4, 1)),
    "Dense": lambda kind: Dense(_random(2, 4, 4) - 2 * torch.eye(4)),
    "Diagonal": lambda kind: Diagonal(_random(2, 4) - 2),
    "Paired": lambda kind: Paired(_random(2, 2) - 2, _random(2, 2, 1), _random(2, 2, 1)),
}
every_matrix = every(StateMatrix, "tsssm.dynamics", "kind")


def small_matrix(kind: type[StateMatrix]) -> StateMatrix:
    """A batch of two matrices of size 4, the same each time."""
    torch.manual_seed(0)
    return made(MATRICES, kind)


RULES: dict[str, Callable] = {}
every_rule = every(Discretization, "tsssm.dynamics", "kind")


def small_rule(kind: type[Discretization]) -> Discretization:
    """A rule with its default arguments; only those without defaults need an entry in RULES."""
    needed = [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty]
    return made(RULES, kind) if needed else kind()


Series = list[tuple[float, bool]]
"""A small series: gap before and activity of each row."""


def packed(rows: list[list[Series]], dtype: torch.dtype = torch.float64) -> Grid:
    """Series end to end in each row of a batch, padding behind."""
    width = max(sum(map(len, row)) for row in rows)
    dt = torch.zeros(len(rows), width, dtype=dtype)
    valid, reset, active = torch.zeros(3, len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        place = 0
        for series in row:
            reset[i, place] = True
            for k, (gap, shows) in enumerate(series):
                dt[i, place], valid[i, place], active[i, place] = (gap if k else 1.0), True, shows
                place += 1
    return Grid(dt, valid, reset, active)


def some_series(lengths: list[int], silent: float = 0.0) -> list[Series]:
    """Series of these lengths with irregular gaps, a share of their rows silent."""
    gaps = torch.rand(sum(lengths)) + 0.2
    shown = torch.rand(sum(lengths)) >= silent
    pairs = iter(zip(gaps.tolist(), shown.tolist(), strict=True))
    return [[next(pairs) for _ in range(length)] for length in lengths]
