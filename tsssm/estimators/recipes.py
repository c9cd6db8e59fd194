"""Short names of layers, and how an estimator's `layer` becomes a recipe."""

from __future__ import annotations

import inspect
from typing import Any

from tsssm import layers
from tsssm.errors import explain
from tsssm.layers import Layer, Recipe

# made of other layers, so that a name alone does not say what they are
WRAPPERS = (layers.Stack, layers.Beside, layers.Bidirectional, layers.HiSS)

# names of the literature for a layer with certain arguments; DSS is S4D with the eigenvalues of HiPPO (arXiv 2203.14343)
PRESETS = {
    "dss": Recipe(layers.S4D, init="legs"),
    "s4d-inv": Recipe(layers.S4D, init="inv"),
    "s4d-legs": Recipe(layers.S4D, init="legs"),
    "s4d-lin": Recipe(layers.S4D, init="lin"),
}


def short_names() -> dict[str, type[Layer]]:
    """Names such as "s5" of all public layers that an estimator can take."""
    kinds = (getattr(layers, name) for name in layers.__all__)
    found = (
        kind for kind in kinds if inspect.isclass(kind) and issubclass(kind, Layer) and not inspect.isabstract(kind)
    )
    return {kind.__name__.lower(): kind for kind in found if kind not in WRAPPERS}


def as_recipe(layer: Any) -> Recipe:
    """The recipe that a short name, a layer class or a recipe stands for.

    Raises
    ------
    ValueError, TypeError
        Where it is none of them.
    """
    if isinstance(layer, Recipe):
        return layer
    if not isinstance(layer, str):
        return Recipe(layer)
    name, kinds = layer.lower(), short_names()
    if name in PRESETS:
        # a copy, for a recipe can be changed in place
        return Recipe(PRESETS[name].kind, **PRESETS[name].arguments)
    if name not in kinds:
        raise ValueError(
            explain(
                f"`layer` must be one of {', '.join(map(repr, [*kinds, *PRESETS]))}, a Layer class or a Recipe",
                f"{layer!r} came",
                "Check the spelling",
            )
        )
    return Recipe(kinds[name])


class LayeredMixin:
    """Parameters of an estimator with a `layer`, those of the layer among them."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of the estimator and, where `deep`, those of its layer as ``layer__d_state`` and so on."""
        params = super().get_params(deep=False)
        if deep and self.layer is not None:
            try:
                inner = as_recipe(self.layer).get_params()
            except (TypeError, ValueError):
                return params
            params.update({f"layer__{name}": value for name, value in inner.items()})
        return params

    def set_params(self, **params: Any) -> Any:
        """Set parameters; a layer given by its short name becomes a recipe when ``layer__...`` is set."""
        if "layer" in params:
            self.layer = params.pop("layer")
        inner = {name.removeprefix("layer__"): params.pop(name) for name in list(params) if name.startswith("layer__")}
        if inner:
            recipe = as_recipe(self.layer)
            self.layer = Recipe(recipe.kind, **recipe.arguments).set_params(**inner)
        return super().set_params(**params)
