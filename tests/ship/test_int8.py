"""A network in 8 bits: what it changes is measured, and too much is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graftwork
from graftwork.core.int8 import Int8Change
from graftwork.core.record import Run
from graftwork.errors import DataError, ModelError, UsageError
from graftwork.listener import SILENT
from graftwork.runfolder import RUN, read_run
from graftwork.steps import compete
from graftwork.verbs.export import _required_small

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
    assert change.images == len(read_run(small_run).develop)
    assert change.rows_of == "validation images"
    assert change.loss_low <= change.loss <= change.loss_high
    assert f"the same class as with {change.before}" in exported.facts.int8_in_words
    runtime = "onnxruntime" if to == "onnx" else "openvino"
    assert change.after.startswith(f"{runtime} int8 ")
    assert graftwork.check_export(exported.path, runtime=runtime).distance.largest < 0.001


@pytest.fixture(scope="module")
def trained(small_run: Path, small_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Train on the photos of the small run, unlike it as named."""

    def made(**settings: Any) -> Run:
        data = json.loads((small_run / "settings.json").read_text())["data"]
        usual = {"strategy": "linear", "loss": "softmax", "layer": "last", "backbone": small_backbone}
        return graftwork.train(
            settings.pop("data", data), output=tmp_path_factory.mktemp("run") / "int8", listener=SILENT,
            **{**usual, **settings},
        )  # fmt: skip

    return made


def test_a_run_in_8_bits_says_what_that_changed_and_loads_without_torch(trained: Callable[..., Run]) -> None:
    run = trained(engine="int8")
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
import tarfile
sys.modules["torch"] = sys.modules["onnx"] = sys.modules["onnxruntime"] = None
import graftwork
print(graftwork.load({run.folder!r}).engine)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == run.engine, done.stderr
    with pytest.raises(UsageError, match="was trained with --engine int8"):
        graftwork.export(run.folder, listener=SILENT)
    with pytest.raises(UsageError, match="must be a run without --engine int8 for --to web"):
        graftwork.export(run.folder, to="web", listener=SILENT)
    moved = graftwork.export(run.folder, int8=True, to="openvino", listener=SILENT)
    assert moved.facts.int8 is not None
    assert (moved.facts.int8.before, moved.facts.int8.equal) == (run.engine, len(run.y))
    shutil.rmtree(Path(run.folder) / "model" / "engine")
    with pytest.raises(ModelError, match="must hold the network in 8 bits"):
        graftwork.load(run.folder)


def test_8_bits_with_several_views_and_a_cross_validated_test(trained: Callable[..., Run]) -> None:
    run = trained(engine="int8", views=2, test="cv")
    assert run.int8 is not None
    assert run.int8.images == len(run.y) == len(run.images.names)
    assert graftwork.load(run.folder).fitted.views == 2
    exported = graftwork.export(run.folder, int8=True, listener=SILENT)
    assert exported.facts.int8 is not None
    assert exported.facts.int8.before == run.engine


def test_the_accuracy_before_is_that_of_the_cross_validation(trained: Callable[..., Run]) -> None:
    run = trained()
    change = graftwork.export(run.folder, int8=True, accept_loss=True, listener=SILENT).facts.int8
    assert change is not None
    chosen = run.trials[run.verdict.chosen].probabilities
    assert change.accuracy_before == (chosen.argmax(axis=1) == run.y).mean()


def test_a_fine_tuned_network_in_8_bits_is_compared_on_what_it_was_tuned_on(
    trained: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = compete.choose

    def tuned(trials: Any, *rest: Any, **named: Any) -> Any:
        """The real verdict, but a fine-tuning is taken."""
        kinds = [(trial.ended, trial.candidate.plan.kind != "linear") for trial in trials]
        return dataclasses.replace(choose(trials, *rest, **named), chosen=kinds.index(("completed", True)))

    monkeypatch.setattr(compete, "choose", tuned)
    quick = {"epochs": 2, "batch_size": 8, "folds": 3, "time_limit": None, "lr": 3e-3}
    run = trained(engine="int8", strategy="auto", layer="auto", freeze_to="stages.1", **quick)
    assert run.int8 is None, "a fine-tuning is not computed in 8 bits"
    assert not any(finding.code == "G403" for finding in run.findings)
    change = graftwork.export(run.folder, int8=True, accept_loss=True, listener=SILENT).facts.int8
    assert change is not None
    assert change.rows_of == "images that the network was fine-tuned on"
    assert change.images == len(run.develop)
    assert "int8" not in change.before


@pytest.mark.parametrize(
    ("engine", "advice"),
    [
        ("openvino int8 0123456789ab", "--to openvino has the 8 bits"),
        ("openvino f32", "`graft train --engine int8` fits"),
    ],
)
def test_a_refusal_advises_what_was_not_done_already(engine: str, advice: str) -> None:
    change = Int8Change(engine, "onnxruntime int8", 100, "validation images", 80, 0.9, 0.8, 0.1, 0.05, 0.15)
    with pytest.raises(ModelError, match=advice):
        _required_small(change, engine, accept_loss=False)


def test_engines_calibrated_on_other_images_share_no_codes(
    trained: Callable[..., Run], small_run: Path, tmp_path: Path
) -> None:
    first = Path(json.loads((small_run / "settings.json").read_text())["data"])
    second = tmp_path / "insects"
    shutil.copytree(first, second)
    lost = sorted(second.rglob("*.png"))[0]
    lost.unlink()
    runs = [trained(engine="int8", data=data) for data in (first, second)]
    assert runs[0].engine != runs[1].engine


def test_8_bits_without_their_packages_are_one_line(trained: Callable[..., Run], monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"pip install 'graftwork\[export\]'") as error:
        trained(engine="int8")
    assert "\n" not in str(error.value)


def test_8_bits_that_change_too_much_are_refused(small_run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("graftwork.core.int8.EQUAL", 1.01)
    file = tmp_path / "too-much.onnx"
    with pytest.raises(ModelError, match=r"8 bits must leave 98\.0 % .* --accept-loss") as refused:
        graftwork.export(small_run, output=file, int8=True, listener=SILENT)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_8_bits_need_the_images_that_the_run_was_developed_on(small_run: Path, tmp_path: Path) -> None:
    record = read_run(small_run)
    photos, run = tmp_path / "insects", tmp_path / "run"
    shutil.copytree(record.settings["data"], photos)
    shutil.copytree(small_run, run)
    (run / RUN).write_text((run / RUN).read_text().replace(record.settings["data"], str(photos)))
    (photos / record.images.names[record.develop[0]]).unlink()
    with pytest.raises(DataError, match="since 8 bits are calibrated on them"):
        graftwork.export(run, output=tmp_path / "some.onnx", int8=True, listener=SILENT)
    with pytest.raises(ModelError, match="must be the folder of a finished run"):
        graftwork.export(run / "model", output=tmp_path / "some.onnx", int8=True, listener=SILENT)
    assert not list(tmp_path.glob("some*"))


def test_accepting_a_loss_is_about_8_bits(small_run: Path) -> None:
    with pytest.raises(UsageError, match="--int8 is missing"):
        graftwork.export(small_run, accept_loss=True, listener=SILENT)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_hymenoptera_in_8_bits_keeps_its_classes(shared: Path, tmp_path: Path, to) -> None:
    with tarfile.open(shared / "datasets" / "hymenoptera.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    run = graftwork.train(
        tmp_path / "hymenoptera", output=tmp_path / "run", strategy="linear", backbone="efficientnet_lite0",
        listener=SILENT,
    )  # fmt: skip
    change = graftwork.export(run.folder, to=to, int8=True, listener=SILENT).facts.int8
    assert change is not None
    assert change.small
