"""A model leaves as one file: what it holds, what runs it, and how everything that can go wrong ends in one line."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import graftwork
from graftwork.backbones.openvino_engine import has_bf16
from graftwork.errors import GraftError, ModelError, StorageError, UsageError
from graftwork.listener import SILENT
from graftwork.model.folder import read_model
from graftwork.model.load import load_in_float32
from graftwork.ship import onnx_model
from graftwork.ship.exported import open_exported
from graftwork.steps import compete
from graftwork.testing import tiny_image, write_tiny_images

onnx = pytest.importorskip("onnx", reason="needs what `pip install 'graftwork[export]'` installs")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.xdist_group("export")  # one run, and each file once


def metadata(file: Path) -> dict[str, str]:
    return onnxruntime.InferenceSession(file).get_modelmeta().custom_metadata_map


def test_a_file_takes_an_image_of_any_size_and_gives_the_models_probabilities(small_run: Path, exported) -> None:
    session = onnxruntime.InferenceSession(exported())
    (entry,) = session.get_inputs()
    assert (entry.name, entry.type, entry.shape) == ("image", "tensor(uint8)", ["height", "width", 3])
    model = load_in_float32(small_run)
    for height, width in ((32, 32), (7, 90), (301, 200)):
        image = np.asarray(Image.fromarray(tiny_image(1, 5, 64)).resize((width, height)))
        (row,) = session.run(None, {"image": image})
        assert row == pytest.approx(model.probabilities(image)[0], abs=0.005)


def test_what_a_file_says_about_itself(small_run: Path, exported) -> None:
    said = metadata(exported())
    run = graftwork.load(small_run).about
    assert json.loads(said["classes"]) == ["ant", "bee", "cat"]
    assert said["graftwork"] == graftwork.__version__
    assert (said["licence"], said["trained_on"]) == ("CC0-1.0", "none: random weights")
    assert json.loads(said["test_score"]) == run["test"]
    assert f"{run['test']['images']} images" in said["test"]
    assert json.loads(said["preprocess"])["input_px"] == 32
    assert "shorter side is 32 px" in said["preprocessing"]
    assert said["runs_in"].startswith("onnxruntime alone")
    parity = json.loads(said["parity"])
    assert parity["pictures"] == 3 * parity["images"] > 60
    assert parity["file"]["largest"] <= 0.01
    assert parity["file"]["median"] <= 1e-4
    assert parity["file"]["other_class"] == 0


def test_a_file_names_no_folder_of_this_machine(exported) -> None:
    data = exported().read_bytes()
    assert str(Path.home()).encode() not in data
    assert b"site-packages" not in data
    assert b".py" not in data


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_file_of_fixed_input_takes_any_number_of_images_in_every_runtime(runtime, exported) -> None:
    file = exported(input="fixed")
    assert graftwork.check_export(file, runtime=runtime).distance.largest < 0.001
    session = onnxruntime.InferenceSession(file)
    batch = np.stack([tiny_image(label, 3) for label in range(5)])
    together = session.run(None, {"pixels": batch})[0]
    assert together.shape == (5, 3)
    for image, row in zip(batch, together, strict=True):
        assert session.run(None, {"pixels": image[None]})[0][0] == pytest.approx(row, abs=1e-5)


def test_openvinos_files_hold_the_same_metadata(exported) -> None:
    file = exported("openvino", "fixed")
    facts = open_exported(file, "openvino").facts
    assert facts.classes == ("ant", "bee", "cat")
    assert facts.parity is not None
    assert facts.parity.runtime.startswith("OpenVINO")
    assert graftwork.check_export(file, runtime="openvino").distance.largest < 0.001


def test_a_runtime_that_ignores_antialiasing_is_stopped_in_one_line(exported, graft) -> None:
    done = graft("export", "--check", exported(), "--runtime", "openvino")
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "reads it wrongly" in done.err
    assert "--input fixed" in done.err
    assert graft("export", "--check", exported(), "--runtime", "onnxruntime").code == 0


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (("run", "--runtime", "openvino"), "--runtime must be left out without --check"),
        (("--check", "x.onnx", "--int8", "--to", "openvino"), "--int8 and --to must be left out with --check"),
    ],
)
def test_an_option_that_nothing_would_read_is_refused(words: tuple[str, ...], flags: str, graft) -> None:
    done = graft("export", *words)
    assert (done.code, done.err) == (2, f"graft: {flags}: nothing reads it\n")


@pytest.mark.parametrize(("to", "input"), [("onnx", "image"), ("onnx", "fixed"), ("openvino", "fixed")])
def test_the_example_runs_as_it_stands(to: str, input: str, exported, small_run: Path, tmp_path: Path) -> None:
    file = exported(to, input)
    script = file.with_name(f"{file.stem}-example.py")
    Image.fromarray(tiny_image(2, 77, 90)).save(tmp_path / "new.png")
    alone = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (alone.returncode, alone.stdout) == (0, "the samples get the probabilities that they must get\n")
    (tmp_path / "torn.png").write_bytes((tmp_path / "new.png").read_bytes()[:90])
    (tmp_path / "note.txt").write_text("no image")
    images = [tmp_path / name for name in ("torn.png", "note.txt", "new.png")]
    said = subprocess.run([sys.executable, script, *images], capture_output=True, text=True, check=True)
    assert [line.partition(": ")[0] for line in said.stderr.splitlines()] == list(map(str, images[:2]))
    (prediction,) = load_in_float32(small_run).predict(tmp_path / "new.png")
    assert said.stdout.startswith(f"{tmp_path / 'new.png'}: {prediction.label} (")
    assert float(said.stdout.split("(")[1].split(" %")[0]) == pytest.approx(100 * prediction.probability, abs=0.5)


def test_the_example_stops_where_a_sample_gets_other_probabilities(exported, tmp_path: Path) -> None:
    file = copied(exported(), tmp_path)
    expected = tmp_path / f"{file.stem}-samples" / "expected.json"
    samples = json.loads(expected.read_text())
    samples["0.png"]["probabilities"].reverse()
    expected.write_text(json.dumps(samples))
    done = subprocess.run(
        [sys.executable, tmp_path / f"{file.stem}-example.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("0.png must get its probabilities")
    assert done.stderr.count("\n") == 1
    with pytest.raises(ModelError, match="reads it wrongly"):
        graftwork.check_export(file)


def copied(file: Path, folder: Path) -> Path:
    """Copy an export and what lies beside it."""
    for path in file.parent.glob(f"{file.stem}*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)
    return folder / file.name


def test_an_export_that_differs_is_not_written(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = onnx_model._head

    def warmer(fitted, input):
        model = head(fitted, input)
        (temperature,) = (one for one in model.graph.initializer if one.name == "temperature")
        temperature.CopyFrom(onnx.numpy_helper.from_array(np.float32(3), "temperature"))
        return model

    monkeypatch.setattr(onnx_model, "_head", warmer)
    with pytest.raises(ModelError, match=r"was not written: .* largest difference") as error:
        graftwork.export(small_run, output=tmp_path / "a" / "b.onnx", listener=SILENT)
    assert "\n" not in str(error.value)
    assert list((tmp_path / "a").iterdir()) == []


def test_the_distance_of_the_runs_own_engine_stands_beside_the_files(small_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(small_run / "model", tmp_path / "model")
    manifest = json.loads((folder / "manifest.json").read_text())
    for engine, known in (("openvino bf16", has_bf16()), ("torch cuda f32", False), ("openvino f32", False)):
        (folder / "manifest.json").write_text(json.dumps({**manifest, "engine": engine}))
        facts = graftwork.export(folder, output=tmp_path / "b.onnx", overwrite=True, listener=SILENT).facts
        assert facts.parity is not None
        assert facts.parity.engine == engine
        assert (facts.parity.run is not None) == known
        assert ("the run's own engine, openvino bf16" in facts.parity_in_words) == known
        assert facts.parity.images == len(read_model(folder).samples) + 1  # no run, and so no images of it


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_one_line_with_the_command(
    package: str, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"need the package {package}, .*pip install 'graftwork\[export\]'"):
        graftwork.export(small_run, output=tmp_path / "b.onnx", listener=SILENT)
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_weights_says_so(small_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(small_run / "model", tmp_path / "model")
    (folder / "body.safetensors").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"]["body.safetensors"]
    manifest["card"]["weights"] = "gone.safetensors"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=r"saved without \(--slim\), and gone.safetensors must be a file"):
        graftwork.export(folder, output=tmp_path / "b.onnx", listener=SILENT)
    assert not (tmp_path / "b.onnx").exists()


def refused(kind: type[GraftError], words: str, run: Path, **arguments: object) -> None:
    with pytest.raises(kind, match=words) as error:
        graftwork.export(run, listener=SILENT, **arguments)
    assert "\n" not in str(error.value)


def test_wrong_arguments_are_refused_before_anything_is_computed(small_run: Path, exported, tmp_path: Path) -> None:
    refused(UsageError, "-o must end in .onnx with --to onnx, got b.xml", small_run, output="b.xml")
    refused(UsageError, "--input must be fixed with --to openvino, got image", small_run, to="openvino", input="image")
    refused(UsageError, "to must be onnx, openvino or web", small_run, to="coreml")
    refused(
        UsageError, "writes new files, but .* exists; give another -o, or --overwrite", small_run, output=exported()
    )
    refused(ModelError, "must be a model folder or that of a finished run", tmp_path)
    (tmp_path / "file").write_text("")
    refused(StorageError, "must be writable", small_run, output=tmp_path / "file" / "b.onnx")


def test_only_samples_that_an_export_wrote_are_replaced(small_run: Path, exported, tmp_path: Path) -> None:
    file = shutil.copy(exported(), tmp_path / "flowers.onnx")
    mine = tmp_path / "flowers-samples"
    mine.mkdir()
    (mine / "rose.jpg").write_bytes(b"mine")
    refused(
        UsageError, "must replace a folder that .* wrote, .* holds rose.jpg", small_run, output=file, overwrite=True
    )
    assert (mine / "rose.jpg").read_bytes() == b"mine"


def test_a_command_needs_a_run_or_a_file(graft, small_run: Path) -> None:
    assert graft("export").code == 2
    assert graft("export", small_run, "--check", "b.onnx").code == 2


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: (folder / "b.onnx").unlink(), "must be a file that `graft export` wrote, but does not exist"),
        (
            lambda folder: (folder / "b.onnx").write_bytes(b"no graph"),
            "must be a file that onnxruntime .* can run, but",
        ),
        (lambda folder: (folder / "b-samples" / "expected.json").unlink(), "must hold the samples"),
        (lambda folder: (folder / "b-samples" / "expected.json").write_text("{}"), "must hold samples, but has none"),
        (lambda folder: without_metadata(folder / "b.onnx"), "has none of its metadata"),
    ],
)
def test_a_check_that_cannot_be_made_says_why(prepare: Callable[[Path], object], words, exported, tmp_path) -> None:
    file = copied(exported(), tmp_path)
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / path.name.replace(file.stem, "b"))
    prepare(tmp_path)
    with pytest.raises(ModelError, match=words) as error:
        graftwork.check_export(tmp_path / "b.onnx")
    assert "\n" not in str(error.value)


def without_metadata(file: Path) -> None:
    model = onnx.load(file)
    del model.metadata_props[:]
    onnx.save(model, file)


def test_a_file_of_openvino_is_not_for_onnxruntime(exported) -> None:
    with pytest.raises(UsageError, match=r"needs an \.onnx file"):
        graftwork.check_export(exported("openvino", "fixed"))


def test_overwriting_replaces_the_samples_too(small_run: Path, tmp_path: Path) -> None:
    stale = tmp_path / "b-samples" / "stale.png"
    stale.parent.mkdir()
    stale.write_bytes(b"")
    (stale.parent / "expected.json").write_text('{"stale.png": {}}')
    graftwork.export(small_run, output=tmp_path / "b.onnx", overwrite=True, listener=SILENT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b-example.py", "b-samples", "b.onnx"]
    assert not stale.exists()
    assert len(list(stale.parent.iterdir())) == 1 + 1 + len(read_model(small_run / "model").samples)


@pytest.mark.slow
@pytest.mark.parametrize("views", [1, 8])
def test_a_fine_tuned_network_leaves_as_it_was_tuned(
    views: int, small_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = compete.choose

    def tuned(trials: Any, *rest: Any, **named: Any) -> Any:
        """The real verdict, but a fine-tuning of so many views is taken."""
        kinds = [(trial.ended, trial.candidate.plan.kind != "linear", trial.candidate.views) for trial in trials]
        verdict = choose(trials, *rest, **named)
        return dataclasses.replace(verdict, chosen=kinds.index(("completed", True, views)))

    monkeypatch.setattr(compete, "choose", tuned)
    photos = write_tiny_images(tmp_path / "insects", per_class=12, size_px=70)
    quick = {"epochs": 2, "batch_size": 8, "folds": 3, "loss": "softmax", "time_limit": None, "lr": 3e-3}
    run = graftwork.train(
        photos, output=tmp_path / "run", backbone=small_backbone, freeze_to="stages.1", listener=SILENT, **quick
    )
    assert run.trials[run.verdict.chosen].candidate.plan.kind == "partial"
    for to, input in (("onnx", "image"), ("openvino", "fixed")):
        parity = graftwork.export(run.folder, to=to, input=input, listener=SILENT).facts.parity  # type: ignore[arg-type]
        assert parity is not None
        assert parity.holds
