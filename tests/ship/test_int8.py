"""A network in 8 bits: what it changes is measured, and too much is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import graftwork
from graftwork.errors import ModelError, UsageError
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


def test_a_run_in_8_bits_says_what_that_changed_and_loads_without_torch(
    small_run: Path, small_backbone: Path, tmp_path: Path, shared_cache: Path
) -> None:
    data = json.loads((small_run / "settings.json").read_text())["data"]
    run = graftwork.train(
        data,
        output=tmp_path / "int8",
        strategy="linear",
        loss="softmax",
        layer="last",
        backbone=small_backbone,
        engine="int8",
        listener=SILENT,
    )
    kind, precision, calibration = run.engine.split()
    assert (kind, precision, len(calibration)) == ("openvino", "int8", 12)
    assert run.int8 is not None
    assert (run.int8.after, run.int8.images) == (run.engine, len(run.y))
    assert run.int8.before in ("openvino f32", "openvino bf16")
    assert next(finding for finding in run.findings if finding.code == "G403").because.endswith(run.int8.in_words)
    model = graftwork.load(run.folder)
    assert model.engine == run.engine
    assert model.about["int8"]["equal"] == run.int8.equal
    code = f"""
import sys
sys.modules["torch"] = sys.modules["onnx"] = sys.modules["onnxruntime"] = None
import graftwork
print(graftwork.load({run.folder!r}).engine)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == run.engine, done.stderr
    with pytest.raises(UsageError, match="was trained with --engine int8"):
        graftwork.export(run.folder, listener=SILENT)
    moved = graftwork.export(run.folder, int8=True, to="openvino", listener=SILENT)
    assert moved.facts.int8 is not None
    assert (moved.facts.int8.before, moved.facts.int8.equal) == (run.engine, len(run.y))
    shutil.rmtree(Path(run.folder) / "model" / "engine")
    with pytest.raises(ModelError, match="must hold the network in 8 bits"):
        graftwork.load(run.folder)
