"""Formats: a module with its inputs as the bytes of an ONNX model or of a program of torch."""

from __future__ import annotations

import io
import json
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tsssm.errors import explain

NEEDED = ("onnx", "onnxscript")


class Graph(NamedTuple):
    """A module, examples of its inputs by name, the names of their leading open axes, and those of its outputs."""

    module: nn.Module
    inputs: dict[str, Tensor]
    axes: dict[str, tuple[str, ...]]
    outputs: list[str]

    def program(self) -> torch.export.ExportedProgram:
        """The module traced, open in these axes."""
        open_axes = {name: torch.export.Dim(name) for name in ("batch", "length")}
        shapes = {name: {i: open_axes[axis] for i, axis in enumerate(self.axes[name])} for name in self.inputs}
        return torch.export.export(self.module, (), self.inputs, dynamic_shapes=shapes, strict=False)


def torch_bytes(graph: Graph, metadata: dict[str, str]) -> bytes:
    """A program for `torch.export.load`, with the metadata as its extra file "tsssm.json"."""
    text = json.dumps({name: json.loads(value) for name, value in metadata.items()}, indent=1)
    out = io.BytesIO()
    torch.export.save(graph.program(), out, extra_files={"tsssm.json": text})
    return out.getvalue()


def onnx_bytes(graph: Graph, metadata: dict[str, str]) -> bytes:
    """An ONNX model with the metadata as its properties, checked."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        do = 'Install them with `pip install "tsssm[export]"`, or use format="torch"'
        raise ImportError(explain("format='onnx' needs onnx and onnxscript", f"{' and '.join(missing)} missing", do))
    program = torch.onnx.export(
        graph.program(),
        kwargs=graph.inputs,
        input_names=list(graph.inputs),
        output_names=graph.outputs,
        dynamo=True,
        verbose=False,
    )
    onnx, model = import_module("onnx"), program.model_proto
    _name_axes(model.graph, graph.axes)
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _name_axes(graph: Any, axes: dict[str, tuple[str, ...]]) -> None:
    """Give open axes the names that readers know them by, instead of those of the trace."""
    shapes = {value.name: value.type.tensor_type.shape.dim for value in (*graph.input, *graph.output)}
    names = {
        shapes[name][i].dim_param: axis for name, own in axes.items() if name in shapes for i, axis in enumerate(own)
    }
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = names.get(dim.dim_param, dim.dim_param)
