"""A loaded model answers in other processes: forks, new ones, pools, workers of torch's DataLoader and of joblib."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import graftwork
from graftwork.backbones.processes import PerProcess
from graftwork.errors import ModelError
from graftwork.testing import write_tiny_backbone, write_tiny_images


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_images(tmp_path_factory.mktemp("images"), per_class=12)


@pytest.fixture(scope="module")
def folder(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that can be moved."""
    run = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTWORK_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        backbone = write_tiny_backbone(tmp_path_factory.mktemp("network"))
        graftwork.train(
            images, output=run, strategy="linear", backbone=backbone, loss="softmax", layer="blocks.1", folds=2
        )
    return run / "model"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(
    ("engine", "children"),
    [("openvino", ()), ("torch", ("predicts", "answers", "loads and predicts", "while others predict"))],
)
def test_a_model_that_was_used_before_a_fork_answers_in_every_child(
    engine: str, children: tuple[str, ...], folder: Path, images: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(folder, tmp_path / "model")
    if engine == "torch":
        shutil.rmtree(model / "engine")
    script = str(Path(__file__).with_name("forking.py"))
    command = [sys.executable, "-W", "ignore", script, str(model), str(images), *children]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [name for name, right in json.loads(done.stdout).items() if not right] == []


def test_a_pickle_is_small_and_loads_the_same_model_from_its_folder(folder: Path, images: Path) -> None:
    model = graftwork.load(folder)
    data = pickle.dumps(model)
    assert len(data) < 1000
    paths = sorted(images.rglob("*.png"))[::6]
    for twin in (pickle.loads(data), copy.deepcopy(model)):
        assert twin.predict(paths) == model.predict(paths)


def test_a_pickle_does_not_depend_on_the_folder_in_which_it_is_loaded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    data = pickle.dumps(graftwork.load("model"))
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(data).classes == ("ant", "bee", "cat")


def test_a_pickle_whose_folder_is_gone_or_holds_another_model_is_one_line(folder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(folder, tmp_path / "model")
    data = pickle.dumps(graftwork.load(moved))
    with open(moved / "manifest.json", "a") as file:
        file.write("\n")
    with pytest.raises(ModelError, match=f"^{moved} must hold the model that was pickled, but holds another") as other:
        pickle.loads(data)
    shutil.rmtree(moved)
    with pytest.raises(ModelError, match=f"^{moved} must be where it was when this model was pickled, but is") as gone:
        pickle.loads(data)
    assert "\n" not in str(other.value) + str(gone.value)


def test_joblib_carries_a_model(folder: Path, images: Path) -> None:
    joblib = pytest.importorskip("joblib")
    model = graftwork.load(folder)
    paths = sorted(images.rglob("*.png"))[::6]
    results = joblib.Parallel(n_jobs=2)(joblib.delayed(graftwork.Model.predict)(model, path) for path in paths)
    assert [prediction.label for (prediction,) in results] == [p.label for p in model.predict(paths)]


def test_threads_that_ask_at_the_same_time_get_one_value() -> None:
    together = threading.Barrier(8)

    def make() -> object:
        together.wait()
        return object()

    value: PerProcess[object] = PerProcess(make)
    got: list[object] = []
    threads = [threading.Thread(target=lambda: got.append(value.get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert len({id(one) for one in got}) == 1
