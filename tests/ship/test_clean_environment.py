"""An exported model works where nothing of graftwork is: only the runtime, numpy and Pillow."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

import graftwork
from graftwork.listener import SILENT
from graftwork.model.load import load_in_float32

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("clean environment")]


@pytest.fixture(scope="module")
def hymenoptera(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hymenoptera")
    with tarfile.open(shared / "datasets" / "hymenoptera.tar") as archive:
        archive.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def run(hymenoptera: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTWORK_CACHE", str(tmp_path_factory.mktemp("cache")))
        place = tmp_path_factory.mktemp("run") / "hymenoptera"
        graftwork.train(hymenoptera, output=place, strategy="linear", backbone="efficientnet_lite0", listener=SILENT)
        return place


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that holds onnxruntime, numpy and Pillow, and what these need."""
    place = tmp_path_factory.mktemp("clean") / "environment"
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    packages = ["onnxruntime", "numpy", "pillow"]
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "-c", ROOT / "requirements.lock", *packages], check=True, cwd=place
    )
    return python


def alone(python: Path, script: Path, *images: Path) -> list[str]:
    """Run an example where no path leads to graftwork; return the lines that it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-I", script, *images], env=environment, cwd=script.parent, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("input", ["image", "fixed"])
def test_it_gives_the_answers_of_predict(input, hymenoptera: Path, run: Path, clean: Path, tmp_path: Path) -> None:
    file = graftwork.export(run, output=tmp_path / "ants and bees.onnx", input=input, listener=SILENT).path
    script = file.with_name("ants and bees-example.py")
    assert alone(clean, script) == ["the samples get the probabilities that they must get"]
    photos = sorted(hymenoptera.rglob("*.jpg"))[::4]
    said = [line.removeprefix(f"{photo}: ") for photo, line in zip(photos, alone(clean, script, *photos), strict=True)]
    labels = [line.split(" (")[0] for line in said]
    shares = np.array([float(line.split(" (")[1].removesuffix(" %)")) for line in said])
    expected = load_in_float32(run).predict(photos)
    clear = [abs(prediction.probability - 0.5) > 0.005 for prediction in expected]  # two classes: above one point
    assert [a for a, b in zip(labels, clear, strict=True) if b] == [
        prediction.label for prediction, b in zip(expected, clear, strict=True) if b
    ]
    assert np.abs(shares - [100 * prediction.probability for prediction in expected]).max() < 1.05
    # the run's own engine may be bfloat16: what a user of `graft predict` saw, up to its own rounding
    same = sum(a == prediction.label for a, prediction in zip(labels, graftwork.predict(run, photos), strict=True))
    assert same >= len(photos) - 1


def test_nothing_of_graftwork_or_torch_is_needed(clean: Path) -> None:
    code = "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, ('torch', 'graftwork', 'onnx', 'timm'))))"
    subprocess.run([clean, "-I", "-c", code], check=True)
