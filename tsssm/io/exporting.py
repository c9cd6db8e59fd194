"""export: a fitted estimator as a graph that runs without this library."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from sklearn.utils.validation import check_is_fitted

from tsssm import __version__
from tsssm.errors import explain
from tsssm.estimators import SSMClassifier, SSMRegressor, SSMSequenceRegressor
from tsssm.io.formats import Graph, onnx_bytes, torch_bytes
from tsssm.io.inputs import plain
from tsssm.io.network import Network, Step, Whole
from tsssm.io.stacks import refuse_layer

OUTPUTS = {SSMClassifier: "probability", SSMRegressor: "value", SSMSequenceRegressor: "value"}
WRITERS: dict[str, Callable[[Graph, dict[str, str]], bytes]] = {"onnx": onnx_bytes, "torch": torch_bytes}


def export(
    est: Any,
    path: str | os.PathLike[str],
    format: Literal["onnx", "torch"] = "onnx",
    form: Literal["sequence", "step"] = "sequence",
) -> None:
    """Write a fitted estimator as one file that ONNX Runtime or torch runs without this library.

    The graph holds the scaling, the clock and the mean of the members. Inputs are in the user's units, all float64:

    ======== ====================== ============= =====================================================================
    name     whole series           one row       what
    ======== ====================== ============= =====================================================================
    times    (batch, length)        time, (batch) in the unit of the panel's clock: seconds from any origin for datetimes
    values   (batch, length, c)     (batch, c)    channels in the order fitted to, NaN where not observed
    state                           (batch, n)    zeros where a series starts, then the last `next_state`
    static   (batch, s)             (batch, s)    only where the training panel had some; see below
    ======== ====================== ============= =====================================================================

    The answer is ``probability`` (batch, classes) of an `SSMClassifier`, ``value`` (batch, targets) of an `SSMRegressor`,
    and ``value`` (batch, length, targets) of an `SSMSequenceRegressor`, (batch, targets) of one row. Series of unequal
    length are filled up with rows of NaN, with any time not before: such rows leave no trace. Static features enter as
    numbers, NaN where missing, categories as their place in the list that the file holds.

    Parameters
    ----------
    est : SSMClassifier, SSMRegressor or SSMSequenceRegressor
        Fitted, with layers S5, S4D, LRU, GRU, Selective or, for whole series, Bidirectional.
    path : path
        File to write, such as ``model.onnx`` or ``model.pt2``; it appears as a whole or not at all.
    format : {"onnx", "torch"}, default "onnx"
        An ONNX model, or a program for `torch.export.load`, which takes its inputs by name.
    form : {"sequence", "step"}, default "sequence"
        Whole series at once, of any number and length; or one row of each series, with the state passed on.

    Raises
    ------
    ValueError, TypeError
        Where the estimator, its layer or its rule has no such form. Nothing is written then.
    ImportError
        Where the packages of ``tsssm[export]`` are missing for ONNX.

    Notes
    -----
    Graphs calculate in float32, times and the user's units apart; answers agree with the estimator's to about 1e-6. Channels,
    unit of time, classes, static features and sizes are stored as JSON texts: in the metadata of an ONNX model, or the
    extra file "tsssm.json" of a torch program. An `SSMClassifier` averages its network with a ridge on features by
    default, which no graph can hold: fit it with ``features=False``.

    Examples
    --------
    >>> import tempfile
    >>> from tsssm import SSMClassifier
    >>> from tsssm.data.synthetic import noisy_sines
    >>> model = SSMClassifier(epochs=1, members=1, features=False, random_state=0)
    >>> model = model.fit(*noisy_sines(20, random_state=0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(model, f"{folder}/model.pt2", format="torch", form="step")
    """
    path = Path(path)
    _refuse_words(path, format, form)
    _refuse_estimator(est, form)
    metadata = {name: json.dumps(value, default=str) for name, value in _described(est, form).items()}
    with torch.no_grad():
        network = Network(est)
        if form == "step":
            metadata["state_size"] = json.dumps(network.state_size)
        graph = _graph(est, network, form)
        written = WRITERS[format](graph, metadata)
    _write_whole(path, written)


def _refuse_words(path: Path, format: str, form: str) -> None:
    for name, value, known in (("format", format, tuple(WRITERS)), ("form", form, ("sequence", "step"))):
        if value not in known:
            must = f"`{name}` must be {known[0]!r} or {known[1]!r}"
            raise ValueError(explain(must, f"{value!r} came", "Check the spelling"))
    if not path.parent.is_dir():
        came = f"there is no folder {str(path.parent)!r}"
        raise ValueError(explain("`path` must lie in a folder that exists", came, "Make the folder first"))


def _refuse_estimator(est: Any, form: str) -> None:
    if type(est) not in OUTPUTS:
        known = ", ".join(kind.__name__ for kind in OUTPUTS)
        came = f"{type(est).__name__} came"
        raise TypeError(explain(f"`est` must be one of {known}", came, "Predict with tsssm, or fit one of them"))
    check_is_fitted(est, "models_")
    if getattr(est, "ridge_", None) is not None:
        came = "this SSMClassifier averages its network with an SSMRidgeClassifier on features"
        do = "Fit it with features=False"
        raise ValueError(explain("an exported classifier must be a network alone", came, do))
    if not getattr(est, "on_rows_", True):
        came = "the targets of this SSMSequenceRegressor had rows of their own, or a lookahead"
        raise ValueError(explain("an exported model must answer at the rows it reads", came, "Predict with tsssm"))
    if getattr(est, "rotation", None) is not None:
        came = f"the target of this {type(est).__name__} is a rotation"
        raise ValueError(explain("an exported regressor must answer with plain numbers", came, "Predict with tsssm"))
    if getattr(est, "straight", False):
        came = "this SSMSequenceRegressor has a linear path beside its blocks"
        raise ValueError(explain("an exported model must be a stack of blocks", came, "Fit with straight=False"))
    stack = est.models_[0].layer
    for block in stack.blocks:
        refuse_layer(block.layer)
    if form == "step" and not stack.causal:
        came = f"the layer of this {type(est).__name__} looks at later rows too"
        do = "Export form='sequence', or fit with bidirectional=False"
        raise ValueError(explain("a step needs a model that looks back only", came, do))


def _described(est: Any, form: str) -> dict[str, Any]:
    """What a reader of the file needs to know beside the names and shapes of inputs and outputs."""
    found: dict[str, Any] = {
        "tsssm_version": __version__,
        "estimator": type(est).__name__,
        "form": form,
        "channels": list(est.channels_),
        "time_kind": est.clock_kind_,
        "time_unit": "s" if est.clock_kind_ in ("datetime", "timedelta") else "as in training",
    }
    if isinstance(est, SSMClassifier):
        found["classes"] = est.classes_.tolist()
    if isinstance(est, SSMSequenceRegressor):
        found["targets"] = list(est.targets_)
    found["static"] = [
        {"name": column.name}
        if column.categories is None
        else {"name": column.name, "categories": [plain(value) for value in column.categories]}
        for column in _static_columns(est)
    ]
    return found


def _static_columns(est: Any) -> tuple:
    return est.covariates_.encoder.columns if hasattr(est, "covariates_") else ()


def _graph(est: Any, network: Network, form: str) -> Graph:
    """The module to be traced, with inputs that show which axes are open."""
    b, l, c = 3, 5, len(est.channels_)
    statics = len(_static_columns(est))
    numbers = torch.linspace(0, 1, b * l * c, dtype=torch.float64).reshape(b, l, c)
    times = torch.arange(l, dtype=torch.float64).expand(b, l).contiguous()
    static = {"static": torch.zeros(b, statics, dtype=torch.float64)} if statics else {}
    output = OUTPUTS[type(est)]
    if form == "sequence":
        inputs = {"times": times, "values": numbers, **static}
        axes = {"times": ("batch", "length"), "values": ("batch", "length"), "static": ("batch",)}
        return Graph(Whole(network), inputs, axes, [output])
    state = torch.zeros(b, network.state_size, dtype=torch.float64)
    inputs = {"time": times[:, 0].contiguous(), "values": numbers[:, 0].contiguous(), "state": state, **static}
    return Graph(Step(network), inputs, dict.fromkeys(inputs, ("batch",)), [output, "next_state"])


def _write_whole(path: Path, written: bytes) -> None:
    """Write a file under another name first, so that a broken write leaves nothing behind under this one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(written)
        # what mkstemp makes is closed to all others; the umask says what a new file would be
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
