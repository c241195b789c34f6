"""A network in 8 bits: what it changes is measured, and too much is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import graftwork
from graftwork.listener import SILENT

onnx = pytest.importorskip("onnx", reason="needs what `pip install 'graftwork[export]'` installs")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.xdist_group("export")  # one run, and each network once


@pytest.mark.parametrize(("to", "file"), [("onnx", "run-int8.onnx"), ("openvino", "run-int8-openvino.xml")])
def test_an_export_in_8_bits_says_what_that_changed(small_run: Path, to, file) -> None:
    exported = graftwork.export(small_run, to=to, int8=True, accept_loss=True, listener=SILENT)
    assert exported.path.name == file
    change = exported.facts.int8
    assert change is not None
    assert change.images == len(graftwork.load(small_run).about) or change.images > 20
    assert change.rows_of == "validation images"
    assert change.loss_low <= change.loss <= change.loss_high
    assert f"the same class as with {change.before}" in exported.facts.int8_in_words
    runtime = "onnxruntime" if to == "onnx" else "openvino"
    assert change.after.startswith(f"{runtime} int8 ")
    assert graftwork.check_export(exported.path, runtime=runtime).distance.largest < 0.001
