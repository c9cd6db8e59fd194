"""What all estimators for sktime share: their door for data, and what scikit-learn asks of them."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags, TransformerTags

from tsssm.sktime.frames import check_times

# what scikit-learn's callbacks keep on an estimator, which sktime's reset at each fit would drop
CALLBACKS = ("_skl_callbacks", "_parent_callback_ctx", "_skl_callbacks_to_teardown")


class ScikitMixin:
    """Tags for scikit-learn, and a reset that keeps its callbacks, so that its searches and pipelines take sktime's."""

    _kind: ClassVar[str | None] = None

    def __sklearn_tags__(self) -> Tags:
        """Tags of scikit-learn."""
        own: dict[str, Any] = {}
        if self._kind == "classifier":
            own["classifier_tags"] = ClassifierTags()
        if self._kind == "regressor":
            own["regressor_tags"] = RegressorTags()
        if self._kind == "transformer":
            own["transformer_tags"] = TransformerTags(preserves_dtype=[])
        return Tags(
            estimator_type=self._kind if own and "transformer_tags" not in own else None,
            target_tags=TargetTags(required=self._kind in ("classifier", "regressor")),
            input_tags=InputTags(three_d_array=True, two_d_array=True, allow_nan=True),
            **own,
        )

    def reset(self) -> Any:
        """Go back to the state after the constructor, as sktime's `fit` does first."""
        kept = {name: vars(self)[name] for name in CALLBACKS if name in vars(self)}
        super().reset()
        vars(self).update(kept)
        return self


class SeriesDoorMixin:
    """Check times before sktime's own checks do, for estimators that get `X` and `y` as series."""

    def _check_X_y(self, X: Any = None, y: Any = None, *args: Any, **options: Any) -> Any:
        check_times(X, "X")
        check_times(y, "y")
        return super()._check_X_y(X, y, *args, **options)


class PanelDoorMixin:
    """Check times before sktime's own checks do, for estimators that get `X` as a panel and `y` as a table."""

    def _internal_convert(self, X: Any, y: Any = None) -> Any:
        check_times(X, "X")
        return super()._internal_convert(X, y)
