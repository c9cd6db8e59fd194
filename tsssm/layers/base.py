"""Layer: dynamics on a grid, and Recipe: a layer class with its arguments."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from tsssm.errors import explain
from tsssm.grid import Grid

Carried = Any
"""State of a layer between two pieces of a series: a tensor, or tuples of them."""


class Layer(nn.Module, ABC):
    """A map of a sequence of features on a grid to one of the same width, made by ``kind(d_model, **arguments)``.

    Streaming is `forward` on a shorter piece with the state passed on; there is no second implementation.
    """

    slow: ClassVar[tuple[str, ...]] = ()
    """Names of own parameters that set time scales: they learn at their own rate, without weight decay."""

    causal: bool = True
    """Whether a row sees only itself and what came before, so that the layer can stream."""

    @classmethod
    def timed(cls, arguments: dict[str, Any], scales: Callable[[Any], float]) -> dict[str, Any]:
        """Arguments of the constructor with durations as numbers of time scales, which `scales` gives: for kinds that have some."""
        return arguments

    @abstractmethod
    def forward(self, x: Tensor, grid: Grid, state: Carried = None) -> tuple[Tensor, Carried]:
        """Run along the grid.

        Parameters
        ----------
        x : Tensor, (b, l, d_model)
            Features at each row. Those of silent rows enter nothing but their own output.
        grid : Grid
            Gaps, padding and series starts of the rows.
        state : optional
            What `forward` returned for the piece before; zero if not given.

        Returns
        -------
        y : Tensor, (b, l, d_model)
        state
            To pass on to the next piece.
        """


class Recipe:
    """A layer class with its arguments: what an estimator clones, searches and saves instead of a built layer.

    Parameters
    ----------
    kind : type
        A `Layer` class.
    **arguments
        Arguments of its constructor, `d_model` left out.

    Raises
    ------
    TypeError
        Where `kind` is no layer class or an argument is not one of its own.

    Examples
    --------
    >>> from tsssm.layers import S5
    >>> from tsssm import Recipe
    >>> Recipe(S5, d_state=16).build(8).d_state
    16
    """

    def __init__(self, kind: type[Layer], **arguments: Any):
        if not (inspect.isclass(kind) and issubclass(kind, Layer)):
            raise TypeError(
                explain("`kind` must be a Layer class", f"{kind!r} came", "Pass the class itself, such as layers.S5")
            )
        self.kind = kind
        self.arguments = dict(arguments)
        self._refuse_unknown(self.arguments)

    def _defaults(self) -> dict[str, Any]:
        parameters = inspect.signature(self.kind).parameters
        return {name: p.default for name, p in parameters.items() if name not in ("d_model", "generator")}

    def _refuse_unknown(self, arguments: dict[str, Any]) -> None:
        known = self._defaults()
        unknown = sorted(set(arguments) - set(known))
        if unknown:
            raise TypeError(
                explain(
                    f"the arguments of {self.kind.__name__} are {', '.join(known) or 'none'}",
                    f"{', '.join(unknown)} came",
                    "Check the spelling",
                )
            )

    def build(self, d_model: int) -> Layer:
        """Make the layer with fresh parameters."""
        return self.kind(d_model, **self.arguments)

    def timed(self, scales: Callable[[Any], float]) -> Recipe:
        """The recipe with durations such as "100ms" as numbers of time scales."""
        return Recipe(self.kind, **self.kind.timed(self.arguments, scales))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The class and all its arguments, defaults included, in scikit-learn's way."""
        return {"kind": self.kind, **self._defaults(), **self.arguments}

    def set_params(self, **params: Any) -> Recipe:
        """Change arguments in place, in scikit-learn's way."""
        self.kind = params.pop("kind", self.kind)
        self._refuse_unknown(params)
        self.arguments.update(params)
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self.get_params() == other.get_params()

    def __hash__(self) -> int:
        return hash(self.kind)

    def __repr__(self) -> str:
        inside = [self.kind.__name__, *(f"{name}={value!r}" for name, value in self.arguments.items())]
        return f"Recipe({', '.join(inside)})"
