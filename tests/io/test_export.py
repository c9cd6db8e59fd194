"""Exported files, run by ONNX Runtime and by torch alone, give the numbers of the estimators."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.io.series import labels, ragged, spread, static_numbers
from tsssm import Recipe, SSMClassifier, SSMForecaster, SSMRegressor, SSMSequenceRegressor
from tsssm.dynamics import Bilinear
from tsssm.io import export, formats
from tsssm.layers import GRU, LRU, S4D, S5, Selective

SMALL = {"d_model": 4, "epochs": 1, "random_state": 0}
FAST = {"timescale": (0.2, 1.0)}
EVERY = [
    Recipe(S5, d_state=8, blocks=1, **FAST),
    Recipe(S4D, d_state=4, **FAST),
    Recipe(LRU, d_state=8),
    Recipe(GRU),
    Recipe(Selective, d_state=3, **FAST),
]


@pytest.fixture(scope="module")
def classifier() -> SSMClassifier:
    """A member whose five blocks hold a layer of each kind, on series with static features."""
    panel = ragged(12, static=True)
    model = SSMClassifier(depth=len(EVERY), members=1, features=False, **SMALL).fit(panel, labels(12))
    torch.manual_seed(0)
    for member in model.models_:
        for block, recipe in zip(member.layer.blocks, EVERY, strict=True):
            block.layer = recipe.build(4)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def whole(classifier: SSMClassifier, folder: Path) -> onnxruntime.InferenceSession:
    export(classifier, folder / "whole.onnx")
    return onnxruntime.InferenceSession(folder / "whole.onnx")


@pytest.fixture(scope="module")
def plain() -> SSMClassifier:
    """One block, since tracing takes seconds a block; the steps of all layers are tested without a trace."""
    return SSMClassifier(layer=EVERY[0], members=2, features=False, **SMALL).fit(ragged(12), labels(12))


def fed(panel, length: int | None = None) -> dict[str, np.ndarray]:
    """The inputs of whole series, filled up to a length."""
    times, values = spread(panel)
    more = 0 if length is None else length - times.shape[1]
    values = np.pad(values, ((0, 0), (0, more), (0, 0)), constant_values=np.nan)
    inputs = {"times": np.pad(times, ((0, 0), (0, more))), "values": values}
    return inputs if panel.static is None else inputs | {"static": static_numbers(panel)}


@pytest.mark.parametrize("n, length", [(1, 1), (1, 9), (2, 6), (5, 9), (12, 9), (12, 40)])
def test_series_of_any_number_and_length(whole, classifier, n, length):
    # series i has 1 + 5 i mod 9 rows
    panel = ragged(12, static=True, seed=1)[:n]
    (found,) = whole.run(["probability"], fed(panel, max(length, panel.lengths.max())))
    assert found.shape == (n, 3)
    assert found == pytest.approx(classifier.predict_proba(panel), abs=1e-5)


def test_a_series_without_any_row(whole, classifier):
    panel = ragged(2, static=True)
    empty = panel.rows(np.repeat([True, False], panel.lengths))
    assert empty.lengths.tolist() == [1, 0]
    (found,) = whole.run(None, fed(empty, 3))
    assert found == pytest.approx(classifier.predict_proba(empty), abs=1e-5)


def test_rows_one_by_one(plain, folder):
    export(plain, folder / "step.onnx", form="step")
    step = onnxruntime.InferenceSession(folder / "step.onnx")
    panel = ragged(7, seed=2)
    times, values = spread(panel)
    state = np.zeros((7, json.loads(step.get_modelmeta().custom_metadata_map["state_size"])))
    for k in range(times.shape[1]):
        row = {"time": times[:, k], "values": values[:, k], "state": state}
        found, state = step.run(["probability", "next_state"], row)
        first = np.arange(panel.n_rows) - np.repeat(panel.offsets[:-1], panel.lengths) <= k
        assert found == pytest.approx(plain.predict_proba(panel.rows(first)), abs=1e-5)


def test_what_the_file_says_of_itself(whole, folder, classifier):
    said = {name: json.loads(text) for name, text in whole.get_modelmeta().custom_metadata_map.items()}
    assert said["estimator"] == "SSMClassifier" and said["form"] == "sequence"
    assert said["channels"] == list(classifier.channels_) and said["classes"] == ["a", "b", "c"]
    assert said["static"] == [{"name": "kind", "categories": ["cat", "dog"]}, {"name": "age"}]
    assert [(put.name, put.shape) for put in whole.get_inputs()] == [
        ("times", ["batch", "length"]),
        ("values", ["batch", "length", 3]),
        ("static", ["batch", 2]),
    ]
    domains = {node.domain for node in onnx.load(folder / "whole.onnx").graph.node}
    assert domains == {""}, "only operators of ONNX itself, which every runtime has"


ALONE = """
import sys, numpy, torch
inputs = dict(numpy.load(sys.argv[2]))
program = torch.export.load(sys.argv[1]).module()
numpy.save(sys.argv[3], program(**{name: torch.from_numpy(part) for name, part in inputs.items()}).numpy())
assert "tsssm" not in sys.modules
"""


def test_torch_runs_the_program_without_this_library(plain, folder):
    export(plain, folder / "whole.pt2", format="torch")
    panel = ragged(5, seed=3)
    np.savez(folder / "inputs.npz", **fed(panel, 12))
    paths = [str(folder / name) for name in ("whole.pt2", "inputs.npz", "found.npy")]
    subprocess.run([sys.executable, "-c", ALONE, *paths], check=True, cwd=folder)
    assert np.load(folder / "found.npy") == pytest.approx(plain.predict_proba(panel), abs=1e-5)
    extra = {"tsssm.json": ""}
    torch.export.load(folder / "whole.pt2", extra_files=extra)
    assert json.loads(extra["tsssm.json"])["classes"] == ["a", "b", "c"]


def test_numbers_at_each_row_from_both_sides(tmp_path):
    panel = ragged(8)
    target = panel.with_values(np.nan_to_num(panel.values[:, :2]) * 10, channels=["a", "b"])
    model = SSMSequenceRegressor(layer=EVERY[0], depth=1, bidirectional=True, **SMALL).fit(panel, target)
    export(model, tmp_path / "rows.onnx")
    times, values = spread(panel)
    (found,) = onnxruntime.InferenceSession(tmp_path / "rows.onnx").run(["value"], {"times": times, "values": values})
    expected = model.predict(panel).values
    rows = np.concatenate([found[i, :count] for i, count in enumerate(panel.lengths)])
    assert rows == pytest.approx(expected, rel=1e-5, abs=1e-5 * np.abs(expected).max())
    with pytest.raises(ValueError, match="looks at later rows too. Export form='sequence'"):
        export(model, tmp_path / "step.onnx", form="step")


def refused(**changes) -> SSMClassifier:
    arguments = {"features": False, "members": 1, **SMALL, **changes}
    return SSMClassifier(**arguments).fit(ragged(12), labels(12))


@pytest.mark.parametrize(
    "make, kind, words",
    [
        (lambda: refused(features=True), ValueError, "Fit it with features=False"),
        (lambda: refused(layer="s4"), ValueError, "must be one of .*; S4 came. Fit with"),
        (lambda: refused(layer=Recipe(S5, rule=Bilinear())), ValueError, r"Bilinear\(\) came. Fit with ZeroOrderHold"),
        (lambda: refused(layer=Recipe(Selective, by_importance=True)), ValueError, "by_importance=False"),
        (lambda: SSMForecaster(), TypeError, "must be one of .*; SSMForecaster came"),
        (lambda: SSMRegressor(), ValueError, "not fitted"),
    ],
)
def test_what_has_no_such_form_is_refused_before_anything_is_written(make, kind, words, tmp_path):
    with pytest.raises(kind, match=words):
        export(make(), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_words_and_folders_are_checked(tmp_path):
    for arguments, words in [
        ({"format": "pickle"}, "`format` must be 'onnx' or 'torch'; 'pickle' came"),
        ({"form": "rows"}, "`form` must be 'sequence' or 'step'; 'rows' came"),
        ({"path": tmp_path / "none" / "m.onnx"}, "there is no folder"),
    ]:
        with pytest.raises(ValueError, match=words):
            export(**{"est": SSMRegressor(), "path": tmp_path / "m.onnx", **arguments})


def test_missing_packages_are_named_and_a_broken_write_leaves_the_old_file(classifier, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(formats, "find_spec", lambda name: None)
        with pytest.raises(ImportError, match=r'onnx and onnxscript missing. Install them with `pip install "tsssm'):
            export(classifier, path)
    with monkeypatch.context() as patch:
        patch.setattr("tsssm.io.exporting.WRITERS", {"onnx": lambda graph, metadata: b"new"})
        patch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(OSError("disk is full")))
        with pytest.raises(OSError, match="disk is full"):
            export(classifier, path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
